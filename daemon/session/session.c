/* SPDX-License-Identifier: MIT */
/*
 * Sessions: what follows from what happens at their two ends.  Events and deadlines
 * arrive here, relay.c moves the bytes, connect.c finds the backend, and only this file
 * changes the state of a session and frees it.
 */
#include "daemon/session/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/connect.h"
#include "daemon/backend/own_sockets.h"
#include "daemon/backend/server_counts.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/proxy/proxy.h"
#include "daemon/relay/relay.h"
#include "daemon/session/abort.h"
#include "daemon/session/access_log.h"
#include "daemon/session/admission.h"
#include "daemon/session/affinity.h"
#include "daemon/session/coalescing.h"
#include "daemon/session/connection_id.h"
#include "daemon/session/header.h"
#include "daemon/session/host.h"
#include "daemon/session/interest.h"
#include "daemon/session/reason.h"
#include "daemon/session/refusal.h"
#include "daemon/session/report.h"
#include "daemon/session/source_count.h"
#include "daemon/session/state.h"
#include "daemon/session/story.h"
#include "daemon/session/timeouts.h"
#include "daemon/session/view.h"
#include "daemon/session/watch.h"

/*
 * What lasts is looked at more closely after this long: an end that is not read is
 * watched for its reset, one that has ended is asked whether it is still there.
 */
#define LOOK_MS 1000

/* While the process drains, a client waits this long at most for a backend that may never come. */
#define HELD_MS 5000

/*
 * A connection of our own that came back is held this long: a client that is reset, and
 * tries again at once, would make it go round at full speed.
 */
#define LOOP_MS   1000
#define CAME_BACK "our own connection came back"

/* ---- what is waited for ---- */

static void await_header(struct session *session);
static void end_ready(evutil_socket_t fd, short what, void *arg);
static void peer_writable(evutil_socket_t fd, short what, void *arg);

static bool watch_both(struct session *session)
{
	struct event_base *base = session->host->loop.base;
	struct endpoint *client = &session->client, *backend = &session->backend;
	/* What is pending before there is a backend waits for it. */
	bool flows = session->state >= SESSION_RELAYING && !session->starved;
	bool ok = true;

	ok &= watch_end(base, client, interest_of(session, client), end_ready);
	ok &= watch_end(base, backend, interest_of(session, backend), end_ready);
	ok &= watch_pending(base, client, flows, peer_writable);
	ok &= watch_pending(base, backend, flows, peer_writable);
	return ok;
}

static void look_later(struct session *session)
{
	bool unread = endpoint_is_unread(&session->client) || endpoint_is_unread(&session->backend);

	if (session->state == SESSION_RELAYING && unread) {
		if (!session->watch_gone)
			session_deadline_by(session, DEADLINE_LOOK, LOOK_MS);
		return;
	}
	session->watch_gone = false;
}

/* Brings the events in line with the state.  Whatever leaves the session alive ends with it. */
static void session_watch(struct session *session)
{
	if (!watch_both(session) || session->starved)
		session_deadline_by(session, DEADLINE_RETRY, RETRY_MS);
	look_later(session);
}

static void session_unwatch(struct session *session)
{
	watch_end(NULL, &session->client, WATCH_NOTHING, NULL);
	watch_end(NULL, &session->backend, WATCH_NOTHING, NULL);
}

/* ---- the state ---- */

static void drop_pending(struct session *session, struct endpoint *end)
{
	pending_drop(&session->host->pipes, end->pending);
	end->pending = NULL;
}

/* A client is held: for how long, and whether it is still there, if no event tells. */
static void hold(struct session *session)
{
	if (session->host->draining)
		session_deadline_by(session, DEADLINE_HELD, HELD_MS);
	if (session->state == SESSION_CONNECTING && !is_socket(session->client.read_stream))
		session_deadline_by(session, DEADLINE_LOOK, LOOK_MS);
}

static void leave_awaiting_header(struct session *session)
{
	struct session_host *host = session->host;

	if (session->timing) {
		timers_clear(&session->timing->timers, DEADLINE_HEADER);
		timers_clear(&session->timing->timers, DEADLINE_HELD);
	}
	host->ops->header_settled(host, session->proxy);
}

