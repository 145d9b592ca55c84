/* SPDX-License-Identifier: MIT */
/*
 * From the state of a session to the events of its ends: see interest.h.  Between
 * session.c and watch.c.
 */
#include "daemon/session/interest.h"

#include "daemon/session/state.h"

/* Of what is no socket, only the writing side tells, and a plain file's does not. */
static bool can_be_gone(const struct endpoint *end)
{
	return is_socket(end->read_stream) ||
	       (end->ended && end->write_fd >= 0 && end->write_stream != SFRONT_STREAM_FILE);
}

/*
 * An end that is not read is watched edge-triggered for its reset, but only
 * after a while: most pauses are short.  It is not while somebody waits to
 * write to it: that event sees the reset too, and libevent cannot mix edge- and
 * level-triggered events on one descriptor.
 */
static enum watch unread_watch(const struct session *session, struct endpoint *end)
{
	return session->watch_gone && can_be_gone(end) && !end_peer(end)->pending ? WATCH_GONE
										  : WATCH_NOTHING;
}

enum watch interest_of(const struct session *session, struct endpoint *end)
{
	enum watch readable = session->starved ? WATCH_NOTHING : WATCH_READABLE;

	if (end->read_fd < 0)
		return WATCH_NOTHING;
	switch ((enum session_state)session->state) {
	case SESSION_AWAITING_HEADER:
		return readable;
	case SESSION_CONNECTING:
		return is_socket(end->read_stream) ? WATCH_GONE : WATCH_NOTHING;
	case SESSION_RELAYING:
		return endpoint_is_unread(end) ? unread_watch(session, end) : readable;
	case SESSION_ABORTING:
		return end->is_backend == session->client_broke || endpoint_is_unread(end)
			       ? WATCH_NOTHING
			       : readable;
	case SESSION_NEW:
	case SESSION_CLOSED:
		break;
	}
	return WATCH_NOTHING;
}
