/* SPDX-License-Identifier: MIT */
/*
 * Clients that wait for room at a server, in the order in which they came.  Shared by the
 * threads, and by all generations of a proxy.
 *
 * One that is told that there is room stays in its place until it has taken that: nobody
 * overtakes it.  Whoever leaves tells the next one.
 */
#ifndef DAEMON_BACKEND_WAITLIST_H
#define DAEMON_BACKEND_WAITLIST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/base/mailbox.h"

struct waitlist;

/* Lives in the memory of whoever waits. */
struct waiter {
	TAILQ_ENTRY(waiter) link;
	uint64_t arrived;             /* set by the waiter: who came earlier has a lower number */
	struct message message;       /* deliver: set by the waiter; there may be room now */
	struct mailbox *mailbox;      /* set by the waiter */
	bool (*has_room)(void *data); /* whether there is room for it; any thread */
	void *data;
};

/* Returns an empty one with one reference, or NULL when out of memory. */
struct waitlist *waitlist_new(void);

struct waitlist *waitlist_ref(struct waitlist *list);

/* NULL is allowed. */
void waitlist_unref(struct waitlist *list);

/* Whether anybody waits.  Costs one load. */
bool waitlist_is_empty(struct waitlist *list);

/*
 * Puts @waiter behind those who came earlier: one whose server has failed meanwhile comes back
 * to where it was.  It is told at once if there is room already.
 */
void waitlist_join(struct waitlist *list, struct waiter *waiter);

/* A message was delivered, and there was no room after all: its waiter waits on in its place. */
void waitlist_stay(struct waitlist *list);

/*
 * Takes @waiter off the list.  False: it has been told.  Unless that was delivered already,
 * it will be.
 */
bool waitlist_leave(struct waitlist *list, struct waiter *waiter);

/* A server has room again. */
void waitlist_wake(struct waitlist *list);

#endif
