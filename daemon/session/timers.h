/* SPDX-License-Identifier: MIT */
/*
 * The deadlines of a session, each with a name, and the one event that they share.  A
 * deadline that only moves later, as one does with every byte, costs no call: the event
 * fires when it was first due, finds nothing to do, and is set anew.
 */
#ifndef DAEMON_SESSION_TIMERS_H
#define DAEMON_SESSION_TIMERS_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

enum deadline {
	DEADLINE_RETRY,    /* what memory was missing for is tried again */
	DEADLINE_LOOK,     /* an end has not been read for a while: whether it is still there */
	DEADLINE_HEADER,   /* proxy-protocol-timeout */
	DEADLINE_HELD,     /* the process drains: the client is not held for a backend any longer */
	DEADLINE_DELIVERY, /* one side broke: how far the other has read what it had sent */
	DEADLINE_IDLE,     /* idle-timeout */
	DEADLINE_HALF_CLOSE, /* half-close-timeout */
	DEADLINE_LOOP, /* a connection of our own that came back has been held for long enough */
	DEADLINE_LIFE, /* connection-timeout */
	DEADLINES,
	DEADLINE_NONE = DEADLINES
};

struct timers {
	struct event event;
	uint64_t fires_ms;          /* when the event does; 0: it is not set */
	uint64_t due_ms[DEADLINES]; /* 0: not set */
};

/* @fired: is to ask timers_expired() */
void timers_init(struct timers *timers, struct event_base *base, event_callback_fn fired,
		 void *arg);

/* No event fires any more. */
void timers_stop(struct timers *timers);

/*
 * @which is over in @ms, whatever was said before.  False: out of memory, and nothing
 * will fire until timers_arm() has returned true.
 */
bool timers_set(struct timers *timers, enum deadline which, uint64_t ms);

void timers_clear(struct timers *timers, enum deadline which);

static inline bool timers_is_set(const struct timers *timers, enum deadline which)
{
	return timers->due_ms[which] != 0;
}

/*
 * For the function that libevent has called: takes off the deadline that is over, the
 * earliest if there are several.  DEADLINE_NONE: none is.  timers_arm() has to follow.
 */
enum deadline timers_expired(struct timers *timers);

/* Sees to it that the event fires for whichever deadline is next.  False: out of memory. */
bool timers_arm(struct timers *timers);

#endif
