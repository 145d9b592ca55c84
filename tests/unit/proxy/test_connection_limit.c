/* SPDX-License-Identifier: MIT */
/*
 * Slots under contention: never more than there are, and whoever finds none is
 * told of the next one that comes back.
 */
#include "tests/unit/descriptors.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "daemon/proxy/connection_limit.h"

#define THREADS 4
#define ROUNDS  20000

static struct connection_limit slots;
static atomic_uint held, most, told, refused;

static void *hammer(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		unsigned int now;

		if (!connection_limit_take(&slots)) {
			atomic_fetch_add(&refused, 1);
			sched_yield();
			continue;
		}
		now = atomic_fetch_add(&held, 1) + 1;
		if (now > atomic_load(&most))
			atomic_store(&most, now);
		sched_yield();
		atomic_fetch_sub(&held, 1);
		if (connection_limit_give(&slots))
			atomic_fetch_add(&told, 1);
	}
	return NULL;
}

static void never_more_than_there_are(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	slots.max = 2;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_in_range(atomic_load(&most), 1, 2);
	assert_int_equal(connection_limit_used(&slots), 0);
	assert_true(atomic_load(&refused) == 0 || atomic_load(&told) > 0);
}

static void whoever_found_none_is_told(void **state)
{
	struct connection_limit one = { .max = 1 };

	(void)state;
	assert_true(connection_limit_take(&one));
	assert_false(connection_limit_give(&one)); /* nobody wanted it */
	assert_true(connection_limit_take(&one));
	assert_false(connection_limit_take(&one));
	assert_true(connection_limit_give(&one));
	assert_true(connection_limit_take(&one));
	assert_false(connection_limit_give(&one)); /* told once */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(never_more_than_there_are),
		counted(whoever_found_none_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
