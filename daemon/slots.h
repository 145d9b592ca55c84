/* SPDX-License-Identifier: MIT */
/*
 * max-connections, counted over all workers.  A slot is taken before a client is accepted, so that
 * there are never more connections than slots; whoever finds none waits to be
 * woken, and the clients wait in the kernel's backlog.
 */
#ifndef DAEMON_SLOTS_H
#define DAEMON_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>

struct slots {
	atomic_uint used;
	atomic_bool wanted; /* somebody found none since the last one was given back */
	unsigned int max;
};

/* Takes a slot.  False: none is free, and the giver of the next one will be told. */
static inline bool slots_take(struct slots *slots)
{
	for (int tries = 0; tries < 2; tries++) {
		unsigned int used = atomic_load(&slots->used);

		while (used < slots->max)
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
	atomic_fetch_sub(&slots->used, 1);
	return atomic_load(&slots->wanted) && atomic_exchange(&slots->wanted, false);
}

static inline unsigned int slots_used(struct slots *slots)
{
	return atomic_load(&slots->used);
}

#endif
