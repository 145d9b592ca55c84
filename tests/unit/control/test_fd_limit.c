/* SPDX-License-Identifier: MIT */
/*
 * Whatever the limit of open files is: what the plan gives to connections and to pipes,
 * and what is open already, fit into it together.
 */
#include "../descriptors.h"

#include <stdbool.h>
#include <sys/resource.h>

#include "conf/conf.h"
#include "daemon/base/log.h"
#include "daemon/control/fd_limit.h"

/* An event base and a mailbox for each worker, and one of each for the main thread. */
#define DESCRIPTORS_A_LOOP 4

static struct fd_plan plan_of(unsigned long limit, unsigned int workers, uint64_t wanted)
{
	const struct rlimit files = { .rlim_cur = limit, .rlim_max = limit };
	const struct process_config config = { .workers = workers, .max_connections = wanted };

	assert_int_equal(prlimit(0, RLIMIT_NOFILE, &files, NULL), 0);
	return fd_limit_plan(&config);
}

static void check_plan(unsigned long limit, unsigned int workers)
{
	struct fd_plan plan = plan_of(limit, workers, 0);
	unsigned long connections = 2UL * plan.max_connections;
	unsigned long pipes = 2UL * plan.pipes_a_worker * workers;
	unsigned long others = DESCRIPTORS_A_LOOP * (1UL + workers);

	assert_int_equal(plan.limit, limit);
	if (connections + pipes + others + (unsigned long)count_descriptors() > limit)
		fail_msg("%lu descriptors, %u workers: %lu for connections and %lu for pipes",
			 limit, workers, connections, pipes);
	assert_true(connections > 0);
	if (workers == 1 && limit >= 1024) /* most of it is theirs */
		assert_true(connections > limit * 4 / 5);
}

static void test_all_of_it_fits(void **state)
{
	static const unsigned int workers[] = { 1, 2, 7, 64 };

	(void)state;
	for (unsigned long limit = 4096; limit >= 512; limit -= 7)
		for (size_t i = 0; i < sizeof(workers) / sizeof(workers[0]); i++)
			check_plan(limit, workers[i]);
}

static void test_what_is_configured_is_a_limit(void **state)
{
	struct process_config config = { .workers = 1 };

	(void)state;
	assert_int_equal(plan_of(512, 1, 100).max_connections, 100);
	assert_true(plan_of(512, 1, 100000).max_connections < 256);
	config.max_connections = 7; /* of a reload */
	assert_int_equal(fd_limit_max_connections(&config), 7);
}

int main(void)
{
	/* The limit only goes down. */
	const struct CMUnitTest tests[] = {
		counted(test_all_of_it_fits),
		counted(test_what_is_configured_is_a_limit),
	};

	log_set_level(LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
