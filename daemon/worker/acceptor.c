/* SPDX-License-Identifier: MIT */
/*
 * Accepts connections and hands them to the workers.  Between the library's
 * listeners and dispatch.c.
 */
#include "daemon/worker/acceptor.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "daemon/proxy/generation.h"
#include "daemon/proxy/proxy_counts.h"
#include "daemon/relay/endpoint.h"
#include "daemon/session/admission.h"
#include "daemon/worker/process.h"
#include "daemon/worker/process_counts.h"
#include "daemon/worker/totals.h"
#include "daemon/worker/worker.h"

/* Clients taken from one descriptor at most before everything else gets its turn. */
#define BURST_MAX 16

/* Clients of one queue that are taken at most where the kernel does not say how many wait. */
#define QUEUE_MAX 65536

/* Turns in a row that took all they were allowed, before more are allowed. */
#define TURNS_TO_GROW 8

/* How often the log hears of clients that wait for a slot. */
#define FULL_SAID_MS 60000

/* When the first is due where none rests. */
#define REST_OF_NOBODY UINT64_MAX

#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 1000

/* How late a timer may be, and those who wait for a token lose nothing. */
#define TOKEN_LATE_MAX_NS UINT64_C(20000000)

/* How long a queue that will be closed waits for a slot before one client gets in without. */
static const struct timeval patience = { .tv_sec = 1 };

static struct listener_socket *socket_of(const struct accept_source *source)
{
	return proxy_socket_at(source->proxy, source->index);
}

static struct listener *listener_of(const struct accept_source *source)
{
	return source->proxy->sockets[source->index].listener;
}

static int fd_of(const struct accept_source *source)
{
	return sfront_listener_fd(listener_of(source)->open,
				  source->proxy->sockets[source->index].index);
}

static int accept_from(const struct accept_source *source, struct sfront_connection *ret)
{
	return sfront_listener_accept_at(listener_of(source)->open,
					 source->proxy->sockets[source->index].index, ret);
}

static unsigned int longer_pause(unsigned int ms)
{
	return ms < PAUSE_MAX_MS / 2 ? 2 * ms : PAUSE_MAX_MS;
}

/* ---- states ---- */

static void enter(struct acceptor *acceptor, enum acceptor_state state);
static void pause_accepting(struct acceptor *acceptor, int error);

static bool poll_source(struct accept_source *source)
{
	return source->state != SOURCE_READY || event_add(&source->readable, NULL) == 0;
}

/* False: one of them at least cannot be polled. */
static bool poll_sources(struct acceptor *acceptor)
{
	struct accept_source *source;
	bool ok = true;

	TAILQ_FOREACH (source, &acceptor->turns, turn)
		ok &= poll_source(source);
	return ok;
}

static void unpoll_sources(struct acceptor *acceptor)
{
	struct accept_source *source;

	TAILQ_FOREACH (source, &acceptor->turns, turn)
		event_del(&source->readable);
}

static void roster_put(struct roster *roster)
{
	if (--roster->n_users > 0)
		return;
	event_del(&roster->deadline);
	mailbox_post(&roster->acceptor->process->loop.mailbox, &roster->over);
}

/* May free the roster, if that was the last one that an older roster had. */
static void source_enter(struct accept_source *source, enum source_state state)
{
	struct acceptor *acceptor = source->roster->acceptor;

	if (source->state == SOURCE_READY)
		event_del(&source->readable);
	source->state = state;
	if (state == SOURCE_DONE) {
		TAILQ_REMOVE(&acceptor->turns, source, turn);
		acceptor->n_turns--;
		roster_put(source->roster);
	} else if (acceptor->state == ACCEPTOR_OPEN && !poll_source(source)) {
		pause_accepting(acceptor, ENOMEM);
	}
}

static void stop(struct acceptor *acceptor)
{
	enter(acceptor, ACCEPTOR_STOPPED);
	mailbox_post(&acceptor->process->loop.mailbox, &acceptor->stopped);
}

