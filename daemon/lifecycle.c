/* SPDX-License-Identifier: MIT */
/*
 * The main thread's part of a running process:
 *
 *	STARTING --> RUNNING ------------> DRAINING ----------> CUTTING --> end
 *	         all     |  SIGTERM, ...      | drain-timeout,    |
 *	         polled  |                    | second signal     |
 *	                 | the only           |                   |
 *	                 | connections ended  | all ended         | all ended
 *	                 '--> end             '--> end            '--> end
 */
#include "daemon/lifecycle.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backend.h"
#include "daemon/clock.h"
#include "daemon/descriptors.h"
#include "daemon/generation.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/service.h"
#include "daemon/worker.h"

enum phase { STARTING, RUNNING, DRAINING, CUTTING };

/* The signals that stop the process. */
static const int stop_signals[] = { SIGTERM, SIGINT, SIGHUP };
#define N_STOP_SIGNALS (sizeof(stop_signals) / sizeof(stop_signals[0]))

static struct {
	struct service *service;
	enum phase phase;
	struct event *signals[N_STOP_SIGNALS];
	struct event drain_timer;
	bool listeners_closed;
	unsigned int n_polling, n_idle; /* workers that have said so */
} life;

/* Counts a worker once, however often it says the same.  Whether all have said it now. */
static bool noted_by_all(bool *noted, unsigned int *count)
{
	if (!*noted)
		++*count;
	*noted = true;
	return *count == life.service->n_workers;
}

static void cut(void)
{
	if (life.phase == CUTTING)
		return;
	life.phase = CUTTING;
	for (unsigned int i = 0; i < life.service->n_workers; i++)
		worker_cut(&life.service->workers[i]);
}

static void drain_timer_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	cut();
}

static void log_drain(void)
{
	unsigned int left = slots_used(&life.service->slots);
	uint64_t timeout = life.service->process.drain_timeout_ms;

	if (left == 0)
		return;
	if (timeout == SFRONT_INFINITY_MS)
		log_line(LOG_INFO,
			 "stopping: waiting for %u connection(s); a second signal cuts them", left);
	else
		log_line(LOG_INFO,
			 "stopping: waiting for %u connection(s), at most %llu.%03llu s; a second "
			 "signal cuts them",
			 left, (unsigned long long)(timeout / 1000),
			 (unsigned long long)(timeout % 1000));
}

static void drain(void)
{
	uint64_t timeout = life.service->process.drain_timeout_ms;
	struct timeval tv = timeval_from_ms(timeout);

	life.phase = DRAINING;
	if (timeout != SFRONT_INFINITY_MS)
		event_add(&life.drain_timer, &tv);
	worker_drain(&life.service->workers[0]);
}

static void signal_arrived(evutil_socket_t signal, short what, void *arg)
{
	(void)what;
	(void)arg;
	if (life.phase == DRAINING || life.phase == CUTTING) {
		cut();
		return;
	}
	drain();
	if (signal == SIGINT && life.service->interactive) /* Ctrl-C means now */
		cut();
}

/* ---- what the workers tell ---- */

static void worker_polls(struct message *message)
{
	struct service *service = life.service;

	if (!noted_by_all(&worker_of(message, polling)->is_polling, &life.n_polling) ||
	    life.phase != STARTING)
		return;
	life.phase = RUNNING;
	for (size_t i = 0; i < service->generation->n_proxies; i++)
		proxy_announce(&service->generation->proxies[i]);
	notify_ready();
}

static bool close_listening(struct listening *listening, void *data)
{
	(void)data;
	listening_close(listening);
	return true;
}

/* Nobody accepts any more.  Clients that come from here on are refused at once, not left waiting.
 */
static void close_listeners(void)
{
	if (life.listeners_closed)
		return;
	life.listeners_closed = true;
	(void)generation_each(life.service->generation, close_listening, NULL);
	notify_stopping();
	log_drain();
}

static void accepting_ended(struct message *message)
{
	(void)message;
	if (life.phase >= DRAINING)
		close_listeners();
	/* Behind whatever was handed over before. */
	for (unsigned int i = 0; i < life.service->n_workers; i++)
		worker_finish(&life.service->workers[i]);
}