static void leave_connecting(struct session *session)
{
	attempt_cancel(session->attempt);
	session->attempt = NULL;
	if (session->timing)
		timers_clear(&session->timing->timers, DEADLINE_HELD);
}

static void end_hold(struct session *session)
{
	struct session_host *host = session->host;

	if (!session->is_held)
		return;
	session->is_held = false;
	host->ops->not_held(host, session->proxy);
}

/* With one writer, no instruction has to lock the bus. */
static void count_held(struct session_host *host, int change)
{
	unsigned int held = atomic_load_explicit(&host->counts.held, memory_order_relaxed);

	atomic_store_explicit(&host->counts.held, held + (unsigned int)change,
			      memory_order_relaxed);
}

static void count_served(struct session_host *host)
{
	unsigned long long served =
		atomic_load_explicit(&host->counts.served, memory_order_relaxed);

	atomic_store_explicit(&host->counts.served, served + 1, memory_order_relaxed);
}

/* The only place where the state changes: what ends with the old one, and begins with the new. */
static void session_enter(struct session *session, enum session_state state)
{
	if (session->state == SESSION_AWAITING_HEADER) {
		leave_awaiting_header(session);
	} else if (session->state == SESSION_CONNECTING) {
		count_held(session->host, -1);
		counters_add(session->proxy->counts, PROXY_HELD_NO_MORE, 1);
		leave_connecting(session);
	}
	session->state = (uint8_t)state;
	if (state >= SESSION_RELAYING)
		end_hold(session);

	switch (state) {
	case SESSION_NEW:
		break;
	case SESSION_AWAITING_HEADER:
		timeouts_set(session);
		hold(session);
		break;
	case SESSION_CONNECTING:
		count_held(session->host, 1);
		counters_add(session->proxy->counts, PROXY_HELD, 1);
		timeouts_set(session);
		hold(session);
		break;
	case SESSION_RELAYING:
		count_served(session->host);
		timeouts_set(session);
		break;
	case SESSION_ABORTING:
		coalescing_stop(session);
		timeouts_clear(session);
		break;
	case SESSION_CLOSED:
		session_unwatch(session);
		/* An inherited connection may be in somebody else's hands, too. */
		coalescing_stop(session);
		timeouts_stop(session);
		drop_pending(session, &session->client);
		drop_pending(session, &session->backend);
		break;
	}
}

/* ---- the server ---- */

static bool has_moved(const struct session *session)
{
	return session->client.moved > 0 || session->backend.moved > 0;
}

/* Whatever is reset later may be what the client deserves. */
static void note_reset(const struct session *session)
{
	if (session->server && !has_moved(session))
		backend_note_reset(session->server->backend, session->server);
}

static void take_server(struct session *session, struct server *server)
{
	session->server = server;
	backend_ref(server->backend);
}

static void leave_server(const struct session *session)
{
	struct backend *backend;

	if (!session->server)
		return;
	backend = session->server->backend;
	if (has_moved(session))
		health_note_service(&session->server->state->health);
	backend_leave(backend, session->server);
	backend_client_goes(backend);
	backend_unref(backend);
}

/* ---- closing ---- */

/*
 * @reset:  both sides, where the transport knows one
 * @reason: for the log, in words
 */
static void session_close(struct session *session, bool reset, enum connection_end end,
			  const char *reason)
{
	struct session_host *host = session->host;
	struct proxy *proxy = session->proxy;

	session_enter(session, SESSION_CLOSED);
	counters_add(proxy->counts, PROXY_ENDED + end, 1);
	report_end(session, reset, reason);
	if (host->ended)
		view_add_ended(host->ended, session, reason);
	if (session->began_us > 0)
		histogram_add(&duration_histogram, proxy->counts, PROXY_DURATION,
			      clock_exact_us() - session->began_us);
	endpoint_close(&session->client, reset);
	endpoint_close(&session->backend, reset);
	/* Now only: who takes the room connects at once. */
	leave_server(session);

	source_count_end(session);
	free(session->note);
	slab_give(&host->sessions, session);
	host->ops->ended(host, proxy);
	proxy_unref(proxy);
}