/* Whatever is awaited for a source, it has had its last client. */
static void source_finish(struct accept_source *source)
{
	struct acceptor *acceptor = source->roster->acceptor;

	source_enter(source, SOURCE_DONE);
	if (acceptor->n_turns == 0)
		stop(acceptor);
}

static void count_pause(const struct acceptor *acceptor, enum acceptor_state state)
{
	if (state == ACCEPTOR_FULL)
		process_count(acceptor->process, PROCESS_PAUSES_FULL);
	else if (state == ACCEPTOR_PAUSED)
		process_count(acceptor->process, PROCESS_PAUSES_RESOURCES);
}

static void enter(struct acceptor *acceptor, enum acceptor_state state)
{
	if (acceptor->state == state)
		return;
	if (acceptor->state == ACCEPTOR_OPEN)
		unpoll_sources(acceptor);
	event_del(&acceptor->pause);
	acceptor->state = state;
	count_pause(acceptor, state);
	if (state == ACCEPTOR_OPEN && !poll_sources(acceptor))
		pause_accepting(acceptor, ENOMEM);
	if (state == ACCEPTOR_STOPPED) {
		event_del(&acceptor->rest);
		acceptor->rest_due_ms = REST_OF_NOBODY;
		event_del(&acceptor->patience);
	}
}

/* ---- what the log hears ---- */

/* Where that is how things are, once in a while is enough. */
static bool is_due(uint64_t *said_ms)
{
	uint64_t now = clock_ms();

	if (*said_ms != 0 && now - *said_ms < FULL_SAID_MS)
		return false;
	*said_ms = now;
	return true;
}

/* The proxy that has the most connections; NULL where there is only one. */
static const struct proxy *fullest(const struct acceptor *acceptor)
{
	const struct generation *generation = acceptor->roster->generation;
	const struct proxy *most = generation->n_proxies > 1 ? generation->proxies[0] : NULL;

	for (size_t i = 1; i < generation->n_proxies; i++)
		if (connection_limit_used(&generation->proxies[i]->limit->connections) >
		    connection_limit_used(&most->limit->connections))
			most = generation->proxies[i];
	return most;
}

static void log_full(struct acceptor *acceptor)
{
	unsigned int used = connection_limit_used(&acceptor->process->limit);
	const struct proxy *proxy;

	if (!is_due(&acceptor->full_said_ms))
		return;
	proxy = fullest(acceptor);
	if (proxy)
		log_line(LOG_NOTICE,
			 "max-connections is reached, with %u up, of which [proxy %s] has %u: "
			 "further clients wait",
			 used, proxy->config.name,
			 connection_limit_used(&proxy->limit->connections));
	else
		log_line(LOG_NOTICE, "max-connections is reached, with %u up: further clients wait",
			 used);
}

static void log_held(const struct accept_source *source)
{
	struct proxy_limit *limit = source->proxy->limit;

	if (!is_due(&limit->full_said_ms))
		return;
	if (connection_limit_used(&limit->connections) >= source->proxy->config.max_connections &&
	    source->proxy->config.max_connections > 0)
		log_line(LOG_NOTICE,
			 "[proxy %s]: its max-connections is reached, with %u up: further clients "
			 "wait",
			 source->proxy->config.name, connection_limit_used(&limit->connections));
	else
		log_line(LOG_NOTICE,
			 "[proxy %s] has %u connections, as many as leave the other proxies an "
			 "eighth of max-connections: its further clients wait",
			 source->proxy->config.name, connection_limit_used(&limit->connections));
}

static void log_awaited(const struct accept_source *source)
{
	struct proxy_limit *limit = source->proxy->limit;

	if (is_due(&limit->awaited_said_ms))
		log_line(LOG_NOTICE,
			 "%s: %u clients owe a PROXY protocol header, and no more may at once: "
			 "further clients wait",
			 socket_of(source)->text, connection_limit_used(&limit->awaited));
}

