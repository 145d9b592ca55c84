/* SPDX-License-Identifier: MIT */
/*
 * Whatever the limit of open files is: what the plan gives to connections and to pipes,
 * and what is open already, fit into it together.
 */
#include "../descriptors.h"
#include "../large_files.h"

#include <stdbool.h>
#include <sys/resource.h>

#include "conf/conf.h"
#include "daemon/base/log.h"
#include "daemon/control/fd_limit.h"

/* An event base and a mailbox for each worker, and one of each for the main thread. */
#define DESCRIPTORS_A_LOOP 4

/*
 * What plays RLIMIT_NOFILE: one that was lowered cannot be raised again, and valgrind lets
 * nobody lower it.
 */
static struct {
	bool is_played;
	struct rlimit files;
} world;

int __real_getrlimit(int resource, struct rlimit *ret);
int __wrap_getrlimit(int resource, struct rlimit *ret);
int __wrap_getrlimit(int resource, struct rlimit *ret)
{
	assert_int_equal(resource, RLIMIT_NOFILE);
	if (!world.is_played)
		return __real_getrlimit(resource, ret);
	*ret = world.files;
	return 0;
}

int __real_setrlimit(int resource, const struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit)
{
	assert_int_equal(resource, RLIMIT_NOFILE);
	if (!world.is_played)
		return __real_setrlimit(resource, limit);
	assert_int_equal(limit->rlim_max, world.files.rlim_max);
	assert_true(limit->rlim_cur <= limit->rlim_max);
	world.files = *limit;
	return 0;
}

static struct fd_plan plan_of(unsigned long limit, unsigned int workers, uint64_t wanted)
{
	const struct process_config config = { .workers = workers, .max_connections = wanted };
	struct fd_plan plan;

	world.is_played = true;
	world.files = (struct rlimit){ .rlim_cur = limit / 2, .rlim_max = limit };
	plan = fd_limit_plan(&config, 0);
	assert_int_equal(world.files.rlim_cur, limit);
	world.is_played = false;
	return plan;
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

/* The kernel's own. */
static void test_the_limit_is_raised(void **state)
{
	const struct process_config config = { .workers = 1 };
	struct rlimit files, lower;

	(void)state;
	assert_int_equal(__real_getrlimit(RLIMIT_NOFILE, &files), 0);
	lower = (struct rlimit){ .rlim_cur = 512, .rlim_max = files.rlim_max };
	assert_true(lower.rlim_cur < lower.rlim_max);
	assert_int_equal(__real_setrlimit(RLIMIT_NOFILE, &lower), 0);
	assert_int_equal(fd_limit_plan(&config, 0).limit,
			 files.rlim_max < INT32_MAX ? files.rlim_max : INT32_MAX);
	assert_int_equal(__real_getrlimit(RLIMIT_NOFILE, &lower), 0);
	assert_int_equal(lower.rlim_cur, files.rlim_max);
	assert_int_equal(__real_setrlimit(RLIMIT_NOFILE, &files), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_all_of_it_fits),
		counted(test_what_is_configured_is_a_limit),
		counted(test_the_limit_is_raised),
	};

	log_set_level(LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
