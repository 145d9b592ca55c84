/* SPDX-License-Identifier: MIT */
/*
 * balance = round-robin: in turns.  The turn of one that may not have the client is
 * nobody's, so that what it would have had is shared by all others.
 */
#include "daemon/backend/balance.h"

size_t balance_round_robin(struct balancer *balancer, const bool *may, uint64_t source)
{
	size_t at = 0;

	(void)source;
	for (unsigned int i = 0; i < balancer->n_turns; i++) {
		unsigned int turn =
			atomic_fetch_add_explicit(&balancer->turn, 1, memory_order_relaxed);

		at = balancer->turns[turn % balancer->n_turns];
		if (may[at])
			return at;
	}
	/* Other threads have taken all of its turns meanwhile. */
	for (at = 0; !may[at];)
		at++;
	return at;
}
