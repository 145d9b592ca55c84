/* SPDX-License-Identifier: MIT */
/*
 * Sessions: what follows from what happens at their two ends.  Events and deadlines
 * arrive here, relay.c moves the bytes, connect.c finds the backend, and only this file
 * changes the state of a session and frees it.
 */
#include "daemon/session/session.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/connect.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/proxy/proxy.h"
#include "daemon/relay/relay.h"
#include "daemon/session/access_log.h"
#include "daemon/session/host.h"
#include "daemon/session/reason.h"
#include "daemon/session/state.h"
#include "daemon/session/timeouts.h"
#include "daemon/session/watch.h"

/* How soon to try again what memory was missing for. */
#define STARVED_RETRY_MS 100

/* An end that nobody reads is watched for its reset after this long. */
#define WATCH_GONE_AFTER_MS 1000

/* A reset waits this long at most for what was sent before it to be acknowledged. */
#define ABORT_MS      1000
#define ABORT_POLL_MS 10

/* ---- what is waited for ---- */

/*
 * What an end waits for follows from the state alone, so that no transition has to
 * remember to turn something on or off.
 *
 * An end that is not read is watched edge-triggered for its reset, but only
 * after a while: most pauses are short.  It is not while somebody waits to
 * write to it: that event sees the reset too, and libevent cannot mix edge- and
 * level-triggered events on one descriptor.
 */
static enum watch wanted_watch(const struct session *session, struct endpoint *end)
{
	if (end->read_fd < 0)
		return WATCH_NOTHING;
	switch ((enum session_state)session->state) {
	case SESSION_CONNECTING:
		return is_socket(end->read_stream) ? WATCH_GONE : WATCH_NOTHING;
	case SESSION_RELAYING:
		if (!endpoint_is_unread(end))
			return session->starved ? WATCH_NOTHING : WATCH_READABLE;
		return session->watch_gone && is_socket(end->read_stream) && !end_peer(end)->pending
			       ? WATCH_GONE
			       : WATCH_NOTHING;
	case SESSION_ABORTING:
		return end->is_backend != session->client_broke && !endpoint_is_unread(end)
			       ? WATCH_READABLE
			       : WATCH_NOTHING;
	case SESSION_NEW:
	case SESSION_CLOSED:
		break;
	}
	return WATCH_NOTHING;
}

static void end_ready(evutil_socket_t fd, short what, void *arg);
static void peer_writable(evutil_socket_t fd, short what, void *arg);

static bool watch_both(struct session *session)
{
	struct event_base *base = session->host->loop.base;
	struct endpoint *client = &session->client, *backend = &session->backend;
	bool ok = true;

	ok &= watch_end(base, client, wanted_watch(session, client), end_ready);
	ok &= watch_end(base, backend, wanted_watch(session, backend), end_ready);
	ok &= watch_pending(base, client, peer_writable);
	ok &= watch_pending(base, backend, peer_writable);
	return ok;
}

/* Until then, an end that is not read is not watched for its reset. */
static void look_later(struct session *session)
{
	bool unread = endpoint_is_unread(&session->client) || endpoint_is_unread(&session->backend);

	if (session->state == SESSION_RELAYING && unread) {
		if (!session->watch_gone)
			session_deadline_by(session, DEADLINE_LOOK, WATCH_GONE_AFTER_MS);
		return;
	}
	session->watch_gone = false;
	if (session->timing)
		timers_clear(&session->timing->timers, DEADLINE_LOOK);
}

