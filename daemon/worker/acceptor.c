/* SPDX-License-Identifier: MIT */
/*
 * Accepts connections and hands them to the workers.  Between the library's
 * listeners and worker.c.
 */
#include "daemon/worker/acceptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/proxy/generation.h"
#include "daemon/proxy/proxy.h"
#include "daemon/worker/process.h"
#include "daemon/worker/worker.h"

/* Clients taken from one descriptor at most before everything else gets its turn. */
#define BURST_MAX 16

/* Clients that a drain still takes: more than a queue holds, and not all that go on coming. */
#define DRAIN_MAX 65536

/* Turns in a row that took all they were allowed, before more are allowed. */
#define TURNS_TO_GROW 8

/* How often the log hears of clients that wait for a slot. */
#define FULL_SAID_MS 60000

#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 1000

static struct listener_socket *socket_of(const struct accept_source *source)
{
	return proxy_socket_at(source->proxy, source->index);
}

/* False: one of them at least cannot be polled. */
static bool sources_listen(struct generation *generation)
{
	bool ok = true;

	for (size_t i = 0; i < generation->n_sources; i++)
		if (!socket_of(&generation->sources[i])->done)
			ok &= event_add(&generation->sources[i].event, NULL) == 0;
	return ok;
}

static void sources_rest(struct generation *generation)
{
	for (size_t i = 0; i < generation->n_sources; i++)
		event_del(&generation->sources[i].event);
}

static void pause_accepting(struct acceptor *acceptor, int error);

static void enter(struct acceptor *acceptor, enum acceptor_state state)
{
	if (acceptor->state == state)
		return;
	if (acceptor->state == ACCEPTOR_OPEN)
		sources_rest(acceptor->generation);
	if (acceptor->state == ACCEPTOR_PAUSED)
		event_del(&acceptor->pause);
	acceptor->state = state;
	if (state == ACCEPTOR_OPEN && !sources_listen(acceptor->generation))
		pause_accepting(acceptor, ENOMEM);
}

/* Where that is how things are, once in a while is enough. */
static void log_full(struct acceptor *acceptor)
{
	uint64_t now = clock_ms();

	if (acceptor->full_said_ms != 0 && now - acceptor->full_said_ms < FULL_SAID_MS)
		return;
	acceptor->full_said_ms = now;
	log_line(LOG_NOTICE, "max-connections is reached, with %u up: further clients wait",
		 connection_limit_used(&acceptor->worker->process->limit));
}

/* The log hears of it once a second. */
static void log_pause(const struct acceptor *acceptor, int error)
{
	static struct log_limit limit;
	unsigned int dropped;

	if (log_limit_passes(&limit, &dropped))
		log_line(LOG_WARNING,
			 "accepting pauses with %u connection(s) up: %s; new clients wait in the "
			 "backlog (more room: a higher limit of open files; or a lower "
			 "max-connections)",
			 connection_limit_used(&acceptor->worker->process->limit), strerror(error));
}

static void pause_accepting(struct acceptor *acceptor, int error)
{
	struct timeval delay;

	log_pause(acceptor, error);
	enter(acceptor, ACCEPTOR_PAUSED);
	delay = timeval_from_ms(acceptor->pause_ms);
	if (event_add(&acceptor->pause, &delay) < 0) { /* busy, but not stuck */
		enter(acceptor, ACCEPTOR_FULL);
		mailbox_post(&acceptor->worker->mailbox, &acceptor->worker->resume);
	}
	acceptor->pause_ms *= 2;
	if (acceptor->pause_ms > PAUSE_MAX_MS)
		acceptor->pause_ms = PAUSE_MAX_MS;
}

static bool all_done(const struct generation *generation)
{
	for (size_t i = 0; i < generation->n_sources; i++)
		if (!socket_of(&generation->sources[i])->done)
			return false;
	return true;
}

