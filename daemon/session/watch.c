/* SPDX-License-Identifier: MIT */
/*
 * The events of a session: see watch.h.  They go to session.c, which knows
 * what follows from them.
 */
#include "daemon/session/watch.h"

#include <event2/event.h>
#include <sockfront/listener.h>
#include <stddef.h>

#include "daemon/session/host.h"
#include "daemon/session/session.h"
#include "daemon/session/timers.h"

/* An end that nobody reads is watched for its reset after this long. */
#define WATCH_GONE_AFTER_MS 1000

/*
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
		if (!end->ended && !end->pending)
			return session->starved ? WATCH_NOTHING : WATCH_READABLE;
		return session->watch_gone && is_socket(end->read_stream) && !end_peer(end)->pending
			       ? WATCH_GONE
			       : WATCH_NOTHING;
	case SESSION_ABORTING:
		return end->is_backend != session->client_broke && !end->ended && !end->pending
			       ? WATCH_READABLE
			       : WATCH_NOTHING;
	}
	return WATCH_NOTHING;
}

static void end_ready(evutil_socket_t fd, short what, void *arg)
{
	struct endpoint *end = arg;
	enum watch watch = end->watch;

	(void)fd;
	(void)what;
	if (end->read_stream == SFRONT_STREAM_FILE)
		end->watch = WATCH_NOTHING; /* a timer: it fires once */
	session_end_ready(end, watch);
}

static void peer_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	session_flush(arg);
}

static void unwatch_end(struct endpoint *end)
{
	if (end->watch != WATCH_NOTHING)
		event_del(&end->event);
	end->watch = WATCH_NOTHING;
}

static bool watch_end(struct session *session, struct endpoint *end, enum watch watch)
{
	static const struct timeval at_once = { 0, 0 };
	struct event_base *base = session->host->loop.base;
	int r;

	unwatch_end(end);
	if (watch == WATCH_NOTHING)
		return true;

	if (end->read_stream == SFRONT_STREAM_FILE) {
		/* epoll refuses plain files; they are always ready: the next turn of the loop. */
		event_assign(&end->event, base, -1, 0, end_ready, end);
		r = event_add(&end->event, &at_once);
	} else {
		short what = EV_READ | EV_PERSIST;

		if (watch == WATCH_GONE)
			what |= EV_ET;
		event_assign(&end->event, base, end->read_fd, what, end_ready, end);
		r = event_add(&end->event, NULL);
	}
	if (r < 0)
		return false;
	end->watch = (uint8_t)watch;
	return true;
}

static bool wait_to_write(struct session *session, struct endpoint *from)
{
	struct pending *pending = from->pending;

	if (!pending || pending->waiting)
		return true;
	event_assign(&pending->writable, session->host->loop.base, end_peer(from)->write_fd,
		     EV_WRITE | EV_PERSIST, peer_writable, from);
	if (event_add(&pending->writable, NULL) < 0)
		return false;
	pending->waiting = true;
	return true;
}

static bool unread(const struct endpoint *end)
{
	return end->ended || end->pending;
}

bool session_is_unread(const struct session *session)
{
	return unread(&session->client) || unread(&session->backend);
}

void session_unwatch(struct session *session)
{
	unwatch_end(&session->client);
	unwatch_end(&session->backend);
}

void session_watch(struct session *session)
{
	struct endpoint *ends[2] = { &session->client, &session->backend };
	bool ok = true;

	for (int i = 0; i < 2; i++) {
		enum watch watch = wanted_watch(session, ends[i]);

		if (ends[i]->watch != watch)
			ok &= watch_end(session, ends[i], watch);
	}
	ok &= wait_to_write(session, &session->client);
	ok &= wait_to_write(session, &session->backend);

	/* Without even a timer, the end is read again at once: busy, but not stuck. */
	if ((!ok || session->starved) && !session_timer_set(session, STARVED_RETRY_MS) &&
	    session->starved) {
		session->starved = false;
		session_watch(session);
	}
	if (session->state == SESSION_RELAYING && session_is_unread(session)) {
		if (!session->watch_gone)
			session_timer_set(session, WATCH_GONE_AFTER_MS);
	} else {
		session->watch_gone = false;
	}
}
