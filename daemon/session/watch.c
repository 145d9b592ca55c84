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
	if (watch == WATCH_GONE) {
		int fd = is_socket(end->read_stream) ? end->read_fd : end->write_fd;

		event_assign(&end->event, base, fd, EV_READ | EV_PERSIST | EV_ET, ready, end);
	} else if (end->read_stream == SFRONT_STREAM_FILE) {
		event_assign(&end->event, base, -1, 0, ready, end);
		return event_add(&end->event, &at_once);
	} else {
		event_assign(&end->event, base, end->read_fd, EV_READ | EV_PERSIST, ready, end);
	}
	return event_add(&end->event, NULL);
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

	if (watch == WATCH_READABLE && end->read_stream == SFRONT_STREAM_FILE)
		end->watch = WATCH_NOTHING; /* a timer: it fires once */
	return watch;
}

bool watch_pending(struct event_base *base, struct endpoint *from, bool wanted,
		   event_callback_fn writable)
{
	struct pending *pending = from->pending;

	if (!pending || pending->waiting == wanted)
		return true;
	pending->waiting = false;
	if (!wanted) {
		event_del(&pending->writable);
		return true;
	}
	event_assign(&pending->writable, base, end_peer(from)->write_fd, EV_WRITE | EV_PERSIST,
		     writable, from);
	if (event_add(&pending->writable, NULL) < 0)
		return false;
	pending->waiting = true;
	return true;
}