static void session_refuse(struct session *session, const struct refusal *refusal)
{
	report_refusal(session, refusal->reason);
	session_close(session, true, refusal->end, refusal->reason);
}

static void session_fail(struct session *session, const char *reason)
{
	report_failure(session, reason);
	session_close(session, true, END_NO_BACKEND, reason);
}

void session_cut(struct session *session)
{
	session->host->ops->cut(session->host);
	session_close(session, true, END_CUT, "cut");
}

/* ---- one side broke ---- */

static void close_broken(struct session *session)
{
	session_close(session, true, session->client_broke ? END_CLIENT_BROKE : END_BACKEND_BROKE,
		      session->reason);
}

/* Delivers what the broken side sent before, then resets both.  May free the session. */
static void abort_on(struct session *session)
{
	if (abort_is_done(session))
		close_broken(session);
	else
		session_watch(session);
}

/* The same, but nobody who has stopped reading is waited for. */
static void abort_check(struct session *session)
{
	if (abort_has_stalled(session))
		close_broken(session);
	else
		abort_on(session);
}

/*
 * @end failed with @error.  A socket may still hold bytes that were received
 * before; a pipe or a terminal that takes no more is simply left.
 */
static void session_break(struct session *session, struct endpoint *end, int error)
{
	struct endpoint *survivor = end_peer(end);

	if (session->state == SESSION_ABORTING) { /* now the other one has failed too */
		close_broken(session);
		return;
	}
	session_enter(session, SESSION_ABORTING);
	if (end->is_backend)
		note_reset(session);
	session->client_broke = !end->is_backend;
	session->reason =
		reason_of_failure(end->is_backend, end->broken != 0 ? end->broken : error);
	if (!is_socket(end->read_stream))
		end->ended = true;
	if (session->single && (end->is_backend || !reason_is_client_gone(error)))
		report_failure(session, session->reason);
	drop_pending(session, survivor);
	abort_check(session);
}

/* ---- bytes ---- */

/*
 * Everything from @from has been delivered, its end of stream too.  May free
 * the session.
 */
static void stream_finished(struct session *session, struct endpoint *from)
{
	struct endpoint *to = end_peer(from);
	bool all_done = to->ended && !to->pending;

	/* Who sits at a terminal is not asked to end the input of a connection that is over. */
	if (from->is_backend && to->read_stream == SFRONT_STREAM_TERMINAL)
		all_done = true;
	/* close() says the same, unless somebody else holds an inherited socket too. */
	if (!all_done || session->single) {
		if (!is_socket(to->write_stream))
			watch_end(NULL, to, WATCH_NOTHING, NULL); /* it may be on what is closed */
		endpoint_finish(to);
	}
	if (all_done) {
		session_close(session, false, END_CLOSED, "closed");
		return;
	}
	timeouts_note_activity(session);
	session_watch(session);
}

/* While ABORTING, only what is here already counts; nobody is waited for. */
static void aborting_result(struct session *session, struct endpoint *from,
			    enum relay_result result, int error)
{
	switch (result) {
	case RELAY_IDLE:
	case RELAY_ENDED:
	case RELAY_READ_FAILED:
		from->ended = true;
		break;
	case RELAY_MOVED:
	case RELAY_BLOCKED:
		break;
	case RELAY_WRITE_FAILED:
		session_break(session, end_peer(from), error);
		return;
	case RELAY_NO_MEMORY:
		session->starved = true;
		break;
	}
	abort_on(session);
}

static void relaying_result(struct session *session, struct endpoint *from,
			    enum relay_result result, int error)
{
	switch (result) {
	case RELAY_MOVED:
	case RELAY_BLOCKED:
		timeouts_note_activity(session);
		coalescing_note(session, from);
		break;
	case RELAY_IDLE:
		break;
	case RELAY_ENDED:
		from->ended = true;
		stream_finished(session, from);
		return;
	case RELAY_READ_FAILED:
		from->ended = true;
		session_break(session, from, error);
		return;
	case RELAY_WRITE_FAILED:
		session_break(session, end_peer(from), error);
		return;
	case RELAY_NO_MEMORY:
		session->starved = true;
		break;
	}
	session_watch(session);
}

