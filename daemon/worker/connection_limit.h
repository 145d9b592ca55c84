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

struct slots {
	atomic_uint used;
	atomic_ullong
		quiet_since_ms; /* when the last one came back; meaningful while none is used */
	atomic_bool wanted;     /* somebody found none since the last one was given back */
	atomic_uint max;        /* changes: a reload may set another */
};

/* Takes a slot.  False: none is free, and the giver of the next one will be told. */
static inline bool slots_take(struct slots *slots)
{
	for (int tries = 0; tries < 2; tries++) {
		unsigned int used = atomic_load(&slots->used);

		while (used < atomic_load(&slots->max))
			if (atomic_compare_exchange_weak(&slots->used, &used, used + 1))
				return true;
		/* One may have come back before we said that we want it: look again after. */
		atomic_store(&slots->wanted, true);
	}
	return false;
}

/* Gives a slot back.  True: somebody wants it, wake the acceptors. */
static inline bool slots_give(struct slots *slots)
{
	/* First: whoever sees none used must not see the time of an earlier one. */
	atomic_store(&slots->quiet_since_ms, clock_ms());
	atomic_fetch_sub(&slots->used, 1);
	return atomic_load(&slots->wanted) && atomic_exchange(&slots->wanted, false);
}

/* By clock_ms(); 0 if none was ever taken. */
static inline uint64_t slots_quiet_since(struct slots *slots)
{
	return atomic_load(&slots->quiet_since_ms);
}

static inline unsigned int slots_used(struct slots *slots)
{
	return atomic_load(&slots->used);
}

#endif
