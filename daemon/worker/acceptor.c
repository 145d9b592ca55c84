/* SPDX-License-Identifier: MIT */
/*
 * Accepts connections and hands them to the workers.  Between the library's
 * listeners and dispatch.c.
 */
#include "daemon/worker/acceptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "daemon/proxy/generation.h"
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
static bool sources_listen(struct roster *roster)
{
	bool ok = true;

	for (size_t i = 0; i < roster->n; i++)
		if (!socket_of(&roster->sources[i])->done)
			ok &= event_add(&roster->sources[i].event, NULL) == 0;
	return ok;
}

static void sources_rest(struct roster *roster)
{
	for (size_t i = 0; i < roster->n; i++)
		event_del(&roster->sources[i].event);
}

static void pause_accepting(struct acceptor *acceptor, int error);

static void enter(struct acceptor *acceptor, enum acceptor_state state)
{
	if (acceptor->state == state)
		return;
	if (acceptor->state == ACCEPTOR_OPEN)
		sources_rest(acceptor->roster);
	if (acceptor->state == ACCEPTOR_PAUSED)
		event_del(&acceptor->pause);
	acceptor->state = state;
	if (state == ACCEPTOR_OPEN && !sources_listen(acceptor->roster))
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
		 connection_limit_used(&acceptor->process->limit));
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
			 connection_limit_used(&acceptor->process->limit), strerror(error));
}

static void pause_accepting(struct acceptor *acceptor, int error)
{
	struct timeval delay;

	log_pause(acceptor, error);
	enter(acceptor, ACCEPTOR_PAUSED);
	delay = timeval_from_ms(acceptor->pause_ms);
	if (event_add(&acceptor->pause, &delay) < 0) { /* busy, but not stuck */
		enter(acceptor, ACCEPTOR_FULL);
		mailbox_post(&acceptor->loop->mailbox, &acceptor->resume);
	}
	acceptor->pause_ms *= 2;
	if (acceptor->pause_ms > PAUSE_MAX_MS)
		acceptor->pause_ms = PAUSE_MAX_MS;
}

static void stop(struct acceptor *acceptor)
{
	enter(acceptor, ACCEPTOR_STOPPED);
	mailbox_post(&acceptor->process->loop.mailbox, &acceptor->stopped);
}

static bool all_done(const struct roster *roster)
{
	for (size_t i = 0; i < roster->n; i++)
		if (!socket_of(&roster->sources[i])->done)
			return false;
	return true;
}