static void log_max_held(const struct accept_source *source)
{
	struct proxy_limit *limit = source->proxy->limit;

	if (is_due(&limit->held_said_ms))
		log_line(LOG_NOTICE,
			 "[proxy %s]: its max-held is reached: %u clients wait for the backend, "
			 "further ones wait in the queue",
			 source->proxy->config.name, connection_limit_used(&limit->held));
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

static void log_forbidden(const struct accept_source *source, int error)
{
	static struct log_limit limit;
	unsigned int dropped;

	if (log_limit_passes(&limit, &dropped))
		log_line(
			LOG_WARNING,
			"%s: accepting is forbidden, by SELinux, a seccomp filter or the like: %s; "
			"clients wait, and it is tried again%s",
			socket_of(source)->text, strerror(-error),
			dropped > 0 ? "; similar messages were held back" : "");
}

/* ---- pauses ---- */

/* A drain goes on as one: it tries again when the pause is over, or a slot comes free. */
static void wait_as(struct acceptor *acceptor, enum acceptor_state state)
{
	if (acceptor->state != ACCEPTOR_DRAINING)
		enter(acceptor, state);
}

static void pause_accepting(struct acceptor *acceptor, int error)
{
	struct timeval delay = timeval_from_ms(acceptor->pause_ms);

	log_pause(acceptor, error);
	wait_as(acceptor, ACCEPTOR_PAUSED);
	if (event_add(&acceptor->pause, &delay) < 0) { /* busy, but not stuck */
		wait_as(acceptor, ACCEPTOR_FULL);
		acceptor_resume(acceptor);
	}
	acceptor->pause_ms = longer_pause(acceptor->pause_ms);
}

/* Sets the timer for the RESTING sources of which the first is due at @due_ms. */
static void set_rest_timer(struct acceptor *acceptor, uint64_t due_ms)
{
	uint64_t now = clock_exact_ms();
	struct timeval delay = timeval_from_ms(due_ms > now ? due_ms - now : 0);
	struct accept_source *source;

	acceptor->rest_due_ms = due_ms;
	if (event_add(&acceptor->rest, &delay) == 0)
		return;
	acceptor->rest_due_ms = REST_OF_NOBODY;
	TAILQ_FOREACH (source, &acceptor->turns, turn) /* busy, but not stuck */
		if (source->state == SOURCE_RESTING)
			source_enter(source, SOURCE_READY);
}

static uint64_t first_rest_due(const struct acceptor *acceptor)
{
	const struct accept_source *source;
	uint64_t due = REST_OF_NOBODY;

	TAILQ_FOREACH (source, &acceptor->turns, turn)
		if (source->state == SOURCE_RESTING && source->rest_due_ms < due)
			due = source->rest_due_ms;
	return due;
}

static void rest_over(evutil_socket_t fd, short what, void *arg)
{
	struct acceptor *acceptor = arg;
	struct accept_source *source;
	uint64_t now = clock_exact_ms(), due;

	(void)fd;
	(void)what;
	TAILQ_FOREACH (source, &acceptor->turns, turn)
		if (source->state == SOURCE_RESTING && source->rest_due_ms <= now)
			source_enter(source, SOURCE_READY);
	acceptor->rest_due_ms = REST_OF_NOBODY;
	due = first_rest_due(acceptor);
	if (due != REST_OF_NOBODY)
		set_rest_timer(acceptor, due);
}

/* Thousands may begin to rest at once: the others are not gone through for each. */
static void rest_for(struct accept_source *source, uint64_t ms)
{
	struct acceptor *acceptor = source->roster->acceptor;

	source->rest_due_ms = clock_exact_ms() + ms;
	source_enter(source, SOURCE_RESTING);
	if (source->rest_due_ms < acceptor->rest_due_ms)
		set_rest_timer(acceptor, source->rest_due_ms);
}

static void rest(struct accept_source *source)
{
	uint64_t ms = source->rest_ms;

	source->rest_ms = longer_pause(source->rest_ms);
	rest_for(source, ms);
}

/*
 * Whether its proxy has had as many new connections as its rate allows: clients wait
 * in the queue.  Those of a listener that will be closed cannot.
 */
static bool rests_for_rate(struct accept_source *source)
{
	const struct rate *rate = &source->proxy->config.connection_rate;
	uint64_t now_ns, wait_ns;

	if (rate->count == 0 || source->state == SOURCE_LEAVING)
		return false;
	now_ns = clock_exact_ns();
	wait_ns = bucket_wait_ns(&source->proxy->limit->bucket, rate, now_ns);
	if (wait_ns == 0)
		return false;
	source->token_due_ns = now_ns + wait_ns;
	rest_for(source, wait_ns / 1000000 + 1);
	return true;
}

/*
 * A client that has waited for a token has it from when it was due: a timer that is late
 * makes the rate no lower.
 */
static void count_for_rate(const struct accept_source *source)
{
	const struct rate *rate = &source->proxy->config.connection_rate;
	uint64_t now_ns, from_ns;

	if (rate->count == 0)
		return;
	now_ns = clock_exact_ns();
	from_ns = now_ns - TOKEN_LATE_MAX_NS;
	if (source->token_due_ns == 0)
		from_ns = now_ns;
	else if (source->token_due_ns > from_ns)
		from_ns = source->token_due_ns;
	bucket_take(&source->proxy->limit->bucket, rate, from_ns);
}

/* ---- one client ---- */

enum accept_result {
	ACCEPT_TAKEN,
	ACCEPT_NOBODY,  /* nobody is to be had here now */
	ACCEPT_NO_SLOT, /* nor anywhere, until a slot comes free */
	ACCEPT_NO_ROOM  /* nor anywhere, until a pause is over */
};

static enum accept_result accept_failed(struct accept_source *source, int error)
{
	struct acceptor *acceptor = source->roster->acceptor;

	if (error == -EPERM || error == -EACCES) {
		log_forbidden(source, error);
		if (source->state == SOURCE_LEAVING)
			source_finish(source);
		else
			rest(source);
		return ACCEPT_NOBODY;
	}
	if (sfront_accept_should_pause(error)) {
		pause_accepting(acceptor, -error);
		return ACCEPT_NO_ROOM;
	}
	if (error == -EAGAIN) {
		source->token_due_ns = 0;
		if (source->state == SOURCE_LEAVING)
			source_finish(source);
		return ACCEPT_NOBODY;
	}
	if (error == -ESHUTDOWN) {
		socket_of(source)->done = true;
	} else {
		log_line(LOG_ERR, "%s: accepting failed: %s; this listener is given up",
			 socket_of(source)->text, strerror(-error));
		atomic_store(&acceptor->process->exit_status, 1);
	}
	source_finish(source);
	return ACCEPT_NOBODY;
}

static void hold(struct accept_source *source)
{
	if (source->state == SOURCE_READY)
		source_enter(source, SOURCE_HELD);
}

static enum accept_result take_slot(struct accept_source *source)
{
	struct acceptor *acceptor = source->roster->acceptor;
	struct connection_limit *own = &source->proxy->limit->connections;

	if (rests_for_rate(source))
		return ACCEPT_NOBODY;
	if (!connection_limit_take(own)) {
		log_held(source);
		hold(source);
		return ACCEPT_NOBODY;
	}
	if (!process_await_header(acceptor->process, source->proxy)) {
		(void)connection_limit_give(own);
		log_awaited(source);
		hold(source);
		return ACCEPT_NOBODY;
	}
	if (!process_hold(source->proxy)) {
		process_settle_header(acceptor->process, source->proxy);
		(void)connection_limit_give(own);
		log_max_held(source);
		hold(source);
		return ACCEPT_NOBODY;
	}
	if (!connection_limit_take(&acceptor->process->limit)) {
		/* Others of the proxy that wait for one are asked once any slot is free. */
		(void)connection_limit_give(own);
		process_settle_header(acceptor->process, source->proxy);
		process_unhold(acceptor->process, source->proxy);
		log_full(acceptor);
		wait_as(acceptor, ACCEPTOR_FULL);
		return ACCEPT_NO_SLOT;
	}
	if (source->state == SOURCE_HELD)
		source_enter(source, SOURCE_READY);
	return ACCEPT_TAKEN;
}

/* One of those that were queued was accepted. */
static void note_left(struct accept_source *source)
{
	(void)event_add(&source->roster->acceptor->patience, &patience);
	if (--source->left == 0)
		source_finish(source);
}

static void give_slot(const struct accept_source *source)
{
	struct process *process = source->roster->acceptor->process;

	process_settle_header(process, source->proxy);
	process_unhold(process, source->proxy);
	process_give_slot(process, source->proxy);
}

static void dispatch(const struct accept_source *source, const struct sfront_connection *connection)
{
	struct acceptor *acceptor = source->roster->acceptor;

	if (!connection->header_due)
		process_settle_header(acceptor->process, source->proxy);
	dispatch_connection(&acceptor->dispatch, source->proxy, source->index, connection);
}

/* The slots are taken. */
static enum accept_result accept_into_slot(struct accept_source *source)
{
	struct acceptor *acceptor = source->roster->acceptor;
	struct sfront_connection connection;
	int r = accept_from(source, &connection);

	if (r < 0) {
		/* It was held for a moment only, but another source may have wanted it just then.
		 */
		give_slot(source);
		return accept_failed(source, r);
	}
	acceptor->pause_ms = PAUSE_MIN_MS;
	source->rest_ms = PAUSE_MIN_MS;
	counters_add(source->proxy->sockets[source->index].counts, LISTENER_ACCEPTED, 1);
	if (admission_grant(source->proxy, source->index, &connection)) {
		count_for_rate(source);
		dispatch(source, &connection);
	} else {
		give_slot(source);
	}
	if (socket_of(source)->is_single) /* it was all there was */
		(void)accept_failed(source, -ESHUTDOWN);
	else if (source->state == SOURCE_LEAVING)
		note_left(source);
	return ACCEPT_TAKEN;
}

static enum accept_result accept_one(struct accept_source *source)
{
	enum accept_result slot;

	if (!dispatch_is_ready(&source->roster->acceptor->dispatch))
		return accept_failed(source, -ENOMEM);
	slot = take_slot(source);
	return slot == ACCEPT_TAKEN ? accept_into_slot(source) : slot;
}

/* ---- turns ---- */

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

/* All others come first from now on. */
static void turn_over(struct acceptor *acceptor, struct accept_source *source)
{
	TAILQ_REMOVE(&acceptor->turns, source, turn);
	TAILQ_INSERT_TAIL(&acceptor->turns, source, turn);
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
	if (taken > 0 && source->state != SOURCE_DONE)
		turn_over(source->roster->acceptor, source);
}

/* Sources that are polled need not be asked. */
static bool is_to_be_asked(const struct accept_source *source)
{
	return source->state == SOURCE_HELD || source->state == SOURCE_LEAVING ||
	       (source->state == SOURCE_READY && source->roster->acceptor->state != ACCEPTOR_OPEN);
}

enum turns_result {
	TURNS_NOBODY, /* nobody is left who could be accepted */
	TURNS_MORE,   /* perhaps somebody is */
	TURNS_WAIT    /* nobody can be accepted now: see the acceptor's state */
};

/*
 * Takes one client from each source after the other, @most in all.  A turn for which
 * there was no slot is not over: with few slots, some listeners would never get one.
 */
static enum turns_result accept_in_turns(struct acceptor *acceptor, size_t most)
{
	size_t in_vain = 0, taken = 0;

	while (in_vain < acceptor->n_turns && taken < most) {
		struct accept_source *source = TAILQ_FIRST(&acceptor->turns);
		enum accept_result result = ACCEPT_NOBODY;
		size_t before = acceptor->n_turns;

		if (is_to_be_asked(source))
			result = accept_one(source);
		if (result == ACCEPT_NO_SLOT)
			return TURNS_WAIT;
		in_vain = result == ACCEPT_TAKEN ? 0 : in_vain + 1;
		taken += result == ACCEPT_TAKEN;
		if (acceptor->n_turns == before)
			turn_over(acceptor, source);
		else if (in_vain > 0) /* it is DONE, and had a turn for the last time */
			in_vain--;
		if (result == ACCEPT_NO_ROOM)
			return TURNS_WAIT;
	}
	return taken < most ? TURNS_NOBODY : TURNS_MORE;
}

/* While there are more clients than slots, the listeners are not even polled. */
static void reopen(struct acceptor *acceptor)
{
	enum turns_result result = accept_in_turns(acceptor, BURST_MAX * acceptor->n_turns);

	if (result == TURNS_WAIT)
		return;
	if (acceptor->state == ACCEPTOR_FULL || acceptor->state == ACCEPTOR_PAUSED)
		enter(acceptor, ACCEPTOR_OPEN);
	if (result == TURNS_MORE) /* the connections want a turn, too */
		acceptor_resume(acceptor);
}

static void pause_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	reopen(arg);
}