/* What follows from a turn or a flush.  May free the session. */
static void bytes_handled(struct session *session, struct endpoint *from, enum relay_result result,
			  int error)
{
	if (session->state == SESSION_ABORTING)
		aborting_result(session, from, result, error);
	else
		relaying_result(session, from, result, error);
}

static void count_bytes(const struct session *session, const struct endpoint *from, uint64_t n)
{
	struct proxy *proxy = session->proxy;

	if (!proxy->counts || n == 0)
		return;
	counters_add(proxy->counts, from->is_backend ? PROXY_DOWN : PROXY_UP, n);
	counters_add(proxy->sockets[session->socket].counts,
		     from->is_backend ? LISTENER_DOWN : LISTENER_UP, n);
	counters_add(session->server->counts, from->is_backend ? SERVER_DOWN : SERVER_UP, n);
}

/* Reads once from @from.  May free the session. */
static void session_turn(struct session *session, struct endpoint *from)
{
	uint64_t moved = from->moved;
	int error = 0;
	enum relay_result result = relay_turn(&session->host->pipes, from, &error);

	count_bytes(session, from, from->moved - moved);
	bytes_handled(session, from, result, error);
}

/* The peer of @from takes more of what is pending.  May free the session. */
static void session_flush(struct session *session, struct endpoint *from)
{
	uint64_t moved = from->moved;
	int error = 0;
	enum relay_result result = relay_flush(&session->host->pipes, from, &error);

	count_bytes(session, from, from->moved - moved);
	bytes_handled(session, from, result, error);
}

/* ---- events ---- */

/*
 * The client is waiting for its backend.  What it sends stays in the kernel,
 * and its end of stream may be that of a complete request; only one that is
 * gone need not wait any longer.
 */
static bool left_while_awaiting(struct session *session)
{
	if (endpoint_error(&session->client) == 0 && !endpoint_left_nothing(&session->client))
		return false;
	session_close(session, false, END_CLIENT_LEFT, "client left while the backend was awaited");
	return true;
}

/*
 * @end has ended its side and takes nothing any more either: once its peer has all that
 * it sent, the connection is over.  Until then, it is looked at again.  Returns whether the
 * session is gone.
 */
static bool ended_for_good(struct session *session, struct endpoint *end)
{
	if (!end->ended || !endpoint_is_gone(end))
		return false;
	if (end->pending || endpoint_unsent(end_peer(end)) > 0) {
		session_deadline(session, DEADLINE_LOOK, LOOK_MS);
		return false;
	}
	session_close(session, true, end->is_backend ? END_BACKEND_BROKE : END_CLIENT_BROKE,
		      reason_of_failure(end->is_backend, EPIPE));
	return true;
}

static void unread_end_changed(struct session *session, struct endpoint *end)
{
	int error = endpoint_error(end);

	if (error != 0)
		session_break(session, end, error);
	else
		ended_for_good(session, end);
}

static void end_ready(evutil_socket_t fd, short what, void *arg)
{
	struct endpoint *end = arg;
	struct session *session = session_of(end);
	enum watch watch = watch_came(end);

	(void)fd;
	(void)what;
	if (session->state == SESSION_AWAITING_HEADER)
		await_header(session);
	else if (session->state == SESSION_CONNECTING)
		left_while_awaiting(session);
	else if (watch == WATCH_READABLE)
		session_turn(session, end);
	else
		unread_end_changed(session, end);
}

static void peer_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	session_flush(session_of(arg), arg);
}

/* ---- the beginning ---- */

/*
 * The backend is told who the client is, whether that has sent anything or not.  False: not
 * all of it is sent yet, or the session is gone.
 */
static bool send_header(struct session *session)
{
	struct endpoint *client = &session->client;
	int error = 0;
	enum relay_result result = relay_flush(&session->host->pipes, client, &error);

	if (result == RELAY_MOVED)
		return true;
	bytes_handled(session, client, result, error);
	return false;
}

