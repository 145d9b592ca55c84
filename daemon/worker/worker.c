/* SPDX-License-Identifier: MIT */
/*
 * A worker: its loop, its sessions and the connections that wait to become some.
 * Between dispatch.c, which sends it connections, and session.c, which serves them.
 */
#include "daemon/worker/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "daemon/base/counters.h"
#include "daemon/base/log.h"
#include "daemon/base/thread.h"
#include "daemon/proxy/proxy.h"
#include "daemon/relay/endpoint.h"
#include "daemon/session/session.h"
#include "daemon/worker/process.h"

/* How soon to try again what memory was missing for. */
static const struct timeval retry_delay = { .tv_usec = 100000 };

static void report_if_idle(struct worker *worker)
{
	if (worker->finishing && atomic_load(&worker->load) == 0)
		mailbox_post(&worker->process->loop.mailbox, &worker->idle);
}

/* ---- what its sessions tell ---- */

static void connection_ended(struct worker *worker, struct proxy *proxy)
{
	if (atomic_fetch_sub(&worker->load, 1) == 1)
		pipe_pool_trim(&worker->host.pipes);
	process_give_slot(worker->process, proxy);
	report_if_idle(worker);
}

static struct worker *worker_of(struct session_host *host)
{
	return (struct worker *)((char *)host - offsetof(struct worker, host));
}

static void session_ended(struct session_host *host, struct proxy *proxy)
{
	connection_ended(worker_of(host), proxy);
}

static void session_settled_header(struct session_host *host, struct proxy *proxy)
{
	process_settle_header(worker_of(host)->process, proxy);
}

static void session_is_not_held(struct session_host *host, struct proxy *proxy)
{
	process_unhold(worker_of(host)->process, proxy);
}

static void session_failed(struct session_host *host)
{
	atomic_store(&worker_of(host)->process->exit_status, 1);
}

static void session_was_cut(struct session_host *host)
{
	atomic_fetch_add(&worker_of(host)->process->cut, 1);
}

static const struct session_host_ops host_ops = {
	.ended = session_ended,
	.header_settled = session_settled_header,
	.not_held = session_is_not_held,
	.failed = session_failed,
	.cut = session_was_cut,
};

/* ---- connections that come ---- */

static struct arrival *next_arrived(struct worker *worker)
{
	struct arrival *arrival = STAILQ_FIRST(&worker->arrived);

	if (arrival)
		STAILQ_REMOVE_HEAD(&worker->arrived, link);
	return arrival;
}

static void turn_away(struct arrival *arrival)
{
	endpoint_turn_away(&arrival->connection);
	if (arrival->connection.header_due)
		process_settle_header(arrival->worker->process, arrival->proxy);
	process_unhold(arrival->worker->process, arrival->proxy);
	connection_ended(arrival->worker, arrival->proxy);
	proxy_unref(arrival->proxy);
	free(arrival);
}

/* The end is near, or there is not even memory to wait for some. */
static void turn_arrived_away(struct worker *worker)
{
	static struct log_limit limit;
	struct arrival *arrival;
	unsigned int dropped, n = 0;

	for (; (arrival = next_arrived(worker)); n++)
		turn_away(arrival);
	if (worker->host.cutting)
		atomic_fetch_add(&worker->process->cut, n);
	else if (log_limit_passes(&limit, &dropped))
		log_line(LOG_WARNING, "%u client(s) were turned away: out of memory%s", n,
			 dropped > 0 ? "; similar messages were held back" : "");
}

/* Who cannot be served for want of memory waits here, as others do in the listener's queue. */
static void start_arrived(struct worker *worker)
{
	struct arrival *arrival;

	while (!STAILQ_EMPTY(&worker->arrived) && session_host_is_ready(&worker->host)) {
		arrival = next_arrived(worker);
		session_start(&worker->host, arrival->proxy, arrival->socket, &arrival->connection);
		free(arrival);
	}
	if (!STAILQ_EMPTY(&worker->arrived) &&
	    (worker->host.cutting || event_add(&worker->retry, &retry_delay) < 0))
		turn_arrived_away(worker);
}

static void retry_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	start_arrived(arg);
}

static void arrival_delivered(struct message *message)
{
	struct arrival *arrival = message_owner(message, struct arrival, message);

	STAILQ_INSERT_TAIL(&arrival->worker->arrived, arrival, link);
	start_arrived(arrival->worker);
}

