/* SPDX-License-Identifier: MIT */
/*
 * A worker thread: its event base, its mailbox, its connections.  Between
 * lifecycle.c, which starts and stops it, and acceptor.c and session.c, which run
 * on it.
 */
#include "daemon/worker/worker.h"

#include <errno.h>
#include <sockfront/listener.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "daemon/base/log.h"
#include "daemon/control/manager_status.h"
#include "daemon/proxy/generation.h"
#include "daemon/session/session.h"
#include "daemon/session/timers.h"
#include "daemon/worker/process.h"

/* How soon to try again what memory was missing for. */
static const struct timeval retry_delay = { .tv_usec = 100000 };

static void report_if_idle(struct worker *worker)
{
	if (worker->accept_over && atomic_load(&worker->load) == 0)
		mailbox_post(&worker->process->mailbox, &worker->idle);
}

void worker_give_slot(struct worker *worker)
{
	struct process *process = worker->process;

	if (connection_limit_give(&process->limit))
		mailbox_post(&process->workers[0].mailbox, &process->workers[0].resume);
	manager_status_changed(process);
}

void worker_session_ended(struct worker *worker)
{
	if (atomic_fetch_sub(&worker->load, 1) == 1)
		pipe_pool_trim(&worker->pipes);
	worker_give_slot(worker);
	report_if_idle(worker);
}

void worker_accept_ended(struct worker *worker)
{
	mailbox_post(&worker->process->mailbox, &worker->accepted);
}

/* A connection on its way from the accepting worker to another. */
struct handover {
	struct message message;
	STAILQ_ENTRY(handover) link; /* in worker->arrived */
	struct worker *worker;
	const struct proxy *proxy;
	size_t socket;
	struct sfront_connection connection;
};

bool worker_can_take(struct worker *worker)
{
	if (worker->process->n_workers > 1 && !worker->spare)
		worker->spare = malloc(sizeof(*worker->spare));
	return slab_ready(&worker->sessions) && (worker->process->n_workers == 1 || worker->spare);
}

static struct handover *next_arrived(struct worker *worker)
{
	struct handover *handover = STAILQ_FIRST(&worker->arrived);

	if (handover)
		STAILQ_REMOVE_HEAD(&worker->arrived, link);
	return handover;
}

static void turn_away(struct handover *handover)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(handover->connection.write_fd, SOL_SOCKET, SO_LINGER, &reset,
			 sizeof(reset));
	sfront_connection_close(&handover->connection);
	generation_unref(handover->proxy->generation);
	worker_session_ended(handover->worker);
	free(handover);
}

/* The end is near, or there is not even memory to wait for some. */
static void turn_arrived_away(struct worker *worker)
{
	static struct log_limit limit;
	struct handover *handover;
	unsigned int dropped, n = 0;

	for (; (handover = next_arrived(worker)); n++)
		turn_away(handover);
	if (worker->cutting)
		atomic_fetch_add(&worker->process->cut, n);
	else if (log_limit_passes(&limit, &dropped))
		log_line(LOG_WARNING, "%u client(s) were turned away: out of memory%s", n,
			 dropped > 0 ? "; similar messages were held back" : "");
}

/* Who cannot be served for want of memory waits here, as others do in the listener's queue. */
static void start_arrived(struct worker *worker)
{
	struct handover *handover;

	while (!STAILQ_EMPTY(&worker->arrived) && slab_ready(&worker->sessions)) {
		handover = next_arrived(worker);
		session_start(worker, handover->proxy, handover->socket, &handover->connection);
		free(handover);
	}
	if (!STAILQ_EMPTY(&worker->arrived) &&
	    (worker->cutting || event_add(&worker->retry, &retry_delay) < 0))
		turn_arrived_away(worker);
}

static void retry_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	start_arrived(arg);
}

static void handover_delivered(struct message *message)
{
	struct handover *handover =
		(struct handover *)((char *)message - offsetof(struct handover, message));

	STAILQ_INSERT_TAIL(&handover->worker->arrived, handover, link);
	start_arrived(handover->worker);
}

static struct worker *least_loaded(struct process *process)
{
	struct worker *least = &process->workers[0];

	for (unsigned int i = 1; i < process->n_workers; i++)
		if (atomic_load(&process->workers[i].load) < atomic_load(&least->load))
			least = &process->workers[i];
	return least;
}

void dispatch_connection(struct worker *worker, const struct proxy *proxy, size_t socket,
			 const struct sfront_connection *connection)
{
	struct worker *to = least_loaded(worker->process);
	struct handover *handover = worker->spare;

	atomic_fetch_add(&to->load, 1);
	generation_ref(proxy->generation);
	manager_status_changed(worker->process);
	if (to == worker) {
		session_start(worker, proxy, socket, connection);
		return;
	}
	*handover = (struct handover){ .message.deliver = handover_delivered,
				       .worker = to,
				       .proxy = proxy,
				       .socket = socket,
				       .connection = *connection };
	worker->spare = NULL;
	mailbox_post(&to->mailbox, &handover->message);
}