static void worker_is_idle(struct message *message)
{
	if (noted_by_all(&worker_of(message, idle)->is_idle, &life.n_idle))
		event_base_loopbreak(life.service->base);
}

/* ---- start and end ---- */

/* SIGHUP stays ignored for who started us with nohup(1). */
static bool is_ignored(int signal)
{
	struct sigaction action;

	return signal == SIGHUP && sigaction(signal, NULL, &action) == 0 &&
	       action.sa_handler == SIG_IGN;
}

static int catch_signals(struct event_base *base)
{
	for (size_t i = 0; i < N_STOP_SIGNALS; i++) {
		if (is_ignored(stop_signals[i]))
			continue;
		life.signals[i] = evsignal_new(base, stop_signals[i], signal_arrived, NULL);
		if (life.signals[i] == NULL || event_add(life.signals[i], NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void release_signals(void)
{
	for (size_t i = 0; i < N_STOP_SIGNALS; i++)
		if (life.signals[i] != NULL)
			event_free(life.signals[i]);
}

static int init_workers(const struct descriptor_plan *plan)
{
	struct service *service = life.service;
	unsigned int n = service->process.workers;

	service->workers = calloc(n, sizeof(*service->workers));
	if (service->workers == NULL)
		return -ENOMEM;
	for (; service->n_workers < n; service->n_workers++) {
		struct worker *worker = &service->workers[service->n_workers];
		int r = worker_init(worker, service, service->n_workers, plan->pipes_a_worker);

		if (r < 0)
			return r;
		worker->polling.deliver = worker_polls;
		worker->accepted.deliver = accepting_ended;
		worker->idle.deliver = worker_is_idle;
	}
	return 0;
}

/*
 * Signals are the main thread's: workers inherit a mask that blocks them all.
 * All are set up before one starts, since they post to each other; the one that
 * accepts starts last, when nothing can fail any more.
 */
static int start_workers(const struct descriptor_plan *plan)
{
	struct service *service = life.service;
	sigset_t all, before;
	int r = init_workers(plan);

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned int i = service->n_workers; i-- > 0 && r == 0;)
		r = worker_start(&service->workers[i]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static void stop_workers(void)
{
	for (unsigned int i = 0; i < life.service->n_workers; i++)
		worker_stop(&life.service->workers[i]);
	free(life.service->workers);
	life.service->workers = NULL;
	life.service->n_workers = 0;
}

static int serve(void)
{
	struct service *service = life.service;
	struct descriptor_plan plan = descriptors_plan(&service->process);
	int r;

	service->slots.max = plan.max_connections;
	r = start_workers(&plan);
	if (r < 0) {
		log_line(LOG_ERR, "cannot start %u worker(s): %s", service->process.workers,
			 strerror(-r));
		/* Nobody has accepted yet; those that have started are not waited for. */
		close_listeners();
		_exit(EXIT_FAILURE);
	}
	log_line(LOG_DEBUG, "at most %u connections at once, with %lu descriptors",
		 plan.max_connections, plan.limit);
	event_base_dispatch(service->base);

	close_listeners();
	if (atomic_load(&service->cut) > 0)
		log_line(LOG_NOTICE, "cut %u connection(s)", atomic_load(&service->cut));
	/* A drain has done what it was asked to, whatever became of the connections. */
	return life.phase >= DRAINING ? EXIT_SUCCESS : atomic_load(&service->exit_status);
}

int lifecycle_run(struct service *service)
{
	int status = EXIT_FAILURE;

	life.service = service;
	event_assign(&life.drain_timer, service->base, -1, 0, drain_timer_fired, NULL);
	if (catch_signals(service->base) == 0)
		status = serve();
	else
		log_line(LOG_ERR, "cannot catch signals: memory is out");

	/* A name that hangs in the resolver is not waited for, and what its thread uses not freed.
	 */
	if (backend_lookups_pending())
		_exit(status);
	stop_workers();
	event_del(&life.drain_timer);
	release_signals();
	return status;
}
