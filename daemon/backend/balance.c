/* SPDX-License-Identifier: MIT */
/*
 * The table of policies, and what several of them share: see balance.h.
 */
#include "daemon/backend/balance.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/backend/server.h"

static unsigned int common_divisor(unsigned int a, unsigned int b)
{
	while (b != 0) {
		unsigned int rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

static unsigned int divisor_of_weights(const struct balancer *balancer)
{
	unsigned int divisor = 0;

	for (size_t i = 0; i < balancer->n; i++)
		divisor = common_divisor(balancer->servers[i].weight, divisor);
	return divisor;
}

/*
 * Turns are spread evenly: with weights 3 and 1 they are a a b a.  Each turn every server
 * gets as much credit as its weight, and the one that has most pays for all.
 */
static void spread_turns(struct balancer *balancer, int *credit, unsigned int divisor)
{
	for (unsigned int turn = 0; turn < balancer->n_turns; turn++) {
		size_t most = 0;

		for (size_t i = 0; i < balancer->n; i++) {
			credit[i] += (int)(balancer->servers[i].weight / divisor);
			if (credit[i] > credit[most])
				most = i;
		}
		credit[most] -= (int)balancer->n_turns;
		balancer->turns[turn] = (uint16_t)most;
	}
}

int balancer_init(struct balancer *balancer, struct server *servers, size_t n)
{
	unsigned int divisor;
	int *credit;

	*balancer = (struct balancer){ .servers = servers, .n = n };
	divisor = divisor_of_weights(balancer);
	if (n <= 1 || divisor == 0) /* nothing to be shared */
		return 0;
	for (size_t i = 0; i < n; i++)
		balancer->weight += servers[i].weight;
	balancer->n_turns = balancer->weight / divisor;
	balancer->turns = calloc(balancer->n_turns, sizeof(*balancer->turns));
	balancer->shares = calloc(n, sizeof(*balancer->shares));
	credit = calloc(n, sizeof(*credit));
	if (balancer->turns && credit)
		spread_turns(balancer, credit, divisor);
	free(credit);
	return balancer->turns && balancer->shares && credit ? 0 : -ENOMEM;
}

void balancer_clear(struct balancer *balancer)
{
	free(balancer->turns);
	free(balancer->shares);
}

size_t balance_choose(enum balance policy, struct balancer *balancer, const bool *may,
		      uint64_t source)
{
	static balance_pick *const policies[BALANCE_POLICIES] = {
		[BALANCE_LEAST_CONNECTIONS] = balance_least_connections,
		[BALANCE_FIRST] = balance_first,
		[BALANCE_ROUND_ROBIN] = balance_round_robin,
		[BALANCE_RANDOM] = balance_random,
		[BALANCE_SOURCE] = balance_source,
	};

	return balancer->n == 1 ? 0 : policies[policy](balancer, may, source);
}

bool balance_is_lighter(const struct server *a, const struct server *b)
{
	return ((uint64_t)server_active(a) + 1) * b->weight <=
	       (uint64_t)server_active(b) * a->weight;
}

/*
 * How many connections a server of the average weight may be behind.  Where connections are short,
 * one that was passed over has its share a moment later; one that comes back after hours is not to
 * have all clients for minutes.
 */
#define BEHIND_MAX 16

static unsigned long long most_behind(const struct balancer *balancer)
{
	return (unsigned long long)BEHIND_MAX * SHARE_UNIT * balancer->n / balancer->weight;
}

unsigned long long balance_share(struct balancer *balancer, size_t at)
{
	return atomic_load_explicit(&balancer->shares[at], memory_order_relaxed);
}

/* Of two threads at once, one may read what the other is changing: the next turns make up for it.
 */
void balance_note_share(struct balancer *balancer, size_t at)
{
	unsigned long long had = balance_share(balancer, at);
	unsigned long long last = atomic_load_explicit(&balancer->share, memory_order_relaxed);
	unsigned long long least = had + most_behind(balancer);
	unsigned long long forgiven = least < last ? last - least : 0;

	atomic_store_explicit(&balancer->share, had + forgiven, memory_order_relaxed);
	atomic_fetch_add_explicit(&balancer->shares[at],
				  forgiven + SHARE_UNIT / balancer->servers[at].weight,
				  memory_order_relaxed);
}

uint64_t balance_mix(uint64_t number)
{
	number += UINT64_C(0x9e3779b97f4a7c15);
	number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
	return number ^ number >> 31;
}
