/* SPDX-License-Identifier: MIT */
/*
 * The end of a session whose one side broke: see abort.h.
 */
#include "daemon/session/abort.h"

#include "daemon/session/state.h"
#include "daemon/session/timeouts.h"

static const struct endpoint *broken_end(const struct session *session)
{
	return session->client_broke ? &session->client : &session->backend;
}

static const struct endpoint *other_end(const struct session *session)
{
	return session->client_broke ? &session->backend : &session->client;
}

bool abort_is_done(const struct session *session)
{
	const struct endpoint *broken = broken_end(session);

	return broken->ended && !broken->pending && endpoint_undelivered(other_end(session)) == 0;
}

bool abort_has_stalled(struct session *session)
{
	struct session_timing *timing = session_timing(session);
	uint64_t pause;

	if (!timing)
		return false; /* and is stuck */
	pause = delivery_look(&timing->delivery, broken_end(session)->moved,
			      endpoint_unsent(other_end(session)),
			      endpoint_awaits_window(other_end(session)));
	if (pause == 0)
		return true;
	session_deadline(session, DEADLINE_DELIVERY, pause);
	return false;
}
