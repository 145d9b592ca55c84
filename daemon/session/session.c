/* SPDX-License-Identifier: MIT */
/*
 * Sessions: what follows from what happens at their two ends.  watch.h
 * and timers.c say what has happened, relay.c moves the bytes, connect.c
 * finds the backend, and only this file frees a session.
 */
#include "daemon/session/session.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sockfront/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/connect.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/proxy/proxy.h"
#include "daemon/session/access_log.h"
#include "daemon/session/host.h"
#include "daemon/session/timers.h"
#include "daemon/session/watch.h"

/* A reset waits this long at most for what was sent before it to be acknowledged. */
#define ABORT_MS      1000
#define ABORT_POLL_MS 10

_Static_assert(offsetof(struct session, backend) ==
		       offsetof(struct session, client) + sizeof(struct endpoint),
	       "end_peer() wants the two ends side by side");

/* ---- closing ---- */

static void close_fd(int *fd, bool restore)
{
	if (*fd < 0)
		return;
	if (restore)
		(void)fcntl(*fd, F_SETFL, fcntl(*fd, F_GETFL) & ~O_NONBLOCK);
	close(*fd);
	*fd = -1;
}

static void close_write_side(struct endpoint *end)
{
	if (end->write_fd == end->read_fd)
		end->write_fd = -1;
	close_fd(&end->write_fd, end->restore_write);
}

static void drop_pending(struct session *session, struct endpoint *end)
{
	pending_drop(&session->host->pipes, end->pending);
	end->pending = NULL;
}

