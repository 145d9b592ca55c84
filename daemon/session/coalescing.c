/* SPDX-License-Identifier: MIT */
/*
 * Looking after bytes that coalesce: see coalescing.h.  The timer costs a descriptor, a
 * wake-up and a call each time, so that there is one for all, and none while nobody
 * needs it.
 */
#include "daemon/session/coalescing.h"

#include "daemon/base/clock.h"
#include "daemon/proxy/proxy.h"
#include "daemon/relay/coalesce.h"
#include "daemon/session/host.h"
#include "daemon/session/state.h"
#include "daemon/session/timeouts.h"

#define NS_PER_MS UINT64_C(1000000)
#define NEVER     UINT64_MAX

static struct coalesce_terms terms_of(const struct session *session)
{
	return (struct coalesce_terms){
		.wait_ns = session->proxy->config.coalesce_ms * NS_PER_MS,
		.pipe_size = session->host->pipes.pipe_capacity,
	};
}

static void join(struct coalescing *coalescing, struct session_timing *timing)
{
	if (!timing->is_looked_after)
		LIST_INSERT_HEAD(&coalescing->sessions, timing, link);
	timing->is_looked_after = true;
}

static void leave(struct session_timing *timing)
{
	if (timing->is_looked_after)
		LIST_REMOVE(timing, link);
	timing->is_looked_after = false;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void read_if_due(struct endpoint *end, const struct coalesce_result *result)
{
	if (result->is_due && end->watch == WATCH_READABLE)
		event_active(&end->event, EV_READ, 0);
}

/* Returns how soon the end is to be looked after again; NEVER: not at all. */
static uint64_t look_after_end(struct session_timing *timing, struct endpoint *end,
			       const struct coalesce_terms *terms, uint64_t now_ns)
{
	struct coalesce_result result =
		coalesce_check(&timing->coalesce[end->is_backend], end, terms, now_ns);

	read_if_due(end, &result);
	return result.look_in_ns > 0 ? result.look_in_ns : NEVER;
}

static uint64_t look_after(struct session_timing *timing, uint64_t now_ns)
{
	struct session *session = timing->session;
	struct coalesce_terms terms = terms_of(session);

	return sooner(look_after_end(timing, &session->client, &terms, now_ns),
		      look_after_end(timing, &session->backend, &terms, now_ns));
}

static uint64_t look_after_all(struct coalescing *coalescing)
{
	struct session_timing *timing, *next;
	uint64_t now_ns = clock_exact_ns(), soonest = NEVER;

	for (timing = LIST_FIRST(&coalescing->sessions); timing; timing = next) {
		uint64_t look_in_ns = look_after(timing, now_ns);

		next = LIST_NEXT(timing, link);
		if (look_in_ns == NEVER)
			leave(timing);
		soonest = sooner(soonest, look_in_ns);
	}
	return soonest;
}

static void time_to_look(void *arg)
{
	struct coalescing *coalescing = arg;
	uint64_t soonest = look_after_all(coalescing);

	if (soonest != NEVER)
		(void)fine_timer_set(&coalescing->timer, soonest); /* it is open */
}

/* Sees to it that the timer fires in @ns at the latest.  False: there is none to be had. */
static bool look_within(struct coalescing *coalescing, uint64_t ns, uint64_t now_ns)
{
	uint64_t due_ns = coalescing->timer.due_ns;

	return (due_ns != 0 && due_ns <= now_ns + ns) || fine_timer_set(&coalescing->timer, ns);
}

void coalescing_init(struct coalescing *coalescing, struct event_base *base)
{
	LIST_INIT(&coalescing->sessions);
	fine_timer_init(&coalescing->timer, base, time_to_look, coalescing);
}

void coalescing_clear(struct coalescing *coalescing)
{
	fine_timer_close(&coalescing->timer);
}

static void note_long(struct session *session, struct endpoint *from,
		      const struct coalesce_terms *terms)
{
	struct coalescing *coalescing = &session->host->coalescing;
	struct session_timing *timing = session_timing(session);
	struct coalesce_result result;
	struct coalesce *coalesce;
	uint64_t now_ns;

	if (!timing)
		return;
	coalesce = &timing->coalesce[from->is_backend];
	if (!coalesce_count(coalesce, from))
		return;
	now_ns = clock_exact_ns();
	result = coalesce_note(coalesce, from, terms, now_ns);
	read_if_due(from, &result);
	if (result.look_in_ns == 0)
		return;
	join(coalescing, timing);
	/* What is left lying in a socket that coalesces is looked after, or else none may. */
	if (!look_within(coalescing, result.look_in_ns, now_ns))
		coalescing_stop(session);
}

void coalescing_note(struct session *session, struct endpoint *from)
{
	struct coalesce_terms terms = terms_of(session);
	bool is_long = from->bulk || from->moved >= COALESCE_AFTER;

	if ((is_long && terms.wait_ns > 0 && terms.pipe_size > 0) || from->coalesces)
		note_long(session, from, &terms);
}

void coalescing_stop(struct session *session)
{
	struct session_timing *timing = session->timing;
	struct coalescing *coalescing = &session->host->coalescing;

	if (!timing)
		return;
	coalesce_stop(&timing->coalesce[0], &session->client);
	coalesce_stop(&timing->coalesce[1], &session->backend);
	leave(timing);
	/* While nothing coalesces, a worker has no descriptor of its own for it. */
	if (LIST_EMPTY(&coalescing->sessions))
		fine_timer_close(&coalescing->timer);
}