static void close_source(struct accept_source *source, int error)
{
	struct acceptor *acceptor = source->acceptor;

	if (error != -ESHUTDOWN) {
		log_line(LOG_ERR, "%s: accepting failed: %s; this listener is given up",
			 socket_of(source)->text, strerror(-error));
		atomic_store(&acceptor->worker->process->exit_status, 1);
	}
	event_del(&source->event);
	socket_of(source)->done = true;
	if (all_done(acceptor->generation)) {
		enter(acceptor, ACCEPTOR_STOPPED);
		worker_accept_ended(acceptor->worker);
	}
}

enum accept_result {
	ACCEPT_TAKEN,
	ACCEPT_NOBODY, /* nobody waits here */
	ACCEPT_STOP    /* no client can be taken from anywhere now: see the acceptor's state */
};

static enum accept_result accept_failed(struct accept_source *source, int error)
{
	if (sfront_accept_should_pause(error)) {
		pause_accepting(source->acceptor, -error);
		return ACCEPT_STOP;
	}
	if (error != -EAGAIN)
		close_source(source, error);
	return ACCEPT_NOBODY;
}

static enum accept_result accept_one(struct accept_source *source)
{
	struct acceptor *acceptor = source->acceptor;
	const struct proxy_socket *socket = &source->proxy->sockets[source->index];
	struct sfront_connection connection;
	int r;

	if (!worker_can_take(acceptor->worker))
		return accept_failed(source, -ENOMEM);
	if (!connection_limit_take(&acceptor->worker->process->limit)) {
		log_full(acceptor);
		enter(acceptor, ACCEPTOR_FULL);
		return ACCEPT_STOP;
	}
	r = sfront_listener_accept_at(socket->listener->open, socket->index, &connection);
	if (r < 0) {
		/* It was held for a moment only, but another worker may have wanted it just then.
		 */
		worker_give_slot(acceptor->worker);
		return accept_failed(source, r);
	}
	acceptor->pause_ms = PAUSE_MIN_MS;
	dispatch_connection(acceptor->worker, source->proxy, source->index, &connection);
	if (socket_of(source)->is_single)
		close_source(source, -ESHUTDOWN); /* it was all there was */
	return ACCEPT_TAKEN;
}

/*
 * Asking until EAGAIN costs a call for nothing on every turn, and most turns
 * find one client: as many are asked for as there were of late.  Who is left
 * over makes the descriptor readable again at once.
 */
static void note_turn(struct accept_source *source, unsigned int taken)
{
	if (taken < source->burst) {
		source->burst = taken > 0 ? taken : 1;
		source->full_turns = 0;
	} else if (++source->full_turns >= TURNS_TO_GROW && source->burst < BURST_MAX) {
		source->burst *= 2;
		source->full_turns = 0;
	}
}

static void source_readable(evutil_socket_t fd, short what, void *arg)
{
	struct accept_source *source = arg;
	unsigned int taken = 0;

	(void)fd;
	(void)what;
	while (taken < source->burst && accept_one(source) == ACCEPT_TAKEN)
		taken++;
	note_turn(source, taken);
}

/*
 * Takes one client from each source after the other, @most in all.  Begins
 * where the last one left off: with few slots, a fixed order would starve the
 * later listeners.  Returns whether more could be taken, if there are any.
 */
static bool accept_in_turns(struct acceptor *acceptor, size_t most)
{
	const struct generation *generation = acceptor->generation;
	size_t in_vain = 0, taken = 0;

	while (in_vain < generation->n_sources && taken < most) {
		struct accept_source *source = &generation->sources[acceptor->next];
		enum accept_result result = ACCEPT_NOBODY;

		acceptor->next = (acceptor->next + 1) % generation->n_sources;
		if (!socket_of(source)->done)
			result = accept_one(source);
		if (result == ACCEPT_STOP)
			return false;
		in_vain = result == ACCEPT_TAKEN ? 0 : in_vain + 1;
		taken += result == ACCEPT_TAKEN;
	}
	return true;
}

/* While there are more clients than slots, the listeners are not even polled. */
static void reopen(struct acceptor *acceptor)
{
	if (accept_in_turns(acceptor, BURST_MAX * acceptor->generation->n_sources) &&
	    acceptor->state != ACCEPTOR_STOPPED)
		enter(acceptor, ACCEPTOR_OPEN);
}

