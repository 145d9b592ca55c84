/* SPDX-License-Identifier: MIT */
/*
 * The events of an end: see watch.h.  A plain file, which epoll refuses, is always ready.
 */
#include "daemon/session/watch.h"

#include "daemon/relay/pipe_pool.h"

static void unwatch(struct endpoint *end)
{
	if (end->watch != WATCH_NOTHING)
		event_del(&end->event);
	end->watch = WATCH_NOTHING;
}

static int add_event(struct event_base *base, struct endpoint *end, enum watch watch,
		     event_callback_fn ready)
{
	static const struct timeval at_once = { 0, 0 };
	bool is_file = end->read_stream == SFRONT_STREAM_FILE;
	short what = is_file ? 0 : EV_READ | EV_PERSIST;

	if (watch == WATCH_GONE)
		what |= EV_ET;
	event_assign(&end->event, base, is_file ? -1 : end->read_fd, what, ready, end);
	return event_add(&end->event, is_file ? &at_once : NULL);
}

bool watch_end(struct event_base *base, struct endpoint *end, enum watch watch,
	       event_callback_fn ready)
{
	if (end->watch == watch)
		return true;
	unwatch(end);
	if (watch == WATCH_NOTHING)
		return true;
	if (add_event(base, end, watch, ready) < 0)
		return false;
	end->watch = (uint8_t)watch;
	return true;
}

enum watch watch_came(struct endpoint *end)
{
	enum watch watch = end->watch;

	if (end->read_stream == SFRONT_STREAM_FILE)
		end->watch = WATCH_NOTHING; /* a timer: it fires once */
	return watch;
}

bool watch_pending(struct event_base *base, struct endpoint *from, event_callback_fn writable)
{
	struct pending *pending = from->pending;

	if (!pending || pending->waiting)
		return true;
	event_assign(&pending->writable, base, end_peer(from)->write_fd, EV_WRITE | EV_PERSIST,
		     writable, from);
	if (event_add(&pending->writable, NULL) < 0)
		return false;
	pending->waiting = true;
	return true;
}
