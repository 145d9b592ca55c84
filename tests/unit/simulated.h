/* SPDX-License-Identifier: MIT */
/*
 * A loop and a clock without real time, for tests of what the daemon does when: timers fire
 * when the test lets time pass, descriptors are ready when it says so, messages arrive
 * when it delivers them.  Nothing sleeps.
 *
 * The linker sends the daemon's calls here: a test that includes this file has a .wrap
 * file beside it with the lines
 *
 *	--wrap=clock_gettime
 *	--wrap=event_add
 *	--wrap=event_del
 *	--wrap=event_pending
 *	--wrap=mailbox_post
 */
#ifndef TESTS_UNIT_SIMULATED_H
#define TESTS_UNIT_SIMULATED_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/base/mailbox.h"

#define SIMULATED_EVENTS 64
#define SIMULATED_NEVER  UINT64_MAX

static struct {
	uint64_t now_ms;
	struct {
		struct event *event; /* NULL: free */
		uint64_t due_ms;     /* SIMULATED_NEVER: it has no timer */
		unsigned int order;  /* of being added: timers of the same moment fire in turn */
	} events[SIMULATED_EVENTS];
	unsigned int n_added;
	struct message *first, **last;
	unsigned int adds_after;   /* so many calls of event_add() are as ever ... */
	unsigned int adds_to_fail; /* ... and then so many fail */
} simulated;

/* Before each test: nothing is waited for, and it is some time after boot. */
static inline void simulated_reset(void)
{
	simulated = (typeof(simulated)){ .now_ms = 1000000 };
	simulated.last = &simulated.first;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	ret->tv_sec = (time_t)(simulated.now_ms / 1000);
	ret->tv_nsec = (long)(simulated.now_ms % 1000 * 1000000);
	return 0;
}

/* The place of @event, or of a free entry; a test that wants more fails. */
static inline size_t simulated_find(const struct event *event)
{
	for (size_t i = 0; i < SIMULATED_EVENTS; i++)
		if (simulated.events[i].event == event)
			return i;
	if (!event)
		fail_msg("more than %d events", SIMULATED_EVENTS);
	return SIMULATED_EVENTS;
}

/* libevent refuses edge- and level-triggered events side by side on one descriptor. */
static inline void simulated_check_edges(const struct event *event)
{
	for (size_t i = 0; i < SIMULATED_EVENTS; i++) {
		const struct event *other = simulated.events[i].event;

		if (other && event_get_fd(event) >= 0 &&
		    event_get_fd(other) == event_get_fd(event) &&
		    (event_get_events(other) & EV_ET) != (event_get_events(event) & EV_ET))
			fail_msg("edge and level on descriptor %d", event_get_fd(event));
	}
}

int __wrap_event_add(struct event *event, const struct timeval *timeout);
int __wrap_event_add(struct event *event, const struct timeval *timeout)
{
	size_t at = simulated_find(event);

	bool has_place =
		at < SIMULATED_EVENTS && timeout && simulated.events[at].due_ms != SIMULATED_NEVER;

	simulated_check_edges(event);
	if (simulated.adds_after > 0) {
		simulated.adds_after--;
	} else if (simulated.adds_to_fail > 0 && !has_place) { /* a timer only moves */
		simulated.adds_to_fail--;
		return -1;
	}
	if (at == SIMULATED_EVENTS) {
		at = simulated_find(NULL);
		simulated.events[at].event = event;
		simulated.events[at].due_ms = SIMULATED_NEVER;
	}
	if (timeout)
		simulated.events[at].due_ms = simulated.now_ms + (uint64_t)timeout->tv_sec * 1000 +
					      (uint64_t)timeout->tv_usec / 1000;
	simulated.events[at].order = simulated.n_added++;
	return 0;
}

int __wrap_event_del(struct event *event);
int __wrap_event_del(struct event *event)
{
	size_t at = simulated_find(event);

	if (at < SIMULATED_EVENTS)
		simulated.events[at].event = NULL;
	return 0;
}

int __wrap_event_pending(const struct event *event, short what, struct timeval *ret);
int __wrap_event_pending(const struct event *event, short what, struct timeval *ret)
{
	size_t at = simulated_find(event);

	(void)ret;
	if (at == SIMULATED_EVENTS)
		return 0;
	return ((event_get_events(event) & (EV_READ | EV_WRITE)) |
		(simulated.events[at].due_ms != SIMULATED_NEVER ? EV_TIMEOUT : 0)) &
	       what;
}

void __wrap_mailbox_post(struct mailbox *mailbox, struct message *message);
void __wrap_mailbox_post(struct mailbox *mailbox, struct message *message)
{
	(void)mailbox;
	if (message->posted)
		return;
	message->posted = true;
	message->next = NULL;
	*simulated.last = message;
	simulated.last = &message->next;
}

/* Delivers the messages that were posted, and those that are posted meanwhile. */
static inline void simulated_deliver(void)
{
	struct message *message;

	while ((message = simulated.first)) {
		simulated.first = message->next;
		if (!simulated.first)
			simulated.last = &simulated.first;
		message->posted = false;
		message->deliver(message);
	}
}

static inline void simulated_fire(struct event *event, short what)
{
	size_t at = simulated_find(event);

	if (!(event_get_events(event) & EV_PERSIST))
		simulated.events[at].event = NULL;
	else if (what & EV_TIMEOUT)
		simulated.events[at].due_ms = SIMULATED_NEVER;
	event_get_callback(event)(event_get_fd(event), what, event_get_callback_arg(event));
}

/* The next timer that is due by @until_ms; SIMULATED_EVENTS: none. */
static inline size_t simulated_next_timer(uint64_t until_ms)
{
	size_t next = SIMULATED_EVENTS;

	for (size_t i = 0; i < SIMULATED_EVENTS; i++) {
		if (!simulated.events[i].event || simulated.events[i].due_ms > until_ms)
			continue;
		if (next == SIMULATED_EVENTS ||
		    simulated.events[i].due_ms < simulated.events[next].due_ms ||
		    (simulated.events[i].due_ms == simulated.events[next].due_ms &&
		     simulated.events[i].order < simulated.events[next].order))
			next = i;
	}
	return next;
}

/* Lets time pass: each timer fires at its moment, one after the other. */
static inline void simulated_advance(uint64_t ms)
{
	uint64_t until = simulated.now_ms + ms;
	size_t at;

	while ((at = simulated_next_timer(until)) < SIMULATED_EVENTS) {
		simulated.now_ms = simulated.events[at].due_ms;
		simulated_fire(simulated.events[at].event, EV_TIMEOUT);
	}
	simulated.now_ms = until;
}

/* The descriptor is ready for @what (EV_READ, EV_WRITE).  Returns whether anybody waited. */
static inline bool simulated_ready(int fd, short what)
{
	for (size_t i = 0; i < SIMULATED_EVENTS; i++) {
		struct event *event = simulated.events[i].event;

		if (event && event_get_fd(event) == fd && (event_get_events(event) & what)) {
			simulated_fire(event, what);
			return true;
		}
	}
	return false;
}

/* How long until the next timer; SIMULATED_NEVER: none is set. */
static inline uint64_t simulated_until_next(void)
{
	size_t at = simulated_next_timer(SIMULATED_NEVER - 1);

	return at < SIMULATED_EVENTS ? simulated.events[at].due_ms - simulated.now_ms
				     : SIMULATED_NEVER;
}

#endif