static void count_retries(const struct session *session, const struct outcome *outcome)
{
	counters_add(session->proxy->counts, PROXY_RETRIES, outcome->retries);
}

static void count_connected(const struct session *session, const struct outcome *outcome)
{
	struct counters *counts = outcome->server->counts;

	counters_add(counts, SERVER_CONNECTED, 1);
	count_retries(session, outcome);
	if (session->began_us > 0)
		histogram_add(&connect_histogram, counts, SERVER_CONNECT_TIME, outcome->connect_us);
}

static void begin_relay(struct session *session, const struct outcome *outcome)
{
	count_connected(session, outcome);
	report_connected(session, outcome);
	take_server(session, outcome->server);
	endpoint_connected(&session->backend, outcome->fd, outcome->server->stream);
	session->backend.broken = (uint8_t)outcome->error;
	session_enter(session, SESSION_RELAYING);
	if (!session->client.pending || send_header(session))
		/* Most clients have sent something by now. */
		session_turn(session, &session->client);
}

static void backend_answered(void *arg, const struct outcome *outcome);

/* What the backend wants to know of whom it is connected for. */
static void fill_client(const struct session *session, const struct backend *backend,
			struct attempt_client *ret)
{
	ret->source = affinity(session, backend);
	ret->addr.len = 0;
	ret->id = story_id(session);
	ret->is_timed = session->began_us != 0;
	if (backend_wants_client(backend))
		access_note_address(session->note, &session->client, &ret->addr);
}

/* The servers are other ones now. */
static void follow(struct session *session, const struct outcome *outcome)
{
	struct backend *backend = proxy_backend(session->proxy);
	struct attempt_client client;

	fill_client(session, backend, &client);
	session->attempt = attempt_resume(&session->host->loop, backend, &client, outcome,
					  backend_answered, session);
	backend_unref(backend);
	if (!session->attempt)
		session_deadline(session, DEADLINE_RETRY, RETRY_MS);
}

static void connect_failed(struct session *session, const struct outcome *outcome)
{
	count_retries(session, outcome);
	session_fail(session, outcome->reason);
}

static void backend_answered(void *arg, const struct outcome *outcome)
{
	struct session *session = arg;

	session->attempt = NULL;
	if (outcome->is_moved)
		follow(session, outcome);
	else if (outcome->fd < 0)
		connect_failed(session, outcome);
	else
		begin_relay(session, outcome);
}

/* Without memory for an attempt, the client waits until there is some.  May free the session. */
static void connect_to(struct session *session, struct backend *backend)
{
	struct attempt_client client;
	struct outcome outcome = { .fd = -1 };
	int r = -ENOMEM;

	fill_client(session, backend, &client);
	if (header_prepare(session))
		r = attempt_start(&session->host->loop, backend, &client, backend_answered, session,
				  &session->attempt, &outcome);
	if (r == 0) {
		begin_relay(session, &outcome);
		return;
	}
	if (r != -EINPROGRESS)
		session_deadline(session, DEADLINE_RETRY, RETRY_MS);
	session_watch(session);
}

static void connect_backend(struct session *session)
{
	struct backend *backend = proxy_backend(session->proxy);

	connect_to(session, backend);
	backend_unref(backend);
}

/* Looks whether the client's header has come.  May free the session. */
static void await_header(struct session *session)
{
	struct refusal refusal;

	switch (header_take(session, &refusal)) {
	case HEADER_READ:
		session_enter(session, SESSION_CONNECTING);
		connect_backend(session);
		return;
	case HEADER_REFUSED:
		session_refuse(session, &refusal);
		return;
	case HEADER_AWAITED:
		if (session->proxy->config.header_timeout_ms != SFRONT_INFINITY_MS)
			session_deadline_by(session, DEADLINE_HEADER,
					    session->proxy->config.header_timeout_ms);
		break;
	case HEADER_NO_MEMORY:
		session->starved = true;
		break;
	}
	session_watch(session);
}

/* On to the backend; not with a connection of our own that came from there. */
static void connect_or_end(struct session *session)
{
	if (session->came_back)
		session_deadline_by(session, DEADLINE_LOOP, LOOP_MS);
	else
		connect_backend(session);
}

