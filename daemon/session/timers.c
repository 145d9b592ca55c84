/* SPDX-License-Identifier: MIT */
/*
 * Deadlines on one event: see timers.h.
 */
#include "daemon/session/timers.h"

#include "daemon/base/clock.h"

/* Further away, the event fires in between: libevent adds its times without a look at their size.
 */
#define FARTHEST_MS ((uint64_t)24 * 3600 * 1000)

void timers_init(struct timers *timers, struct event_base *base, event_callback_fn fired, void *arg)
{
	*timers = (struct timers){ 0 };
	event_assign(&timers->event, base, -1, 0, fired, arg);
}

void timers_stop(struct timers *timers)
{
	event_del(&timers->event);
	timers->fires_ms = 0;
}

/* The deadline that is over first; DEADLINE_NONE: none is set. */
static enum deadline first(const struct timers *timers)
{
	enum deadline found = DEADLINE_NONE;

	for (enum deadline which = 0; which < DEADLINES; which++)
		if (timers->due_ms[which] != 0 &&
		    (found == DEADLINE_NONE || timers->due_ms[which] < timers->due_ms[found]))
			found = which;
	return found;
}

bool timers_arm(struct timers *timers)
{
	enum deadline next = first(timers);
	uint64_t now = clock_ms(), ms = 0;
	struct timeval tv;

	if (next == DEADLINE_NONE ||
	    (timers->fires_ms != 0 && timers->fires_ms <= timers->due_ms[next]))
		return true;
	if (timers->due_ms[next] > now)
		ms = timers->due_ms[next] - now;
	if (ms > FARTHEST_MS)
		ms = FARTHEST_MS;
	tv = timeval_from_ms(ms);
	if (event_add(&timers->event, &tv) < 0)
		return false;
	timers->fires_ms = now + ms;
	return true;
}

bool timers_set(struct timers *timers, enum deadline which, uint64_t ms)
{
	uint64_t now = clock_ms(), due = clock_sum_ms(now, ms);

	timers->due_ms[which] = due;
	if (timers->fires_ms != 0 && timers->fires_ms <= due)
		return true;
	return timers_arm(timers);
}

void timers_clear(struct timers *timers, enum deadline which)
{
	timers->due_ms[which] = 0;
}

enum deadline timers_expired(struct timers *timers)
{
	enum deadline next = first(timers);
	uint64_t now = clock_ms();

	/* The loop's clock may be a little ahead of ours. */
	if (now < timers->fires_ms)
		now = timers->fires_ms;
	timers->fires_ms = 0;
	if (next == DEADLINE_NONE || timers->due_ms[next] > now)
		return DEADLINE_NONE;
	timers->due_ms[next] = 0;
	return next;
}