/* ---- the end of a source ---- */

static struct accept_source *first_leaving(struct acceptor *acceptor)
{
	struct accept_source *source;

	TAILQ_FOREACH (source, &acceptor->turns, turn)
		if (source->state == SOURCE_LEAVING)
			return source;
	return NULL;
}

/*
 * A limit makes clients wait; those whose queue will be closed would be lost to it, where
 * no connection ends in time.  There are no more of them than were queued then.
 */
static void patience_over(evutil_socket_t fd, short what, void *arg)
{
	struct acceptor *acceptor = arg;
	struct connection_limit *limit = &acceptor->process->limit;
	struct accept_source *source = first_leaving(acceptor);

	(void)fd;
	(void)what;
	if (!source)
		return;
	(void)event_add(&acceptor->patience, &patience);
	if (connection_limit_used(limit) >= acceptor->process->possible_connections ||
	    !dispatch_is_ready(&acceptor->dispatch))
		return;
	turn_over(acceptor, source);
	connection_limit_exceed(&source->proxy->limit->connections);
	connection_limit_exceed(limit);
	process_exceed_awaited(acceptor->process, source->proxy);
	process_exceed_held(source->proxy);
	(void)accept_into_slot(source);
}

/* How many clients wait at a listening socket, or QUEUE_MAX where that is not to be known. */
static unsigned int count_queued(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || info.tcpi_state != TCP_LISTEN)
		return QUEUE_MAX;
	return info.tcpi_unacked; /* of a listening socket: that number */
}