/* ---- deadlines ---- */

/* Tries again what memory was missing for.  May free the session. */
static void session_resume(struct session *session)
{
	session->starved = false;
	timeouts_set(session);
	switch ((enum session_state)session->state) {
	case SESSION_AWAITING_HEADER:
		hold(session);
		await_header(session);
		break;
	case SESSION_CONNECTING:
		hold(session);
		if (session->attempt)
			session_watch(session);
		else
			connect_or_end(session);
		break;
	case SESSION_RELAYING:
		session_watch(session);
		break;
	case SESSION_ABORTING:
		abort_check(session);
		break;
	case SESSION_NEW:
	case SESSION_CLOSED:
		break;
	}
}

static void look_while_connecting(struct session *session)
{
	if (!left_while_awaiting(session))
		hold(session);
}

static void look_at_unread(struct session *session)
{
	session->watch_gone = true;
	if (ended_for_good(session, &session->client) || ended_for_good(session, &session->backend))
		return;
	if (session->client.ended)
		endpoint_probe(&session->client);
	if (session->backend.ended)
		endpoint_probe(&session->backend);
	session_watch(session);
}

/* It was read again meanwhile, or is not. */
static void look(struct session *session)
{
	bool unread = endpoint_is_unread(&session->client) || endpoint_is_unread(&session->backend);

	if (session->state == SESSION_CONNECTING)
		look_while_connecting(session);
	else if (unread)
		look_at_unread(session);
}

static enum connection_end end_of_timeout(enum deadline which)
{
	switch (which) {
	case DEADLINE_IDLE:
		return END_IDLE_TIMEOUT;
	case DEADLINE_HALF_CLOSE:
		return END_HALF_CLOSE_TIMEOUT;
	default:
		return END_CONNECTION_TIMEOUT;
	}
}

static void time_out(struct session *session, enum deadline which)
{
	const char *reason = timeouts_over(session, which);

	if (!reason)
		return;
	if (session->state == SESSION_ABORTING)
		close_broken(session);
	else
		session_close(session, true, end_of_timeout(which), reason);
}

static void no_header_within(struct session *session, uint64_t ms)
{
	struct refusal refusal;
	char within[32];

	snprintf(within, sizeof(within), "%g s", (double)ms / 1000);
	header_format_missing(session, within, &refusal);
	session_refuse(session, &refusal);
}

static void let_go(struct session *session)
{
	session->host->ops->cut(session->host);
	if (session->state == SESSION_AWAITING_HEADER)
		no_header_within(session, HELD_MS);
	else
		session_fail(session, "no connection within 5 s while the process drains");
}

static void deadline_over(struct session *session, enum deadline which)
{
	switch (which) {
	case DEADLINE_RETRY:
		session_resume(session);
		break;
	case DEADLINE_LOOK:
		look(session);
		break;
	case DEADLINE_HEADER:
		no_header_within(session, session->proxy->config.header_timeout_ms);
		break;
	case DEADLINE_HELD:
		let_go(session);
		break;
	case DEADLINE_DELIVERY:
		abort_check(session);
		break;
	case DEADLINE_IDLE:
	case DEADLINE_HALF_CLOSE:
	case DEADLINE_LIFE:
		time_out(session, which);
		break;
	case DEADLINE_LOOP:
		session_fail(session, CAME_BACK);
		break;
	case DEADLINE_NONE:
		break;
	}
}

static void timers_fired(evutil_socket_t fd, short what, void *arg)
{
	struct session *session = arg;
	struct timers *timers = &session->timing->timers;
	enum deadline which = timers_expired(timers);

	(void)fd;
	(void)what;
	/* Never without memory: the place among libevent's timers is free again. */
	(void)timers_arm(timers);
	deadline_over(session, which);
}

/* ---- of memory there was none ---- */

static void rescue_if_stuck(void *object)
{
	struct session *session = object;

	if (!session->stuck)
		return;
	session->stuck = false;
	session_resume(session);
}

static bool prepare_rescue(struct session_host *host)
{
	static const struct timeval one_day = { .tv_sec = 24 * 3600 };

	host->is_rescue_due = false;
	return event_add(&host->rescue, &one_day) == 0;
}

