/* SPDX-License-Identifier: MIT */
/*
 * Deadlines on simulated time: each is over at its moment, in order, and what only moves
 * later costs no call of the loop.
 */
#include "daemon/session/timers.h"

#include <string.h>

#include "tests/unit/simulated.h"

static struct timers timers;
static char over[256];
static const char letter[DEADLINES + 1] = {
	[DEADLINE_RETRY] = 'r',      [DEADLINE_LOOK] = 'l',   [DEADLINE_HELD] = 'h',
	[DEADLINE_DELIVERY] = 'd',   [DEADLINE_HEADER] = 'p', [DEADLINE_IDLE] = 'i',
	[DEADLINE_HALF_CLOSE] = 't', [DEADLINE_LOOP] = 'o',   [DEADLINE_LIFE] = 'L',
	[DEADLINE_NONE] = '-',
};

static void fired(evutil_socket_t fd, short what, void *arg)
{
	enum deadline which = timers_expired(&timers);

	(void)fd;
	(void)what;
	assert_ptr_equal(arg, over);
	assert_true(timers_arm(&timers));
	strncat(over, &letter[which], 1);
}

static int set_up(void **state)
{
	(void)state;
	simulated_reset();
	over[0] = '\0';
	timers_init(&timers, NULL, fired, over);
	return 0;
}

static void test_each_is_over_at_its_moment(void **state)
{
	(void)state;
	assert_true(timers_set(&timers, DEADLINE_IDLE, 300));
	assert_true(timers_set(&timers, DEADLINE_LOOK, 100));
	assert_true(timers_set(&timers, DEADLINE_RETRY, 200));
	simulated_advance(99);
	assert_string_equal(over, "");
	simulated_advance(1);
	assert_string_equal(over, "l");
	assert_false(timers_is_set(&timers, DEADLINE_LOOK));
	simulated_advance(100);
	assert_string_equal(over, "lr");
	simulated_advance(100);
	assert_string_equal(over, "lri");
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
}

static void test_those_of_one_moment_are_over_one_by_one(void **state)
{
	(void)state;
	timers_set(&timers, DEADLINE_HALF_CLOSE, 50);
	timers_set(&timers, DEADLINE_IDLE, 50);
	timers_set(&timers, DEADLINE_LIFE, 51);
	simulated_advance(50);
	assert_string_equal(over, "it");
	simulated_advance(1);
	assert_string_equal(over, "itL");
}

/* As one does with every byte. */
static void test_what_moves_later_costs_no_call(void **state)
{
	unsigned int added;

	(void)state;
	timers_set(&timers, DEADLINE_IDLE, 100);
	added = simulated.n_added;
	for (int i = 0; i < 90; i++) {
		simulated_advance(1);
		assert_true(timers_set(&timers, DEADLINE_IDLE, 100));
		assert_true(timers_set(&timers, DEADLINE_LIFE, 500));
	}
	assert_int_equal(simulated.n_added, added);
	/* It fires when it was first due, finds nothing, and is set anew: once. */
	simulated_advance(50);
	assert_string_equal(over, "-");
	assert_int_equal(simulated.n_added, added + 1);
	simulated_advance(49);
	assert_string_equal(over, "-");
	simulated_advance(1);
	assert_string_equal(over, "-i");
}

static void test_what_moves_nearer_is_over_sooner(void **state)
{
	(void)state;
	timers_set(&timers, DEADLINE_IDLE, 1000);
	timers_set(&timers, DEADLINE_RETRY, 2);
	simulated_advance(2);
	assert_string_equal(over, "r");
	timers_set(&timers, DEADLINE_IDLE, 5);
	simulated_advance(5);
	assert_string_equal(over, "ri");
}

static void test_what_is_cleared_is_never_over(void **state)
{
	(void)state;
	timers_set(&timers, DEADLINE_HELD, 10);
	timers_set(&timers, DEADLINE_IDLE, 20);
	timers_clear(&timers, DEADLINE_HELD);
	simulated_advance(19);
	assert_null(strchr(over, 'h'));
	simulated_advance(1);
	assert_non_null(strchr(over, 'i'));
	timers_set(&timers, DEADLINE_IDLE, 20);
	timers_stop(&timers);
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
}

static void test_without_memory_nothing_is_lost(void **state)
{
	(void)state;
	simulated.adds_to_fail = 2;
	assert_false(timers_set(&timers, DEADLINE_IDLE, 100));
	assert_false(timers_set(&timers, DEADLINE_LIFE, 500));
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
	simulated_advance(10);
	assert_true(timers_arm(&timers));
	assert_int_equal(simulated_until_next(), 90);
	simulated_advance(490);
	assert_string_equal(over, "iL");
}

/* The loop's clock may be ahead of the coarse one. */
static void test_early_event_is_believed(void **state)
{
	(void)state;
	timers_set(&timers, DEADLINE_RETRY, 2);
	simulated.now_ms += 1;
	simulated_fire(&timers.event, EV_TIMEOUT);
	assert_string_equal(over, "r");
}

static void test_no_time_is_too_long(void **state)
{
	static const uint64_t times[] = { UINT64_MAX - 1, UINT64_MAX / 2, (uint64_t)1 << 40 };

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		assert_true(timers_set(&timers, DEADLINE_IDLE, times[i]));
		assert_in_range(simulated_until_next(), 1, (uint64_t)100 * 24 * 3600 * 1000);
		simulated_advance((uint64_t)40 * 24 * 3600 * 1000);
		assert_null(strchr(over, 'i'));
		over[0] = '\0';
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_each_is_over_at_its_moment, set_up),
		cmocka_unit_test_setup(test_those_of_one_moment_are_over_one_by_one, set_up),
		cmocka_unit_test_setup(test_what_moves_later_costs_no_call, set_up),
		cmocka_unit_test_setup(test_what_moves_nearer_is_over_sooner, set_up),
		cmocka_unit_test_setup(test_what_is_cleared_is_never_over, set_up),
		cmocka_unit_test_setup(test_without_memory_nothing_is_lost, set_up),
		cmocka_unit_test_setup(test_early_event_is_believed, set_up),
		cmocka_unit_test_setup(test_no_time_is_too_long, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