void worker_send(struct worker *worker, struct arrival *arrival)
{
	arrival->worker = worker;
	arrival->message = (struct message){ .deliver = arrival_delivered };
	mailbox_post(&worker->host.loop.mailbox, &arrival->message);
}

void worker_serve(struct worker *worker, struct proxy *proxy, size_t socket,
		  const struct sfront_connection *connection)
{
	session_start(&worker->host, proxy, socket, connection);
}

/* ---- messages from the main thread ---- */

static void ping_delivered(struct message *message)
{
	struct worker *worker = message_owner(message, struct worker, ping);

	mailbox_post(&worker->process->loop.mailbox, &worker->pong);
}

static void finish_delivered(struct message *message)
{
	struct worker *worker = message_owner(message, struct worker, finish);

	worker->finishing = true;
	report_if_idle(worker);
}

static void drain_delivered(struct message *message)
{
	session_host_drain(&message_owner(message, struct worker, drain)->host);
}

static void cut_delivered(struct message *message)
{
	struct worker *worker = message_owner(message, struct worker, cut);
	struct session *session;

	worker->host.cutting = true;
	while ((session = slab_any(&worker->host.sessions)))
		session_cut(session);
	start_arrived(worker); /* these are cut too */
}

static void stop_delivered(struct message *message)
{
	event_base_loopbreak(message_owner(message, struct worker, stop)->host.loop.base);
}

void worker_ping(struct worker *worker)
{
	mailbox_post(&worker->host.loop.mailbox, &worker->ping);
}

void worker_finish(struct worker *worker)
{
	mailbox_post(&worker->host.loop.mailbox, &worker->finish);
}

void worker_drain(struct worker *worker)
{
	mailbox_post(&worker->host.loop.mailbox, &worker->drain);
}

void worker_cut(struct worker *worker)
{
	mailbox_post(&worker->host.loop.mailbox, &worker->cut);
}

/* ---- the thread ---- */

void worker_run(struct worker *worker)
{
	counters_use_row((unsigned int)(worker - worker->process->workers));
	mailbox_post(&worker->process->loop.mailbox, &worker->polling);
	event_base_loop(worker->host.loop.base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static void *worker_main(void *arg)
{
	worker_run(arg);
	return NULL;
}

static struct event_base *new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (!config)
		return NULL;
	/* Each base is used by its one thread; other threads post to the mailbox. */
	if (event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static int host_init(struct session_host *host, size_t pipe_size, unsigned int max_pipes)
{
	int r;

	host->loop.base = new_base();
	if (!host->loop.base)
		return -ENOMEM;
	r = session_host_init(host, &host_ops, pipe_size, max_pipes);
	if (r == 0) {
		r = mailbox_open(&host->loop.mailbox, host->loop.base);
		if (r < 0)
			session_host_clear(host);
	}
	if (r < 0)
		event_base_free(host->loop.base);
	return r;
}

static void host_clear(struct session_host *host)
{
	mailbox_close(&host->loop.mailbox);
	session_host_clear(host);
	event_base_free(host->loop.base);
}

int worker_init(struct worker *worker, struct process *process, unsigned int max_pipes)
{
	int r = host_init(&worker->host, (size_t)process->settings.pipe_size, max_pipes);

	if (r < 0)
		return r;
	worker->process = process;
	worker->ping.deliver = ping_delivered;
	worker->finish.deliver = finish_delivered;
	worker->drain.deliver = drain_delivered;
	worker->cut.deliver = cut_delivered;
	worker->stop.deliver = stop_delivered;
	STAILQ_INIT(&worker->arrived);
	event_assign(&worker->retry, worker->host.loop.base, -1, 0, retry_fired, worker);
	/* libevent keeps the room for it, which could not be had when it is wanted. */
	(void)event_add(&worker->retry, &retry_delay);
	event_del(&worker->retry);
	return 0;
}

int worker_start(struct worker *worker)
{
	int r = thread_start(&worker->thread, worker_main, worker);

	worker->started = r == 0;
	return r;
}

void worker_join(struct worker *worker)
{
	if (!worker->started)
		return;
	mailbox_post(&worker->host.loop.mailbox, &worker->stop);
	pthread_join(worker->thread, NULL);
}

void worker_clear(struct worker *worker)
{
	event_del(&worker->retry);
	host_clear(&worker->host);
}
