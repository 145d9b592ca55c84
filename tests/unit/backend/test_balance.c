/* SPDX-License-Identifier: MIT */
/*
 * Which server a client gets: the shares of each policy, and what happens when a server
 * leaves or has more to do.
 */
#include "tests/unit/descriptors.h"

#include <stdbool.h>
#include <stdlib.h>

#include "daemon/backend/balance.h"
#include "daemon/backend/server.h"

#define N_SERVERS 4
#define N_CLIENTS 10000

static struct server servers[N_SERVERS];
static struct server_state states[N_SERVERS];
static struct balancer balancer;
static bool may[N_SERVERS];
static unsigned int shares[N_SERVERS];

static void begin_with(const unsigned int *weights, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		servers[i].weight = weights[i];
		servers[i].key = server_hash(&"abcd"[i], 1);
		servers[i].state = &states[i];
		atomic_store(&states[i].active, 0);
		may[i] = true;
	}
	balancer_clear(&balancer);
	assert_int_equal(balancer_init(&balancer, servers, n), 0);
}

static size_t choose(enum balance policy, uint64_t source)
{
	size_t at = balance_choose(policy, &balancer, may, source);

	assert_in_range(at, 0, balancer.n - 1);
	assert_true(may[at]);
	return at;
}

/* The shares of clients that come and go at once. */
static void share(enum balance policy)
{
	memset(shares, 0, sizeof(shares));
	for (unsigned int i = 0; i < N_CLIENTS; i++)
		shares[choose(policy, i)]++;
}

static void assert_share(size_t at, unsigned int weight, unsigned int total)
{
	double wanted = (double)N_CLIENTS * weight / total;

	if (shares[at] < 0.97 * wanted || shares[at] > 1.03 * wanted)
		fail_msg("server %zu has %u instead of %.0f", at, shares[at], wanted);
}

static void test_shares_are_as_the_weights(void **state)
{
	static const enum balance policies[] = { BALANCE_LEAST_CONNECTIONS, BALANCE_ROUND_ROBIN };
	static const unsigned int weights[] = { 1, 2, 3, 10 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		begin_with(weights, 4);
		share(policies[i]);
		for (size_t j = 0; j < 4; j++)
			assert_share(j, weights[j], 16);
		may[3] = false; /* what it had, the others share */
		share(policies[i]);
		for (size_t j = 0; j < 3; j++)
			assert_share(j, weights[j], 6);
	}
}

/* Of clients that stay for a moment, as many at once as there are clients. */
static void share_among(enum balance policy, size_t n_clients)
{
	size_t at[16];

	memset(shares, 0, sizeof(shares));
	for (unsigned int i = 0; i < N_CLIENTS; i++) {
		size_t client = i < n_clients ? i : (size_t)(balance_mix(i) % n_clients);

		if (i >= n_clients)
			atomic_fetch_sub(&states[at[client]].active, 1);
		at[client] = choose(policy, i);
		atomic_fetch_add(&states[at[client]].active, 1);
		shares[at[client]]++;
	}
}

/* Within 3 % of all, whatever the load is at that moment. */
static void test_shares_of_short_connections(void **state)
{
	static const enum balance policies[] = { BALANCE_LEAST_CONNECTIONS, BALANCE_RANDOM };
	static const unsigned int weights[][3] = { { 1, 1, 1 }, { 1, 2, 3 }, { 1, 2, 5 } };

	(void)state;
	for (size_t i = 0; i < 2 * 3 * 16; i++) {
		const unsigned int *weight = weights[i / 2 % 3];

		begin_with(weight, 3);
		share_among(policies[i % 2], 1 + i / 6);
		for (size_t j = 0; j < 3; j++) {
			double wanted = (double)weight[j] / (weight[0] + weight[1] + weight[2]);
			double share = (double)shares[j] / N_CLIENTS;

			if (share < wanted - 0.03 || share > wanted + 0.03)
				fail_msg("%zu clients, weight %u: %.3f instead of %.3f", 1 + i / 6,
					 weight[j], share, wanted);
		}
	}
}

/* One that was full or slow for long has its share again, and not what it has missed. */
static void test_nobody_makes_up_for_hours(void **state)
{
	static const unsigned int weights[] = { 1, 1 };

	(void)state;
	begin_with(weights, 2);
	may[0] = false;
	share(BALANCE_LEAST_CONNECTIONS);
	may[0] = true;
	memset(shares, 0, sizeof(shares));
	for (unsigned int i = 0; i < 100; i++)
		shares[choose(BALANCE_LEAST_CONNECTIONS, i)]++;
	assert_in_range(shares[0], 50, 60);
}