void acceptor_resume(struct acceptor *acceptor)
{
	if (acceptor->state == ACCEPTOR_FULL)
		reopen(acceptor);
}

static void pause_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	reopen(arg);
}

static void adopt(struct acceptor *acceptor, struct generation *generation)
{
	acceptor->generation = generation;
	acceptor->next = 0;
	for (size_t i = 0; i < generation->n_sources; i++) {
		struct accept_source *source = &generation->sources[i];
		const struct proxy_socket *socket = &source->proxy->sockets[source->index];

		source->acceptor = acceptor;
		event_assign(&source->event, acceptor->worker->base,
			     sfront_listener_fd(socket->listener->open, socket->index),
			     EV_READ | EV_PERSIST, source_readable, source);
	}
}

/* Those who wait at a listener that will be closed are let in under its last settings. */
static void take_queue(struct accept_source *source)
{
	for (unsigned int taken = 0; taken < DRAIN_MAX; taken++)
		if (socket_of(source)->done || accept_one(source) != ACCEPT_TAKEN)
			return;
}

static void take_queues(struct generation *before, const struct generation *next)
{
	for (size_t i = 0; i < before->n_sources; i++) {
		struct accept_source *source = &before->sources[i];

		if (source->proxy->sockets[source->index].listener->newest != next)
			take_queue(source);
	}
}

void acceptor_switch(struct acceptor *acceptor, struct generation *generation)
{
	struct generation *before = acceptor->generation;

	if (before) {
		take_queues(before, generation);
		sources_rest(before);
	}
	adopt(acceptor, generation);
	if (!before) {
		if (!all_done(generation))
			enter(acceptor, ACCEPTOR_OPEN);
		else
			worker_accept_ended(acceptor->worker);
	} else if (acceptor->state == ACCEPTOR_OPEN && !sources_listen(generation)) {
		pause_accepting(acceptor, ENOMEM);
	}
}

static void stop(struct acceptor *acceptor)
{
	enter(acceptor, ACCEPTOR_STOPPED);
	worker_accept_ended(acceptor->worker);
}

void acceptor_drain(struct acceptor *acceptor)
{
	if (acceptor->state == ACCEPTOR_OPEN || acceptor->state == ACCEPTOR_PAUSED)
		(void)accept_in_turns(acceptor, DRAIN_MAX);
	stop(acceptor);
}

void acceptor_stop(struct acceptor *acceptor)
{
	stop(acceptor);
}

bool acceptor_stop_if_idle(struct acceptor *acceptor)
{
	struct generation *generation = acceptor->generation;

	if (acceptor->state != ACCEPTOR_OPEN ||
	    connection_limit_used(&acceptor->worker->process->limit) > 0)
		return false;
	for (size_t i = 0; i < generation->n_sources; i++)
		if (!socket_of(&generation->sources[i])->done &&
		    accept_one(&generation->sources[i]) != ACCEPT_NOBODY)
			return false;
	enter(acceptor, ACCEPTOR_STOPPED);
	return true;
}

int acceptor_prepare(struct generation *generation)
{
	size_t n = 0;

	for (size_t i = 0; i < generation->n_proxies; i++)
		n += generation->proxies[i].n_sockets;
	generation->sources = calloc(n, sizeof(*generation->sources));
	if (!generation->sources)
		return -ENOMEM;
	for (size_t i = 0; i < generation->n_proxies; i++)
		for (size_t j = 0; j < generation->proxies[i].n_sockets; j++)
			generation->sources[generation->n_sources++] = (struct accept_source){
				.proxy = &generation->proxies[i], .index = j, .burst = 1
			};
	return 0;
}

void acceptor_init(struct acceptor *acceptor, struct worker *worker)
{
	*acceptor = (struct acceptor){ .worker = worker, .pause_ms = PAUSE_MIN_MS };
	acceptor->state = ACCEPTOR_STOPPED;
	event_assign(&acceptor->pause, worker->base, -1, 0, pause_over, acceptor);
}

void acceptor_clear(struct acceptor *acceptor)
{
	if (acceptor->generation)
		sources_rest(acceptor->generation);
	event_del(&acceptor->pause);
}