static void rescue_fired(evutil_socket_t fd, short what, void *arg)
{
	struct session_host *host = arg;

	(void)fd;
	(void)what;
	prepare_rescue(host);
	slab_each(&host->sessions, rescue_if_stuck);
}

/* ---- servers went down, or away ---- */

static void close_if_server_is_down(struct session *session)
{
	const struct server *server = session->server;

	if (session->proxy->config.closes_when_down && server &&
	    health_state(&server->state->health) == HEALTH_DOWN)
		session_close(session, true, END_BACKEND_DOWN, "the backend is down");
}

static void look_at_server(void *object)
{
	struct session *session = object;

	if (session->state != SESSION_CONNECTING)
		close_if_server_is_down(session);
	else if (session->attempt)
		attempt_follow(session->attempt);
}

static void servers_changed(struct message *message)
{
	struct session_host *host =
		message_owner(message, struct session_host, server_watch.message);

	server_watch_heard(&host->server_watch);
	slab_each(&host->sessions, look_at_server);
}

/* ---- whoever runs it ---- */

static void note_beginning(struct session *session, const struct sfront_connection *connection)
{
	bool is_timed = session_wants_times(session);
	struct connection_id id;

	session->began_us = is_timed ? clock_exact_us() : 0;
	if (session->proxy->access_log == ACCESS_LOG_NO && !connection->header_due &&
	    !log_wants(LOG_DEBUG))
		return;
	id = connection_id_next();
	session->note = access_note_new(connection, &id);
	story_accepted(session, connection);
	if (!connection->header_due)
		admission_tell(session, NULL);
}

void session_start(struct session_host *host, struct proxy *proxy, size_t socket,
		   const struct sfront_connection *connection)
{
	struct session *session = slab_take(&host->sessions);
	struct refusal refusal;

	session->host = host;
	session->proxy = proxy;
	session->socket = (uint32_t)socket;
	session->single = proxy_socket_at(proxy, socket)->is_single;
	session->is_held = true;
	endpoint_init_client(&session->client, connection);
	endpoint_init_backend(&session->backend);
	counters_add(proxy->counts, PROXY_ACCEPTED, 1);
	note_beginning(session, connection);
	if (connection->header_due)
		session_enter(session, SESSION_AWAITING_HEADER);
	if (host->cutting) {
		session_cut(session);
		return;
	}
	session->came_back = own_sockets_take(connection->read_fd, &connection->peer);
	if (connection->header_due && !session->came_back) {
		await_header(session);
		return;
	}
	if (!source_count_begin(session, &connection->peer, &refusal)) {
		session_refuse(session, &refusal);
		return;
	}
	session_enter(session, SESSION_CONNECTING);
	connect_or_end(session);
}

int session_host_init(struct session_host *host, const struct session_host_ops *ops,
		      size_t pipe_size, unsigned int max_pipes)
{
	host->ops = ops;
	host->fired = timers_fired;
	pipe_pool_init(&host->pipes, pipe_size, max_pipes);
	slab_init(&host->sessions, sizeof(struct session));
	slab_init(&host->timings, sizeof(struct session_timing));
	coalescing_init(&host->coalescing, host->loop.base);
	event_assign(&host->rescue, host->loop.base, -1, 0, rescue_fired, host);
	if (!prepare_rescue(host))
		return -ENOMEM;
	server_watch_begin(&host->server_watch, &host->loop.mailbox, servers_changed);
	return 0;
}

void session_host_clear(struct session_host *host)
{
	server_watch_end(&host->server_watch);
	event_del(&host->rescue);
	coalescing_clear(&host->coalescing);
	pipe_pool_clear(&host->pipes);
	slab_clear(&host->sessions);
	slab_clear(&host->timings);
}

static void bound_if_held(void *object)
{
	struct session *session = object;

	if (session->state == SESSION_AWAITING_HEADER || session->state == SESSION_CONNECTING)
		hold(session);
}

void session_host_drain(struct session_host *host)
{
	host->draining = true;
	slab_each(&host->sessions, bound_if_held);
}
