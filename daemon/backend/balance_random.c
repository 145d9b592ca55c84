/* SPDX-License-Identifier: MIT */
/*
 * balance = random: two at random, as their weights have it, and of these the one that has
 * less to do; if neither has, the one that has had less.
 */
#include "daemon/backend/balance.h"

#include <sys/random.h>

#include "daemon/backend/server.h"

/* Nothing depends on nobody guessing it. */
static uint64_t random_number(void)
{
	static _Thread_local uint64_t state;

	if (state == 0 && getrandom(&state, sizeof(state), GRND_NONBLOCK) < 0)
		state = (uint64_t)(uintptr_t)&state;
	return balance_mix(state++);
}

static size_t at_random(const struct balancer *balancer, const bool *may, uint64_t total)
{
	uint64_t left = total > 1 ? random_number() % total : 0;
	size_t at = 0;

	for (size_t i = 0; i < balancer->n; i++) {
		if (!may[i])
			continue;
		at = i;
		if (left < balancer->servers[i].weight)
			break;
		left -= balancer->servers[i].weight;
	}
	return at;
}

static size_t better_of(struct balancer *balancer, size_t one, size_t other)
{
	const struct server *a = &balancer->servers[one], *b = &balancer->servers[other];

	if (balance_is_lighter(a, b))
		return one;
	if (balance_is_lighter(b, a) ||
	    balance_share(balancer, other) < balance_share(balancer, one))
		return other;
	return one;
}

size_t balance_random(struct balancer *balancer, const bool *may, uint64_t source)
{
	uint64_t total = 0;
	size_t one, other;

	(void)source;
	for (size_t i = 0; i < balancer->n; i++)
		total += may[i] ? balancer->servers[i].weight : 0;
	one = at_random(balancer, may, total);
	other = at_random(balancer, may, total);
	one = better_of(balancer, one, other);
	balance_note_share(balancer, one);
	return one;
}
