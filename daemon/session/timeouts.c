/* SPDX-License-Identifier: MIT */
/*
 * The timeouts of a session: see timeouts.h.
 */
#include "daemon/session/timeouts.h"

#include <sockfront/listener.h>

#include "daemon/proxy/proxy.h"
#include "daemon/session/host.h"
#include "daemon/session/state.h"

/* The session's deadlines, made if need be.  NULL: out of memory. */
static struct session_timing *timing_of(struct session *session)
{
	struct session_host *host = session->host;

	if (session->timing)
		return session->timing;
	if (!slab_ready(&host->timings))
		return NULL;
	session->timing = slab_take(&host->timings);
	timers_init(&session->timing->timers, host->loop.base, host->fired, session);
	return session->timing;
}

bool session_deadline(struct session *session, enum deadline which, uint64_t ms)
{
	struct session_timing *timing = timing_of(session);

	return timing && timers_set(&timing->timers, which, ms);
}

bool session_deadline_by(struct session *session, enum deadline which, uint64_t ms)
{
	if (session->timing && timers_is_set(&session->timing->timers, which))
		return timers_arm(&session->timing->timers);
	return session_deadline(session, which, ms);
}

static void stop_coalescing(struct session *session)
{
	coalesce_stop(&session->timing->coalesce[0], &session->client);
	coalesce_stop(&session->timing->coalesce[1], &session->backend);
}

void timeouts_clear(struct session *session)
{
	if (!session->timing)
		return;
	stop_coalescing(session);
	for (enum deadline which = 0; which < DEADLINES; which++)
		timers_clear(&session->timing->timers, which);
}

void timeouts_stop(struct session *session)
{
	if (!session->timing)
		return;
	/* An inherited connection may be in somebody else's hands, too. */
	stop_coalescing(session);
	timers_stop(&session->timing->timers);
	slab_give(&session->host->timings, session->timing);
	session->timing = NULL;
}

/* ---- bytes that coalesce ---- */

/* What is left lying in a socket that coalesces is looked after, or else nothing may coalesce. */
static void look_soon(struct session *session)
{
	if (!session_deadline_by(session, DEADLINE_COALESCE, COALESCE_MS))
		stop_coalescing(session);
}

static void note_bulk(struct session *session, struct endpoint *from)
{
	if ((from->bulk || from->coalesces) && timing_of(session) &&
	    coalesce_note(&session->timing->coalesce[from->is_backend], from,
			  session->host->pipes.pipe_capacity))
		look_soon(session);
}

void timeouts_check_coalescing(struct session *session)
{
	struct coalesce *coalesce = session->timing->coalesce;
	bool client = coalesce_check(&coalesce[0], &session->client);
	bool backend = coalesce_check(&coalesce[1], &session->backend);

	if (client || backend)
		look_soon(session);
}

/* ---- timeouts ---- */

/* What could not be timed for want of memory is with the next bytes. */
void timeouts_note_activity(struct session *session)
{
	const struct proxy_config *config = &session->proxy->config;

	if (config->idle_timeout_ms != SFRONT_INFINITY_MS)
		session_deadline(session, DEADLINE_IDLE, config->idle_timeout_ms);
	if (config->half_close_timeout_ms != SFRONT_INFINITY_MS &&
	    (session->client.ended || session->backend.ended))
		session_deadline_by(session, DEADLINE_HALF_CLOSE, config->half_close_timeout_ms);
}

void timeouts_note_bytes(struct session *session, struct endpoint *from)
{
	timeouts_note_activity(session);
	note_bulk(session, from);
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

bool timeouts_are_over(struct session *session, enum deadline which)
{
	if (which != DEADLINE_IDLE || !is_draining(session))
		return true;
	session_deadline(session, DEADLINE_IDLE, session->proxy->config.idle_timeout_ms);
	return false;
}