/* The clients that are queued are let in under its last settings. */
static void leave(struct accept_source *source)
{
	source->left = count_queued(fd_of(source));
	(void)event_add(&source->roster->acceptor->patience, &patience);
	source_enter(source, source->left > 0 ? SOURCE_LEAVING : SOURCE_DONE);
}

/* Resets every client in the queue; returns how many there were. */
static unsigned int reset_queue(const struct accept_source *source)
{
	struct sfront_connection connection;
	unsigned int n, rest;
	int r = 0;

	for (n = 0; n < QUEUE_MAX; n++) {
		r = accept_from(source, &connection);
		if (r < 0)
			break;
		endpoint_turn_away(&connection);
	}
	if (r == -EAGAIN)
		return n;
	rest = count_queued(fd_of(source)); /* closing the listener resets these */
	return rest < QUEUE_MAX ? n + rest : n;
}

/* What others have too, they may serve. */
static void turn_queue_away(const struct accept_source *source)
{
	const struct listener *listener = listener_of(source);
	bool is_ours_alone = listener_is_own(listener) && !atomic_load(&listener->is_shared);
	unsigned int n = is_ours_alone ? reset_queue(source) : count_queued(fd_of(source));

	if (is_ours_alone && n > 0)
		log_line(LOG_NOTICE,
			 "%s: %u client(s) in the queue were turned away: no connection ended in "
			 "time to make room for them (max-connections)",
			 socket_of(source)->text, n);
	else if (!is_ours_alone && n > 0 && n < QUEUE_MAX)
		log_line(LOG_NOTICE,
			 "%s: %u client(s) are left in the queue for whoever else has the socket",
			 socket_of(source)->text, n);
}