/* With a reset instead of an end of stream, where the transport knows one. */
static void end_close(struct endpoint *end, bool reset)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (reset && end->write_fd >= 0 && end->write_stream == SFRONT_STREAM_TCP)
		(void)setsockopt(end->write_fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close_write_side(end);
	close_fd(&end->read_fd, end->restore_read);
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

	if (session->state == SESSION_CONNECTING)
		attempt_cancel(session->attempt);
	session_unwatch(session);
	session_timer_stop(session);
	drop_pending(session, &session->client);
	drop_pending(session, &session->backend);
	access_log_session(session, reason);

	end_close(&session->client,
		  how == CLOSE_RESET || (how == CLOSE_RESET_SURVIVOR && !survivor_is_backend));
	end_close(&session->backend,
		  how == CLOSE_RESET || (how == CLOSE_RESET_SURVIVOR && survivor_is_backend));

	free(session->note);
	slab_give(&host->sessions, session);
	host->ops->ended(host, proxy);
	proxy_unref(proxy);
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
	access_log_format_client(session, client, sizeof(client));
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

static bool is_out_of_space(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

/* Clients come and go; anything else that fails at their end is worth a word. */
static bool is_client_gone(int error)
{
	return error == ECONNRESET || error == EPIPE || error == ETIMEDOUT;
}

static const char *reason_of(const struct endpoint *broken, int error)
{
	switch (error) {
	case ECONNRESET:
		return broken->is_backend ? "backend reset" : "client reset";
	case EPIPE:
		return broken->is_backend ? "backend gone" : "client gone";
	case ETIMEDOUT:
		return broken->is_backend ? "backend timed out" : "client timed out";
	default:
		if (is_out_of_space(error))
			return "no space left for what the backend sent";
		return broken->is_backend ? "backend failed" : "client failed";
	}
}

static struct endpoint *broken_end(struct session *session)
{
	return session->client_broke ? &session->client : &session->backend;
}

/* Whether what was written to @end may still be on its way: a reset would throw it away. */
static bool is_sending(const struct endpoint *end)
{
	int unsent = 0;

	return end->write_fd >= 0 && end->write_stream == SFRONT_STREAM_TCP &&
	       ioctl(end->write_fd, SIOCOUTQ, &unsent) == 0 && unsent > 0;
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
	if (now >= session->timer->abort_due_ms) {
		session_close(session, CLOSE_RESET_SURVIVOR, session->reason);
		return;
	}
	session_watch(session);
	if (!session_timer_set(session, broken->ended && !broken->pending
						? ABORT_POLL_MS
						: session->timer->abort_due_ms - now))
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
	session->state = SESSION_ABORTING;
	session->client_broke = !end->is_backend;
	session->reason = reason_of(end, end->broken != 0 ? end->broken : error);
	if (!session_timer(session)) { /* no memory to do it gently */
		session_close(session, CLOSE_RESET_SURVIVOR, session->reason);
		return;
	}
	session->timer->abort_due_ms = clock_ms() + ABORT_MS;
	if (!is_socket(end->read_stream))
		end->ended = true;
	if (session->single && (end->is_backend || !is_client_gone(error)))
		report_failure(session, session->reason);
	drop_pending(session, survivor);
	abort_on(session);
}

/* ---- bytes ---- */

static void finish_writing(struct endpoint *end)
{
	if (is_socket(end->write_stream))
		(void)shutdown(end->write_fd,
			       SHUT_WR); /* a peer that is gone shows when it is read */
	else
		close_write_side(end);
}

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
		finish_writing(to);
	if (all_done) {
		session_close(session, CLOSE_CLEAN, "closed");
		return;
	}
	session_note_half_close(session);
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
		session_note_bytes(session, from);
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
		session->timer->abort_due_ms = clock_ms() + ABORT_MS;
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

void session_flush(struct endpoint *from)
{
	struct session *session = session_of(from);
	uint64_t before = from->moved;
	enum relay_result result;
	int error = 0;

	result = relay_flush(&session->host->pipes, from, &error);
	bytes_handled(session, from, result, error, before);
}

/* ---- events ---- */

/* SO_ERROR also tells of what a live connection has met and may get over: not without POLLERR. */
static int socket_error(int fd)
{
	struct pollfd pfd = { .fd = fd };
	int error = 0;
	socklen_t len = sizeof(error);

	if (poll(&pfd, 1, 0) < 1 || (pfd.revents & (POLLERR | POLLHUP)) == 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno;
	return error;
}

/* A UNIX client that has closed altogether, without a byte for the backend. */
static bool left_nothing(const struct endpoint *client)
{
	struct pollfd pfd = { .fd = client->read_fd };
	char byte;

	return client->read_stream == SFRONT_STREAM_UNIX && poll(&pfd, 1, 0) == 1 &&
	       (pfd.revents & POLLHUP) != 0 &&
	       recv(client->read_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/*
 * The client is waiting for its backend.  What it sends stays in the kernel,
 * and its end of stream may be that of a complete request; only one that is
 * gone need not wait any longer.
 */
static void awaiting_client_ready(struct session *session)
{
	if (socket_error(session->client.read_fd) != 0 || left_nothing(&session->client))
		session_close(session, CLOSE_CLEAN, "client left while the backend was awaited");
}

void session_end_ready(struct endpoint *end, enum watch watch)
{
	struct session *session = session_of(end);
	int error;

	if (session->state == SESSION_CONNECTING) {
		awaiting_client_ready(session);
	} else if (watch == WATCH_READABLE) {
		session_turn(session, end);
	} else {
		error = socket_error(end->read_fd);
		if (error != 0)
			session_break(session, end, error);
	}
}

static void relaying_timer(struct session *session)
{
	const char *timeout = session_timer_check(session);

	if (timeout) {
		session_close(session, CLOSE_RESET, timeout);
		return;
	}
	session->starved = false;
	session->watch_gone = session_is_unread(session);
	session_watch(session);
}

/* ---- the beginning ---- */

static void begin_relay(struct session *session, int fd, int error)
{
	struct endpoint *backend = &session->backend;

	backend->read_fd = backend->write_fd = fd;
	backend->broken = (uint8_t)error;
	session->attempt = NULL;
	session->state = SESSION_RELAYING;
	session_timer_begin(session);
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

static void init_ends(struct session *session, const struct sfront_connection *connection)
{
	struct endpoint *client = &session->client, *backend = &session->backend;

	client->read_fd = connection->read_fd;
	client->write_fd = connection->write_fd;
	client->read_stream = (uint8_t)connection->read_stream;
	client->write_stream = (uint8_t)connection->write_stream;
	client->restore_read = connection->restore_read;
	client->restore_write = connection->restore_write;

	backend->read_fd = backend->write_fd = -1;
	backend->read_stream = backend->write_stream = SFRONT_STREAM_TCP;
	backend->is_backend = true;
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
	else if (!session_timer_set(session, STARVED_RETRY_MS))
		session_fail(session, "connect failed: out of memory");
}

void session_timer_fired(struct session *session)
{
	switch ((enum session_state)session->state) {
	case SESSION_CONNECTING:
		if (!session->attempt)
			connect_backend(session);
		else
			session_watch(session);
		break;
	case SESSION_RELAYING:
		relaying_timer(session);
		break;
	case SESSION_ABORTING:
		abort_on(session);
		break;
	}
}

void session_start(struct session_host *host, struct proxy *proxy, size_t socket,
		   const struct sfront_connection *connection)
{
	struct session *session = slab_take(&host->sessions);

	session->host = host;
	session->proxy = proxy;
	session->socket = (uint16_t)socket;
	session->single = proxy_socket_at(proxy, socket)->is_single;
	session->state = SESSION_CONNECTING;
	init_ends(session, connection);
	session->note = access_log_begin(session, connection);
	if (host->cutting) {
		session_cut(session);
		return;
	}
	connect_backend(session);
}