static void resume_delivered(struct message *message)
{
	acceptor_resume(&worker_of(message, resume)->acceptor);
}

static void switch_delivered(struct message *message)
{
	struct worker *worker = worker_of(message, switch_over);

	acceptor_switch(&worker->acceptor, worker->next_generation);
	mailbox_post(&worker->process->mailbox, &worker->switched);
}

static void drain_delivered(struct message *message)
{
	acceptor_drain(&worker_of(message, drain)->acceptor);
}

static void stop_accepting_delivered(struct message *message)
{
	acceptor_stop(&worker_of(message, stop_accepting)->acceptor);
}

static void stop_if_idle_delivered(struct message *message)
{
	struct worker *worker = worker_of(message, stop_if_idle);

	worker->stopped_idle = acceptor_stop_if_idle(&worker->acceptor);
	mailbox_post(&worker->process->mailbox, &worker->asked_if_idle);
}

static void ping_delivered(struct message *message)
{
	struct worker *worker = worker_of(message, ping);

	mailbox_post(&worker->process->mailbox, &worker->pong);
}

static void finish_delivered(struct message *message)
{
	struct worker *worker = worker_of(message, finish);

	worker->accept_over = true;
	report_if_idle(worker);
}

static void cut_delivered(struct message *message)
{
	struct worker *worker = worker_of(message, cut);
	struct session *session;

	worker->cutting = true;
	while ((session = slab_any(&worker->sessions)))
		session_cut(session);
	start_arrived(worker); /* these are cut too */
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	mailbox_post(&worker->process->mailbox, &worker->polling);
	event_base_loop(worker->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

static void stop_delivered(struct message *message)
{
	event_base_loopbreak(worker_of(message, stop)->base);
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

static void worker_clear(struct worker *worker)
{
	if (worker->index == 0)
		acceptor_clear(&worker->acceptor);
	event_del(&worker->retry);
	free(worker->spare);
	mailbox_close(&worker->mailbox);
	pipe_pool_clear(&worker->pipes);
	slab_clear(&worker->sessions);
	slab_clear(&worker->timers);
	event_base_free(worker->base);
}

int worker_init(struct worker *worker, struct process *process, unsigned int index,
		unsigned int max_pipes)
{
	int r;

	worker->process = process;
	worker->index = index;
	worker->resume.deliver = resume_delivered;
	worker->switch_over.deliver = switch_delivered;
	worker->drain.deliver = drain_delivered;
	worker->stop_accepting.deliver = stop_accepting_delivered;
	worker->stop_if_idle.deliver = stop_if_idle_delivered;
	worker->ping.deliver = ping_delivered;
	worker->finish.deliver = finish_delivered;
	worker->cut.deliver = cut_delivered;
	worker->stop.deliver = stop_delivered;
	pipe_pool_init(&worker->pipes, (size_t)process->settings.pipe_size, max_pipes);
	slab_init(&worker->sessions, sizeof(struct session));
	slab_init(&worker->timers, sizeof(struct session_timer));

	worker->base = new_base();
	if (!worker->base)
		return -ENOMEM;
	r = mailbox_open(&worker->mailbox, worker->base);
	if (r < 0) {
		event_base_free(worker->base);
		return r;
	}
	STAILQ_INIT(&worker->arrived);
	event_assign(&worker->retry, worker->base, -1, 0, retry_fired, worker);
	/* libevent keeps the room for it, which could not be had when it is wanted. */
	(void)event_add(&worker->retry, &retry_delay);
	event_del(&worker->retry);
	if (index == 0)
		acceptor_init(&worker->acceptor, worker);
	return 0;
}

int worker_start(struct worker *worker)
{
	int r = pthread_create(&worker->thread, NULL, worker_main, worker);

	worker->started = r == 0;
	return -r;
}

void worker_switch(struct worker *worker, struct generation *generation)
{
	worker->next_generation = generation;
	mailbox_post(&worker->mailbox, &worker->switch_over);
}

void worker_resume(struct worker *worker)
{
	mailbox_post(&worker->mailbox, &worker->resume);
}

void worker_drain(struct worker *worker)
{
	mailbox_post(&worker->mailbox, &worker->drain);
}

void worker_stop_accepting(struct worker *worker)
{
	mailbox_post(&worker->mailbox, &worker->stop_accepting);
}

void worker_stop_if_idle(struct worker *worker)
{
	mailbox_post(&worker->mailbox, &worker->stop_if_idle);
}

void worker_ping(struct worker *worker)
{
	mailbox_post(&worker->mailbox, &worker->ping);
}

void worker_finish(struct worker *worker)
{
	mailbox_post(&worker->mailbox, &worker->finish);
}

void worker_cut(struct worker *worker)
{
	mailbox_post(&worker->mailbox, &worker->cut);
}

void worker_stop(struct worker *worker)
{
	if (worker->started) {
		mailbox_post(&worker->mailbox, &worker->stop);
		pthread_join(worker->thread, NULL);
	}
	worker_clear(worker);
}