static void deadline_passed(evutil_socket_t fd, short what, void *arg)
{
	struct roster *roster = arg;
	struct acceptor *acceptor = roster->acceptor;

	(void)fd;
	(void)what;
	roster->n_users++; /* it is used here */
	for (size_t i = 0; i < roster->n; i++)
		if (roster->sources[i].state == SOURCE_LEAVING) {
			turn_queue_away(&roster->sources[i]);
			source_enter(&roster->sources[i], SOURCE_DONE);
		}
	roster_put(roster);
	if (acceptor->n_turns == 0)
		stop(acceptor);
}

/* ---- messages from the main thread ---- */

static void use_roster(struct acceptor *acceptor, struct roster *roster)
{
	acceptor->roster = roster;
	roster->acceptor = acceptor;
	roster->n_users = 1;
	event_assign(&roster->deadline, acceptor->loop->base, -1, 0, deadline_passed, roster);
	for (size_t i = 0; i < roster->n; i++) {
		struct accept_source *source = &roster->sources[i];

		if (socket_of(source)->done)
			continue;
		event_assign(&source->readable, acceptor->loop->base, fd_of(source),
			     EV_READ | EV_PERSIST, source_readable, source);
		roster->n_users++;
		acceptor->n_turns++;
		TAILQ_INSERT_TAIL(&acceptor->turns, source, turn);
		source_enter(source, SOURCE_READY);
	}
}

