/* SPDX-License-Identifier: MIT */
/*
 * A timer that is exact to some microseconds.  libevent's own are cheaper, since they
 * cost no call, but late by up to the two ticks of the kernel that its coarse clock and
 * epoll round to: 8 ms where a tick is 4 ms.
 */
#ifndef DAEMON_BASE_FINE_TIMER_H
#define DAEMON_BASE_FINE_TIMER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

struct fine_timer {
	struct event event;
	struct event_base *base;
	void (*fired)(void *arg);
	void *arg;
	uint64_t due_ns; /* by the exact clock; 0: it is not set */
	int fd;          /* -1: closed */
};

/* @base: borrowed */
void fine_timer_init(struct fine_timer *timer, struct event_base *base, void (*fired)(void *arg),
		     void *arg);

/*
 * Fires once in @ns, at least 1, whatever was said before; opens the timer if need be.
 * False: there is no descriptor or no memory, and it will not fire.
 */
bool fine_timer_set(struct fine_timer *timer, uint64_t ns);

/* Gives the descriptor back; it does not fire any more. */
void fine_timer_close(struct fine_timer *timer);

#endif
