/* SPDX-License-Identifier: MIT */
/*
 * max-connections, counted over all workers.  A slot is taken before a client is accepted, so that
 * there are never more connections than slots; whoever finds none waits to be
 * woken, and the clients wait in the kernel's backlog.
 */
#ifndef DAEMON_WORKER_CONNECTION_LIMIT_H
#define DAEMON_WORKER_CONNECTION_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/clock.h"
#include "daemon/base/mailbox.h"

struct connection_limit {
	atomic_uint used;
	atomic_ullong
		quiet_since_ms; /* when the last one came back; meaningful while none is used */
	atomic_bool wanted;     /* somebody found none since the last one was given back */
	atomic_uint max;        /* changes: a reload may set another */
	/* Who is told when a slot is free again that somebody found none of: the acceptor. */
	struct mailbox *waiter;
	struct message slot_free;
	/* Somebody who wants to hear of the next change, once. */
	struct {
		atomic_bool waits;
		struct mailbox *mailbox;
		struct message changed;
	} observer;
};

/* Takes a slot.  False: none is free, and the giver of the next one will be told. */
static inline bool connection_limit_take(struct connection_limit *limit)
{
	for (int tries = 0; tries < 2; tries++) {
		unsigned int used = atomic_load(&limit->used);

		while (used < atomic_load(&limit->max))
			if (atomic_compare_exchange_weak(&limit->used, &used, used + 1))
				return true;
		/* One may have come back before we said that we want it: look again after. */
		atomic_store(&limit->wanted, true);
	}
	return false;
}

/* Gives a slot back.  True: somebody wants it, wake the acceptors. */
static inline bool connection_limit_give(struct connection_limit *limit)
{
	/* First: whoever sees none used must not see the time of an earlier one. */
	atomic_store(&limit->quiet_since_ms, clock_ms());
	atomic_fetch_sub(&limit->used, 1);
	return atomic_load(&limit->wanted) && atomic_exchange(&limit->wanted, false);
}

/* A slot was taken for good, or given back: tells the observer, if it waits for that. */
static inline void connection_limit_changed(struct connection_limit *limit)
{
	if (atomic_load(&limit->observer.waits) && atomic_exchange(&limit->observer.waits, false))
		mailbox_post(limit->observer.mailbox, &limit->observer.changed);
}

/* By clock_ms(); 0 if none was ever taken. */
static inline uint64_t connection_limit_quiet_since(struct connection_limit *limit)
{
	return atomic_load(&limit->quiet_since_ms);
}

static inline unsigned int connection_limit_used(struct connection_limit *limit)
{
	return atomic_load(&limit->used);
}

#endif
