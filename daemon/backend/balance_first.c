/* SPDX-License-Identifier: MIT */
/*
 * balance = first: the heaviest; among equals the one whose line comes first.
 */
#include "daemon/backend/balance.h"

#include "daemon/backend/server.h"

size_t balance_first(struct balancer *balancer, const bool *may, uint64_t source)
{
	size_t first = balancer->n;

	(void)source;
	for (size_t i = 0; i < balancer->n; i++)
		if (may[i] && (first == balancer->n ||
			       balancer->servers[i].weight > balancer->servers[first].weight))
			first = i;
	return first;
}
