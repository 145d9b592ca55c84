/* SPDX-License-Identifier: MIT */
/*
 * balance = source: a client has the same server each time.  Each server gets a number for
 * each client, and the highest one wins (rendezvous hashing): one that leaves moves only
 * its own clients.
 */
#include "daemon/backend/balance.h"

#include <math.h>

#include "daemon/backend/server.h"

/* Of weight w, -w / ln(u) with u between 0 and 1 is the highest in proportion to w. */
static double score(const struct server *server, uint64_t source)
{
	uint64_t hash = balance_mix(server->key ^ balance_mix(source));
	double u = ((double)(hash >> 11) + 0.5) / (double)(UINT64_C(1) << 53);

	return -(double)server->weight / log(u);
}

size_t balance_source(struct balancer *balancer, const bool *may, uint64_t source)
{
	size_t best = balancer->n;
	double most = 0;

	for (size_t i = 0; i < balancer->n; i++) {
		double one = may[i] ? score(&balancer->servers[i], source) : 0;

		if (may[i] && (best == balancer->n || one > most)) {
			best = i;
			most = one;
		}
	}
	return best;
}