/* What the new one has too, it takes over; whatever is left of the others is still to come. */
static void retire_others(struct acceptor *acceptor, const struct roster *roster)
{
	struct accept_source *source, *next;

	for (source = TAILQ_FIRST(&acceptor->turns); source; source = next) {
		next = TAILQ_NEXT(source, turn);
		if (source->roster == roster)
			continue;
		if (listener_of(source)->newest == roster->generation)
			source_enter(source, SOURCE_DONE);
		else if (source->state != SOURCE_LEAVING)
			leave(source);
	}
}

static void set_deadline(struct roster *roster, uint64_t ms)
{
	struct timeval within = timeval_from_ms(ms);

	if (ms != SFRONT_INFINITY_MS && event_add(&roster->deadline, &within) < 0)
		deadline_passed(-1, EV_TIMEOUT, roster);
}

static void go_over(struct acceptor *acceptor, struct roster *roster)
{
	struct roster *before = acceptor->roster;

	use_roster(acceptor, roster);
	retire_others(acceptor, roster);
	set_deadline(before, roster->generation->process.drain_timeout_ms);
	roster_put(before);
	/* At once: what nobody waits for any more is closed before the reload is said to be over.
	 */
	if (acceptor->state == ACCEPTOR_OPEN || acceptor->state == ACCEPTOR_FULL)
		reopen(acceptor);
}

static void switch_delivered(struct message *message)
{
	struct acceptor *acceptor = message_owner(message, struct acceptor, switch_over);

	if (acceptor->roster) {
		go_over(acceptor, acceptor->next_roster);
	} else {
		use_roster(acceptor, acceptor->next_roster);
		enter(acceptor, ACCEPTOR_OPEN);
	}
	if (acceptor->n_turns == 0)
		stop(acceptor);
	mailbox_post(&acceptor->process->loop.mailbox, &acceptor->switched);
}

static void resume_delivered(struct message *message)
{
	struct acceptor *acceptor = message_owner(message, struct acceptor, resume);

	if (acceptor->state != ACCEPTOR_PAUSED && acceptor->state != ACCEPTOR_STOPPED)
		reopen(acceptor);
}