/* Brings the events in line with the state.  Whatever leaves the session alive ends with it. */
static void session_watch(struct session *session)
{
	bool ok = watch_both(session);

	/* Without even a timer, the end is read again at once: busy, but not stuck. */
	if ((!ok || session->starved) &&
	    !session_deadline_by(session, DEADLINE_RETRY, STARVED_RETRY_MS) && session->starved) {
		session->starved = false;
		watch_both(session);
	}
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

/* The only place where the state changes: what the last one leaves behind, and the next begins
 * with. */
static void session_enter(struct session *session, enum session_state state)
{
	if (session->state == SESSION_CONNECTING) {
		attempt_cancel(session->attempt);
		session->attempt = NULL;
	}
	session->state = (uint8_t)state;

	switch (state) {
	case SESSION_NEW:
	case SESSION_CONNECTING:
		break;
	case SESSION_RELAYING:
		timeouts_note_activity(session);
		break;
	case SESSION_ABORTING:
		timeouts_clear(session);
		break;
	case SESSION_CLOSED:
		session_unwatch(session);
		timeouts_stop(session);
		drop_pending(session, &session->client);
		drop_pending(session, &session->backend);
		break;
	}
}

/* ---- closing ---- */

static void write_access_log(struct session *session, const char *reason)
{
	char client[SFRONT_ADDRESS_TEXT_SIZE];
	struct access_record record = {
		.client = client,
		.listener = proxy_socket_at(session->proxy, session->socket)->text,
		.backend = backend_text(session->proxy->backend),
		.up = session->client.moved,
		.down = session->backend.moved,
		.duration_ms = access_note_age_ms(session->note),
		.reason = reason,
	};

	access_log_format_client(session->note, &session->client, client, sizeof(client));
	access_log_write(&record);
}

enum close_how {
	CLOSE_CLEAN,
	CLOSE_RESET,          /* both sides */
	CLOSE_RESET_SURVIVOR, /* one side broke; the other is told */
};

static void session_close(struct session *session, enum close_how how, const char *reason)
{
	struct session_host *host = session->host;
	struct proxy *proxy = session->proxy;
	bool survivor_is_backend = session->client_broke;

	session_enter(session, SESSION_CLOSED);
	if (proxy->access_log)
		write_access_log(session, reason);
	endpoint_close(&session->client,
		       how == CLOSE_RESET || (how == CLOSE_RESET_SURVIVOR && !survivor_is_backend));
	endpoint_close(&session->backend,
		       how == CLOSE_RESET || (how == CLOSE_RESET_SURVIVOR && survivor_is_backend));

	free(session->note);
	slab_give(&host->sessions, session);
	proxy_unref(proxy);
	host->ops->ended(host);
}

/*
 * Something other than the client's own doing ended it: the operator hears of
 * it even without an access log, at most once a second; one that serves a
 * single connection says so with its exit status too.
 */
static void report_failure(struct session *session, const char *reason)
{
	static struct log_limit limit;
	char client[SFRONT_ADDRESS_TEXT_SIZE];
	unsigned int dropped;

	if (session->single) {
		session->host->ops->failed(session->host);
		log_line(LOG_ERR, "connection to %s: %s", backend_text(session->proxy->backend),
			 reason);
		return;
	}
	if (!log_wants(LOG_WARNING) || !log_limit_passes(&limit, &dropped))
		return;
	access_log_format_client(session->note, &session->client, client, sizeof(client));
	log_line(LOG_WARNING, "backend %s: %s (client %s, listener %s%s)",
		 backend_text(session->proxy->backend), reason, client,
		 proxy_socket_at(session->proxy, session->socket)->text,
		 dropped > 0 ? "; similar messages were held back" : "");
}

static void session_fail(struct session *session, const char *reason)
{
	report_failure(session, reason);
	session_close(session, CLOSE_RESET, reason);
}

void session_cut(struct session *session)
{
	session->host->ops->cut(session->host);
	session_close(session, CLOSE_RESET, "cut");
}

/* ---- one side broke ---- */

static struct endpoint *broken_end(struct session *session)
{
	return session->client_broke ? &session->client : &session->backend;
}

/* Whether what was written to @end may still be on its way: a reset would throw it away. */
static bool is_sending(const struct endpoint *end)
{
	return end->write_stream == SFRONT_STREAM_TCP && endpoint_unsent(end) > 0;
}

/*
 * Delivers what the broken side sent before, then resets the other one.  May
 * free the session.
 */
static void abort_on(struct session *session)
{
	struct endpoint *broken = broken_end(session);
	uint64_t now = clock_ms();

	if (broken->ended && !broken->pending && !is_sending(end_peer(broken))) {
		session_close(session, CLOSE_RESET_SURVIVOR, session->reason);
		return;
	}
	if (now >= session->timing->abort_due_ms) {
		session_close(session, CLOSE_RESET_SURVIVOR, session->reason);
		return;
	}
	session_watch(session);
	if (!session_deadline(session, DEADLINE_ABORT,
			      broken->ended && !broken->pending
				      ? ABORT_POLL_MS
				      : session->timing->abort_due_ms - now))
		session_close(session, CLOSE_RESET_SURVIVOR, session->reason);
}

/*
 * @end failed with @error.  A socket may still hold bytes that were received
 * before; a pipe or a terminal that takes no more is simply left.
 */
static void session_break(struct session *session, struct endpoint *end, int error)
{
	struct endpoint *survivor = end_peer(end);

	if (session->state == SESSION_ABORTING) { /* now the other one has failed too */
		session_close(session, CLOSE_RESET, session->reason);
		return;
	}
	session_enter(session, SESSION_ABORTING);
	session->client_broke = !end->is_backend;
	session->reason =
		reason_of_failure(end->is_backend, end->broken != 0 ? end->broken : error);
	if (!session_deadline(session, DEADLINE_ABORT, ABORT_MS)) { /* no memory to do it gently */
		session_close(session, CLOSE_RESET_SURVIVOR, session->reason);
		return;
	}
	session->timing->abort_due_ms = clock_ms() + ABORT_MS;
	if (!is_socket(end->read_stream))
		end->ended = true;
	if (session->single && (end->is_backend || !reason_is_client_gone(error)))
		report_failure(session, session->reason);
	drop_pending(session, survivor);
	abort_on(session);
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
	if (!all_done || session->single)
		endpoint_finish(to);
	if (all_done) {
		session_close(session, CLOSE_CLEAN, "closed");
		return;
	}
	timeouts_note_activity(session);
	session_watch(session);
}

/* While ABORTING, only what is here already counts; nobody is waited for. */
static void aborting_result(struct session *session, struct endpoint *from,
			    enum relay_result result)
{
	switch (result) {
	case RELAY_IDLE:
	case RELAY_ENDED:
	case RELAY_READ_FAILED:
	case RELAY_NO_MEMORY:
		from->ended = true;
		break;
	case RELAY_MOVED:
	case RELAY_BLOCKED:
		break;
	case RELAY_WRITE_FAILED:
		session_close(session, CLOSE_RESET, session->reason);
		return;
	}
	abort_on(session);
}

static void relaying_result(struct session *session, struct endpoint *from,
			    enum relay_result result, int error)
{
	switch (result) {
	case RELAY_MOVED:
	case RELAY_BLOCKED:
		timeouts_note_bytes(session, from);
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

/* What follows from a turn or a flush; @before: from->moved as it was.  May free the session. */
static void bytes_handled(struct session *session, struct endpoint *from, enum relay_result result,
			  int error, uint64_t before)
{
	if (session->state != SESSION_ABORTING) {
		relaying_result(session, from, result, error);
		return;
	}
	if (from->moved != before)
		session->timing->abort_due_ms = clock_ms() + ABORT_MS;
	aborting_result(session, from, result);
}

/* Reads once from @from.  May free the session. */
static void session_turn(struct session *session, struct endpoint *from)
{
	uint64_t before = from->moved;
	int error = 0;
	enum relay_result result = relay_turn(&session->host->pipes, from, &error);

	bytes_handled(session, from, result, error, before);
}

/* The peer of @from takes more of what is pending.  May free the session. */
static void session_flush(struct session *session, struct endpoint *from)
{
	uint64_t before = from->moved;
	enum relay_result result;
	int error = 0;

	result = relay_flush(&session->host->pipes, from, &error);
	bytes_handled(session, from, result, error, before);
}

/* ---- events ---- */

/*
 * The client is waiting for its backend.  What it sends stays in the kernel,
 * and its end of stream may be that of a complete request; only one that is
 * gone need not wait any longer.
 */
static void awaiting_client_ready(struct session *session)
{
	if (endpoint_error(&session->client) != 0 || endpoint_left_nothing(&session->client))
		session_close(session, CLOSE_CLEAN, "client left while the backend was awaited");
}

static void end_ready(evutil_socket_t fd, short what, void *arg)
{
	struct endpoint *end = arg;
	struct session *session = session_of(end);
	enum watch watch = watch_came(end);
	int error;

	(void)fd;
	(void)what;
	if (session->state == SESSION_CONNECTING) {
		awaiting_client_ready(session);
	} else if (watch == WATCH_READABLE) {
		session_turn(session, end);
	} else {
		error = endpoint_error(end);
		if (error != 0)
			session_break(session, end, error);
	}
}

static void peer_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	session_flush(session_of(arg), arg);
}

/* ---- the beginning ---- */

static void begin_relay(struct session *session, int fd, int error)
{
	struct endpoint *backend = &session->backend;

	backend->read_fd = backend->write_fd = fd;
	backend->broken = (uint8_t)error;
	session_enter(session, SESSION_RELAYING);
	/* Most clients have sent something by now. */
	session_turn(session, &session->client);
}

static void backend_answered(void *arg, int fd, int error, const char *reason)
{
	struct session *session = arg;

	session->attempt = NULL;
	if (fd < 0)
		session_fail(session, reason);
	else
		begin_relay(session, fd, error);
}

/* Without memory for an attempt, the client waits until there is some. */
static void connect_backend(struct session *session)
{
	int error = 0;
	int fd = attempt_start(&session->host->loop, session->proxy->backend, backend_answered,
			       session, &session->attempt, &error);

	if (fd >= 0)
		begin_relay(session, fd, error);
	else if (fd == -EINPROGRESS)
		session_watch(session);
	else if (!session_deadline(session, DEADLINE_RETRY, STARVED_RETRY_MS))
		session_fail(session, "connect failed: out of memory");
}

/* ---- deadlines ---- */

static void retry(struct session *session)
{
	session->starved = false;
	if (session->state == SESSION_CONNECTING && !session->attempt)
		connect_backend(session);
	else
		session_watch(session);
}

static void look(struct session *session)
{
	session->watch_gone = true;
	session_watch(session);
}

static void time_out(struct session *session, enum deadline which)
{
	if (timeouts_are_over(session, which))
		session_close(session, CLOSE_RESET,
			      which == DEADLINE_IDLE ? "idle timeout" : "half-close timeout");
}

static void deadline_over(struct session *session, enum deadline which)
{
	switch (which) {
	case DEADLINE_RETRY:
		retry(session);
		break;
	case DEADLINE_COALESCE:
		timeouts_check_coalescing(session);
		break;
	case DEADLINE_LOOK:
		look(session);
		break;
	case DEADLINE_ABORT:
		abort_on(session);
		break;
	case DEADLINE_IDLE:
	case DEADLINE_HALF_CLOSE:
		time_out(session, which);
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
	(void)timers_arm(timers); /* its room was just this event's */
	deadline_over(session, which);
}

/* ---- whoever runs it ---- */

void session_start(struct session_host *host, struct proxy *proxy, size_t socket,
		   const struct sfront_connection *connection)
{
	struct session *session = slab_take(&host->sessions);

	session->host = host;
	session->proxy = proxy;
	session->socket = (uint16_t)socket;
	session->single = proxy_socket_at(proxy, socket)->is_single;
	endpoint_init_client(&session->client, connection);
	endpoint_init_backend(&session->backend);
	if (proxy->access_log)
		session->note = access_note_new(connection);
	if (host->cutting) {
		session_cut(session);
		return;
	}
	session_enter(session, SESSION_CONNECTING);
	connect_backend(session);
}

void session_host_init(struct session_host *host, const struct session_host_ops *ops,
		       size_t pipe_size, unsigned int max_pipes)
{
	host->ops = ops;
	host->fired = timers_fired;
	pipe_pool_init(&host->pipes, pipe_size, max_pipes);
	slab_init(&host->sessions, sizeof(struct session));
	slab_init(&host->timings, sizeof(struct session_timing));
}

void session_host_clear(struct session_host *host)
{
	pipe_pool_clear(&host->pipes);
	slab_clear(&host->sessions);
	slab_clear(&host->timings);
}
