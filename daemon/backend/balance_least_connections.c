/* SPDX-License-Identifier: MIT */
/*
 * balance = least-connections: the one that has the fewest for its weight; while several have,
 * the one that has had the fewest.
 */
#include "daemon/backend/balance.h"

#include "daemon/backend/server.h"

/* With one connection more. */
static bool would_be_lighter(const struct server *a, const struct server *b)
{
	return ((uint64_t)server_active(a) + 1) * b->weight <
	       ((uint64_t)server_active(b) + 1) * a->weight;
}

static size_t lightest(const struct balancer *balancer, const bool *may)
{
	size_t least = balancer->n;

	for (size_t i = 0; i < balancer->n; i++)
		if (may[i] && (least == balancer->n ||
			       would_be_lighter(&balancer->servers[i], &balancer->servers[least])))
			least = i;
	return least;
}

static size_t furthest_behind(struct balancer *balancer, const bool *among)
{
	size_t behind = balancer->n;

	for (size_t i = 0; i < balancer->n; i++)
		if (among[i] && (behind == balancer->n ||
				 balance_share(balancer, i) < balance_share(balancer, behind)))
			behind = i;
	return behind;
}

size_t balance_least_connections(struct balancer *balancer, const bool *may, uint64_t source)
{
	const struct server *least = &balancer->servers[lightest(balancer, may)];
	bool equal[SERVERS_MAX] = { false };
	size_t at;

	(void)source;
	for (size_t i = 0; i < balancer->n; i++)
		equal[i] = may[i] && !balance_is_lighter(least, &balancer->servers[i]);
	equal[least - balancer->servers] = true; /* whatever it has got since */
	at = furthest_behind(balancer, equal);
	balance_note_share(balancer, at);
	return at;
}