static void drain_delivered(struct message *message)
{
	struct acceptor *acceptor = message_owner(message, struct acceptor, drain);
	struct accept_source *source, *next;

	if (acceptor->state == ACCEPTOR_STOPPED) {
		stop(acceptor);
		return;
	}
	enter(acceptor, ACCEPTOR_DRAINING);
	for (source = TAILQ_FIRST(&acceptor->turns); source; source = next) {
		next = TAILQ_NEXT(source, turn);
		if (listener_of(source)->is_taken_over)
			source_enter(source, SOURCE_DONE);
		else if (source->state != SOURCE_LEAVING)
			leave(source);
	}
	(void)accept_in_turns(acceptor, SIZE_MAX);
	if (acceptor->state == ACCEPTOR_STOPPED)
		return;
	if (acceptor->n_turns == 0)
		stop(acceptor);
	else
		mailbox_post(&acceptor->process->loop.mailbox, &acceptor->draining);
}

static void stop_delivered(struct message *message)
{
	struct acceptor *acceptor = message_owner(message, struct acceptor, stop);
	struct accept_source *source;
	bool was_draining = acceptor->state == ACCEPTOR_DRAINING;

	enter(acceptor, ACCEPTOR_STOPPED);
	while ((source = TAILQ_FIRST(&acceptor->turns))) {
		if (was_draining)
			turn_queue_away(source);
		source_enter(source, SOURCE_DONE);
	}
	stop(acceptor);
}

static bool stops_idle(struct acceptor *acceptor)
{
	struct accept_source *source, *next;

	if (acceptor->state != ACCEPTOR_OPEN ||
	    connection_limit_used(&acceptor->process->limit) > total_held(acceptor->process))
		return false;
	for (source = TAILQ_FIRST(&acceptor->turns); source; source = next) {
		next = TAILQ_NEXT(source, turn);
		if (accept_one(source) != ACCEPT_NOBODY || source->state != SOURCE_READY)
			return false;
	}
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

struct roster *roster_new(struct generation *generation, void (*over)(struct message *message))
{
	size_t n = count_sockets(generation);
	struct roster *roster = calloc(1, sizeof(*roster) + n * sizeof(*roster->sources));

	if (!roster)
		return NULL;
	roster->generation = generation;
	roster->over.deliver = over;
	for (size_t i = 0; i < generation->n_proxies; i++)
		for (size_t j = 0; j < generation->proxies[i]->n_sockets; j++)
			roster->sources[roster->n++] = (struct accept_source){
				.roster = roster,
				.proxy = generation->proxies[i],
				.index = j,
				.state = SOURCE_DONE,
				.burst = 1,
				.rest_ms = PAUSE_MIN_MS,
			};
	return roster;
}

void acceptor_switch(struct acceptor *acceptor, struct roster *roster)
{
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
	acceptor->rest_due_ms = REST_OF_NOBODY;
	TAILQ_INIT(&acceptor->turns);
	acceptor->switch_over.deliver = switch_delivered;
	acceptor->resume.deliver = resume_delivered;
	acceptor->drain.deliver = drain_delivered;
	acceptor->stop.deliver = stop_delivered;
	acceptor->stop_if_idle.deliver = stop_if_idle_delivered;
	process->waiter.mailbox = &acceptor->loop->mailbox;
	process->waiter.slot_free = &acceptor->resume;
	event_assign(&acceptor->pause, acceptor->loop->base, -1, 0, pause_over, acceptor);
	event_assign(&acceptor->rest, acceptor->loop->base, -1, 0, rest_over, acceptor);
	event_assign(&acceptor->patience, acceptor->loop->base, -1, 0, patience_over, acceptor);
	return acceptor;
}

void acceptor_free(struct acceptor *acceptor)
{
	if (!acceptor)
		return;
	unpoll_sources(acceptor);
	event_del(&acceptor->pause);
	event_del(&acceptor->rest);
	event_del(&acceptor->patience);
	dispatch_clear(&acceptor->dispatch);
	free(acceptor);
}
