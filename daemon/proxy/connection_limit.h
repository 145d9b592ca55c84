/* SPDX-License-Identifier: MIT */
/*
 * How many connections there may be, counted over all workers: of the process, and of each
 * proxy.  A slot is taken before a client is accepted, so that there are never more
 * connections than slots; the clients for whom there is none wait in the kernel's
 * backlog.
 */
#ifndef DAEMON_PROXY_CONNECTION_LIMIT_H
#define DAEMON_PROXY_CONNECTION_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/clock.h"

struct connection_limit {
	atomic_uint used;
	atomic_ullong
		quiet_since_ms; /* when the last one came back; meaningful while none is used */
	atomic_bool wanted;     /* somebody found none since the last one was given back */
	atomic_uint max;        /* changes: a reload may set another */
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

/* Counts a connection whether there is a slot for it or not. */
static inline void connection_limit_exceed(struct connection_limit *limit)
{
	atomic_fetch_add(&limit->used, 1);
}

/* Gives a slot back.  True: somebody wants it, wake the acceptor. */
static inline bool connection_limit_give(struct connection_limit *limit)
{
	/* First: whoever sees none used must not see the time of an earlier one. */
	atomic_store(&limit->quiet_since_ms, clock_ms());
	atomic_fetch_sub(&limit->used, 1);
	return atomic_load(&limit->wanted) && atomic_exchange(&limit->wanted, false);
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
