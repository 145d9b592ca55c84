/* SPDX-License-Identifier: MIT */
/*
 * The timeouts of a session: see timeouts.h.
 */
#include "daemon/session/timeouts.h"

#include <sockfront/listener.h>

#include "daemon/base/clock.h"
#include "daemon/proxy/proxy.h"
#include "daemon/session/host.h"
#include "daemon/session/state.h"

/*
 * The host's event is there in advance, with its place among libevent's timers: to move it
 * takes no memory.
 */
static void be_stuck(struct session *session)
{
	const struct timeval soon = timeval_from_ms(RETRY_MS);
	struct session_host *host = session->host;

	session->stuck = true;
	if (!host->is_rescue_due)
		host->is_rescue_due = event_add(&host->rescue, &soon) == 0;
}

struct session_timing *session_timing(struct session *session)
{
	struct session_host *host = session->host;

	if (session->timing)
		return session->timing;
	if (!slab_ready(&host->timings)) {
		be_stuck(session);
		return NULL;
	}
	session->timing = slab_take(&host->timings);
	session->timing->session = session;
	timers_init(&session->timing->timers, host->loop.base, host->fired, session);
	return session->timing;
}

bool session_deadline(struct session *session, enum deadline which, uint64_t ms)
{
	struct session_timing *timing = session_timing(session);

	if (!timing)
		return false;
	if (timers_set(&timing->timers, which, ms))
		return true;
	be_stuck(session);
	return false;
}

bool session_deadline_by(struct session *session, enum deadline which, uint64_t ms)
{
	if (!session->timing || !timers_is_set(&session->timing->timers, which))
		return session_deadline(session, which, ms);
	if (timers_arm(&session->timing->timers))
		return true;
	be_stuck(session);
	return false;
}

void timeouts_clear(struct session *session)
{
	if (!session->timing)
		return;
	for (enum deadline which = 0; which < DEADLINE_LIFE; which++)
		timers_clear(&session->timing->timers, which);
}

void timeouts_stop(struct session *session)
{
	if (!session->timing)
		return;
	timers_stop(&session->timing->timers);
	slab_give(&session->host->timings, session->timing);
	session->timing = NULL;
}

/* @renew: from now on, even if it was set before */
static void set_limit(struct session *session, enum deadline which, uint64_t ms, bool renew)
{
	if (ms == SFRONT_INFINITY_MS)
		return;
	if (renew)
		session_deadline(session, which, ms);
	else
		session_deadline_by(session, which, ms);
}

/* Those that are counted since the last byte. */
static void set_silence_limits(struct session *session, bool renew)
{
	const struct proxy_config *config = &session->proxy->config;

	set_limit(session, DEADLINE_IDLE, config->idle_timeout_ms, renew);
	if (session->client.ended || session->backend.ended)
		set_limit(session, DEADLINE_HALF_CLOSE, config->half_close_timeout_ms, renew);
}

void timeouts_set(struct session *session)
{
	set_limit(session, DEADLINE_LIFE, session->proxy->config.connection_timeout_ms, false);
	if (session->state == SESSION_RELAYING)
		set_silence_limits(session, false);
}

void timeouts_note_activity(struct session *session)
{
	set_silence_limits(session, true);
}

/*
 * Bytes that the kernel still delivers move too: as long as there are fewer, or more,
 * than a whole timeout ago, nobody is idle.
 */
static bool is_draining(struct session *session)
{
	uint64_t unsent = endpoint_unsent(&session->client) + endpoint_unsent(&session->backend);
	bool moves = unsent > 0 && unsent != session->timing->unsent;

	session->timing->unsent = unsent;
	return moves;
}

const char *timeouts_over(struct session *session, enum deadline which)
{
	if (which == DEADLINE_LIFE)
		return "connection timeout";
	if (is_draining(session)) {
		timeouts_note_activity(session);
		return NULL;
	}
	return which == DEADLINE_IDLE ? "idle timeout" : "half-close timeout";
}