/* These are drawn by lot: four times what 3 % are for the lightest, at its worst. */
static void test_shares_by_lot(void **state)
{
	static const enum balance policies[] = { BALANCE_RANDOM, BALANCE_SOURCE };
	static const unsigned int weights[] = { 4, 5, 6 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		begin_with(weights, 3);
		share(policies[i]);
		for (size_t j = 0; j < 3; j++) {
			double wanted = (double)N_CLIENTS * weights[j] / 15;

			assert_true(shares[j] > 0.9 * wanted && shares[j] < 1.1 * wanted);
		}
	}
}

static void test_round_robin_takes_turns(void **state)
{
	static const unsigned int equal[] = { 7, 7, 7 }, unequal[] = { 3, 1 };

	(void)state;
	begin_with(equal, 3);
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(choose(BALANCE_ROUND_ROBIN, 0), i % 3);
	begin_with(unequal, 2);
	for (size_t i = 0; i < 8; i++) /* a a b a, not a a a b */
		assert_int_equal(choose(BALANCE_ROUND_ROBIN, 0), i % 4 == 2);
}

static void test_first_is_first(void **state)
{
	static const unsigned int equal[] = { 1, 1, 1 }, unequal[] = { 1, 2, 2 };

	(void)state;
	begin_with(equal, 3);
	assert_int_equal(choose(BALANCE_FIRST, 0), 0);
	assert_int_equal(choose(BALANCE_FIRST, 0), 0);
	may[0] = false;
	assert_int_equal(choose(BALANCE_FIRST, 0), 1);
	begin_with(unequal, 3);
	assert_int_equal(choose(BALANCE_FIRST, 0), 1);
	may[1] = false;
	assert_int_equal(choose(BALANCE_FIRST, 0), 2);
	may[2] = false;
	assert_int_equal(choose(BALANCE_FIRST, 0), 0);
}

/* As many for its weight as the others have. */
static void test_least_connections(void **state)
{
	static const unsigned int weights[] = { 1, 2, 5 };

	(void)state;
	begin_with(weights, 3);
	for (unsigned int i = 0; i < 8 * 100; i++)
		atomic_fetch_add(&states[choose(BALANCE_LEAST_CONNECTIONS, 0)].active, 1);
	assert_in_range(atomic_load(&states[0].active), 99, 101);
	assert_in_range(atomic_load(&states[1].active), 199, 201);
	assert_in_range(atomic_load(&states[2].active), 499, 501);
	/* one that is slow, and keeps its clients */
	atomic_store(&states[2].active, 600);
	for (unsigned int i = 0; i < 30; i++)
		atomic_fetch_add(&states[choose(BALANCE_LEAST_CONNECTIONS, 0)].active, 1);
	assert_int_equal(atomic_load(&states[2].active), 600);
}

/* Of two, the one that has less to do. */
static void test_random_avoids_who_is_busy(void **state)
{
	static const unsigned int weights[] = { 1, 1, 1, 1 };

	(void)state;
	begin_with(weights, 4);
	atomic_store(&states[2].active, 10);
	share(BALANCE_RANDOM);
	/* only if both are this one: a sixteenth */
	assert_in_range(shares[2], N_CLIENTS * 7 / 160, N_CLIENTS * 13 / 160);
}

static void test_source_moves_no_others(void **state)
{
	static const unsigned int weights[] = { 1, 2, 1, 3 };
	static size_t before[N_CLIENTS];
	unsigned int moved = 0;

	(void)state;
	begin_with(weights, 4);
	for (unsigned int i = 0; i < N_CLIENTS; i++) {
		before[i] = choose(BALANCE_SOURCE, i);
		assert_int_equal(choose(BALANCE_SOURCE, i), before[i]);
	}
	may[1] = false;
	for (unsigned int i = 0; i < N_CLIENTS; i++) {
		size_t now = choose(BALANCE_SOURCE, i);

		assert_true(before[i] == 1 || now == before[i]);
		moved += now != before[i];
	}
	assert_in_range(moved, N_CLIENTS * 18 / 70, N_CLIENTS * 22 / 70);
	may[1] = true;
	for (unsigned int i = 0; i < N_CLIENTS; i++)
		assert_int_equal(choose(BALANCE_SOURCE, i), before[i]);
}

static int end(void **state)
{
	(void)state;
	balancer_clear(&balancer);
	balancer = (struct balancer){ .n = 0 };
	return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_shares_are_as_the_weights),   TEST(test_shares_by_lot),
		TEST(test_shares_of_short_connections), TEST(test_nobody_makes_up_for_hours),
		TEST(test_round_robin_takes_turns),     TEST(test_first_is_first),
		TEST(test_least_connections),           TEST(test_random_avoids_who_is_busy),
		TEST(test_source_moves_no_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
