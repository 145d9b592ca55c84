/* SPDX-License-Identifier: MIT */
/*
 * How long the last bytes are waited for, on simulated time: as long as they get on.
 */
#include "daemon/session/delivery.h"

#include "tests/unit/simulated.h"

static struct delivery delivery;

static int set_up(void **state)
{
	(void)state;
	simulated_reset();
	delivery = (struct delivery){ 0 };
	return 0;
}

/* Looks as often as it says, until it gives up.  Returns after how long; no more than @limit_ms. */
static uint64_t until_given_up(uint64_t moved, uint64_t unsent, bool in_steps, uint64_t limit_ms)
{
	uint64_t began = simulated.now_ms, pause;

	while ((pause = delivery_look(&delivery, moved, unsent, in_steps)) > 0 &&
	       simulated.now_ms - began < limit_ms)
		simulated_advance(pause);
	return simulated.now_ms - began;
}

static void test_nobody_who_rests_is_waited_for(void **state)
{
	(void)state;
	assert_int_equal(until_given_up(5, 100, false, 10000), 1000);
}

/* A shut window opens again only when much has been read. */
static void test_shut_window_gets_more_time(void **state)
{
	(void)state;
	assert_int_equal(until_given_up(5, 100, true, 10000), 3000);
}

/* It has just opened, and what follows is under way. */
static void test_window_that_opens_is_not_taken_for_a_rest(void **state)
{
	(void)state;
	for (int i = 0; i < 15; i++) {
		assert_int_not_equal(delivery_look(&delivery, 5, 100, true), 0);
		simulated_advance(100);
	}
	assert_int_equal(until_given_up(5, 100, false, 10000), 900);
}

static void test_reader_is_waited_for_as_long_as_it_takes(void **state)
{
	(void)state;
	for (uint64_t unsent = 1000; unsent > 0; unsent--) {
		assert_int_not_equal(delivery_look(&delivery, 5, unsent, false), 0);
		simulated_advance(999);
	}
	assert_int_equal(until_given_up(5, 1, false, 10000), 1);
}

static void test_bytes_that_move_count_too(void **state)
{
	(void)state;
	for (uint64_t moved = 0; moved < 100; moved++) {
		assert_int_not_equal(delivery_look(&delivery, moved, moved, false), 0);
		simulated_advance(900);
	}
}

static void test_more_in_the_queue_is_no_progress(void **state)
{
	uint64_t unsent = 100;

	(void)state;
	for (; unsent < 110; unsent++) {
		assert_int_not_equal(delivery_look(&delivery, 5, unsent, false), 0);
		simulated_advance(100);
	}
	assert_int_equal(delivery_look(&delivery, 5, unsent, false), 0);
}

static void test_looks_become_rare(void **state)
{
	unsigned int looks = 0;

	(void)state;
	for (uint64_t unsent = 1000; simulated.now_ms < 1000000 + 60000; unsent--, looks++)
		simulated_advance(delivery_look(&delivery, 5, unsent, false));
	assert_in_range(looks, 60000 / 200, 60000 / 200 + 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_nobody_who_rests_is_waited_for, set_up),
		cmocka_unit_test_setup(test_shut_window_gets_more_time, set_up),
		cmocka_unit_test_setup(test_window_that_opens_is_not_taken_for_a_rest, set_up),
		cmocka_unit_test_setup(test_reader_is_waited_for_as_long_as_it_takes, set_up),
		cmocka_unit_test_setup(test_bytes_that_move_count_too, set_up),
		cmocka_unit_test_setup(test_more_in_the_queue_is_no_progress, set_up),
		cmocka_unit_test_setup(test_looks_become_rare, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