static void close_source(struct accept_source *source, int error)
{
	struct acceptor *acceptor = source->acceptor;

	if (error != -ESHUTDOWN) {
		log_line(LOG_ERR, "%s: accepting failed: %s; this listener is given up",
			 socket_of(source)->text, strerror(-error));
		atomic_store(&acceptor->process->exit_status, 1);
	}
	event_del(&source->event);
	socket_of(source)->done = true;
	if (all_done(acceptor->roster)) {
		stop(acceptor);
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

	if (!dispatch_is_ready(&acceptor->dispatch))
		return accept_failed(source, -ENOMEM);
	if (!connection_limit_take(&acceptor->process->limit)) {
		log_full(acceptor);
		enter(acceptor, ACCEPTOR_FULL);
		return ACCEPT_STOP;
	}
	r = sfront_listener_accept_at(socket->listener->open, socket->index, &connection);
	if (r < 0) {
		/* It was held for a moment only, but another worker may have wanted it just then.
		 */
		process_give_slot(acceptor->process);
		return accept_failed(source, r);
	}
	acceptor->pause_ms = PAUSE_MIN_MS;
	dispatch_connection(&acceptor->dispatch, source->proxy, source->index, &connection);
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
	const struct roster *roster = acceptor->roster;
	size_t in_vain = 0, taken = 0;

	while (in_vain < roster->n && taken < most) {
		struct accept_source *source = &acceptor->roster->sources[acceptor->next];
		enum accept_result result = ACCEPT_NOBODY;

		acceptor->next = (acceptor->next + 1) % roster->n;
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
	if (accept_in_turns(acceptor, BURST_MAX * acceptor->roster->n) &&
	    acceptor->state != ACCEPTOR_STOPPED)
		enter(acceptor, ACCEPTOR_OPEN);
}

static void pause_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	reopen(arg);
}

static void use_roster(struct acceptor *acceptor, struct roster *roster)
{
	acceptor->roster = roster;
	acceptor->next = 0;
	for (size_t i = 0; i < roster->n; i++) {
		struct accept_source *source = &roster->sources[i];
		const struct proxy_socket *socket = &source->proxy->sockets[source->index];

		source->acceptor = acceptor;
		event_assign(&source->event, acceptor->loop->base,
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

static void take_queues(struct roster *roster)
{
	for (size_t i = 0; i < roster->n; i++)
		if (roster->sources[i].leaves)
			take_queue(&roster->sources[i]);
}

/* ---- messages from the main thread ---- */

static void begin(struct acceptor *acceptor, struct roster *roster)
{
	use_roster(acceptor, roster);
	if (all_done(roster))
		stop(acceptor);
	else
		enter(acceptor, ACCEPTOR_OPEN);
}

static void go_over(struct acceptor *acceptor, struct roster *roster)
{
	take_queues(acceptor->roster);
	sources_rest(acceptor->roster);
	use_roster(acceptor, roster);
	if (acceptor->state == ACCEPTOR_OPEN && !sources_listen(roster))
		pause_accepting(acceptor, ENOMEM);
}

static void switch_delivered(struct message *message)
{
	struct acceptor *acceptor = message_owner(message, struct acceptor, switch_over);

	if (acceptor->roster)
		go_over(acceptor, acceptor->next_roster);
	else
		begin(acceptor, acceptor->next_roster);
	mailbox_post(&acceptor->process->loop.mailbox, &acceptor->switched);
}

static void resume(struct acceptor *acceptor)
{
	if (acceptor->state == ACCEPTOR_FULL)
		reopen(acceptor);
}

static void resume_delivered(struct message *message)
{
	resume(message_owner(message, struct acceptor, resume));
}

static void slot_free_delivered(struct message *message)
{
	resume(message_owner(message, struct process, limit.slot_free)->acceptor);
}

static void drain_delivered(struct message *message)
{
	struct acceptor *acceptor = message_owner(message, struct acceptor, drain);

	if (acceptor->state == ACCEPTOR_OPEN || acceptor->state == ACCEPTOR_PAUSED)
		(void)accept_in_turns(acceptor, DRAIN_MAX);
	stop(acceptor);
}

static void stop_delivered(struct message *message)
{
	stop(message_owner(message, struct acceptor, stop));
}

static bool stops_idle(struct acceptor *acceptor)
{
	struct roster *roster = acceptor->roster;

	if (acceptor->state != ACCEPTOR_OPEN ||
	    connection_limit_used(&acceptor->process->limit) > 0)
		return false;
	for (size_t i = 0; i < roster->n; i++)
		if (!socket_of(&roster->sources[i])->done &&
		    accept_one(&roster->sources[i]) != ACCEPT_NOBODY)
			return false;
	enter(acceptor, ACCEPTOR_STOPPED);
	return true;
}

static void stop_if_idle_delivered(struct message *message)
{
	struct acceptor *acceptor = message_owner(message, struct acceptor, stop_if_idle);

	acceptor->stopped_idle = stops_idle(acceptor);
	mailbox_post(&acceptor->process->loop.mailbox, &acceptor->asked_if_idle);
}

/* ---- on the main thread ---- */

static size_t count_sockets(const struct generation *generation)
{
	size_t n = 0;

	for (size_t i = 0; i < generation->n_proxies; i++)
		n += generation->proxies[i]->n_sockets;
	return n;
}

struct roster *roster_new(const struct generation *generation)
{
	size_t n = count_sockets(generation);
	struct roster *roster = calloc(1, sizeof(*roster) + n * sizeof(*roster->sources));

	if (!roster)
		return NULL;
	for (size_t i = 0; i < generation->n_proxies; i++)
		for (size_t j = 0; j < generation->proxies[i]->n_sockets; j++)
			roster->sources[roster->n++] = (struct accept_source){
				.proxy = generation->proxies[i], .index = j, .burst = 1
			};
	return roster;
}

static void note_leaving(struct roster *before, const struct roster *next)
{
	const struct generation *newest = NULL;

	if (next->n > 0)
		newest = next->sources[0].proxy->sockets[next->sources[0].index].listener->newest;
	for (size_t i = 0; i < before->n; i++) {
		struct accept_source *source = &before->sources[i];

		source->leaves = source->proxy->sockets[source->index].listener->newest != newest;
	}
}

void acceptor_switch(struct acceptor *acceptor, struct roster *roster)
{
	if (acceptor->next_roster)
		note_leaving(acceptor->next_roster, roster);
	acceptor->next_roster = roster;
	mailbox_post(&acceptor->loop->mailbox, &acceptor->switch_over);
}

void acceptor_resume(struct acceptor *acceptor)
{
	mailbox_post(&acceptor->loop->mailbox, &acceptor->resume);
}

void acceptor_drain(struct acceptor *acceptor)
{
	mailbox_post(&acceptor->loop->mailbox, &acceptor->drain);
}

void acceptor_stop(struct acceptor *acceptor)
{
	mailbox_post(&acceptor->loop->mailbox, &acceptor->stop);
}

void acceptor_stop_if_idle(struct acceptor *acceptor)
{
	mailbox_post(&acceptor->loop->mailbox, &acceptor->stop_if_idle);
}

struct acceptor *acceptor_new(struct process *process)
{
	struct acceptor *acceptor = calloc(1, sizeof(*acceptor));

	if (!acceptor)
		return NULL;
	acceptor->process = process;
	acceptor->loop = &process->workers[0].host.loop;
	acceptor->dispatch.process = process;
	acceptor->state = ACCEPTOR_STOPPED;
	acceptor->pause_ms = PAUSE_MIN_MS;
	acceptor->switch_over.deliver = switch_delivered;
	acceptor->resume.deliver = resume_delivered;
	acceptor->drain.deliver = drain_delivered;
	acceptor->stop.deliver = stop_delivered;
	acceptor->stop_if_idle.deliver = stop_if_idle_delivered;
	process->limit.waiter = &acceptor->loop->mailbox;
	process->limit.slot_free.deliver = slot_free_delivered;
	event_assign(&acceptor->pause, acceptor->loop->base, -1, 0, pause_over, acceptor);
	return acceptor;
}

void acceptor_free(struct acceptor *acceptor)
{
	if (!acceptor)
		return;
	if (acceptor->roster)
		sources_rest(acceptor->roster);
	event_del(&acceptor->pause);
	dispatch_clear(&acceptor->dispatch);
	free(acceptor);
}
