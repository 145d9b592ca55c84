/* SPDX-License-Identifier: MIT */
/*
 * What follows from what happens to the process: each state against each event, and what a
 * second stop is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/control/life.h"

#define STATES 4

struct row {
	enum life_event event;
	struct {
		enum life_state state;
		enum life_action action;
	} from[STATES]; /* STARTING, RUNNING, DRAINING, CUTTING */
};

#define STARTING LIFE_STARTING
#define RUNNING  LIFE_RUNNING
#define DRAINING LIFE_DRAINING
#define CUTTING  LIFE_CUTTING

/* No stop was asked for before. */
static const struct row table[] = {
	{ LIFE_ACCEPTS,
	  { { RUNNING, LIFE_ANNOUNCE },
	    { RUNNING, LIFE_NOTHING },
	    { DRAINING, LIFE_NOTHING },
	    { CUTTING, LIFE_NOTHING } } },
	{ LIFE_STOP,
	  { { DRAINING, LIFE_TAKE_QUEUES },
	    { DRAINING, LIFE_TAKE_QUEUES },
	    { DRAINING, LIFE_SAY_WAITING },
	    { CUTTING, LIFE_SAY_WAITING } } },
	{ LIFE_STOP_PASSED_ON,
	  { { DRAINING, LIFE_TAKE_QUEUES },
	    { DRAINING, LIFE_TAKE_QUEUES },
	    { DRAINING, LIFE_NOTHING },
	    { CUTTING, LIFE_NOTHING } } },
	{ LIFE_REPLACED,
	  { { DRAINING, LIFE_TAKE_QUEUES },
	    { DRAINING, LIFE_TAKE_QUEUES },
	    { DRAINING, LIFE_NOTHING },
	    { CUTTING, LIFE_NOTHING } } },
	{ LIFE_ORPHANED,
	  { { DRAINING, LIFE_TAKE_QUEUES },
	    { DRAINING, LIFE_TAKE_QUEUES },
	    { DRAINING, LIFE_NOTHING },
	    { CUTTING, LIFE_NOTHING } } },
	{ LIFE_QUIET,
	  { { STARTING, LIFE_NOTHING },
	    { DRAINING, LIFE_LEAVE_QUEUES },
	    { DRAINING, LIFE_NOTHING },
	    { CUTTING, LIFE_NOTHING } } },
	{ LIFE_CUT,
	  { { CUTTING, LIFE_END_CONNECTIONS },
	    { CUTTING, LIFE_END_CONNECTIONS },
	    { CUTTING, LIFE_END_CONNECTIONS },
	    { CUTTING, LIFE_NOTHING } } },
};

static void test_each_state_meets_each_event(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		for (unsigned int from = 0; from < STATES; from++) {
			struct life life = { .state = (enum life_state)from };
			enum life_action action = life_note(&life, table[i].event, false);

			if (life.state != table[i].from[from].state ||
			    action != table[i].from[from].action)
				fail_msg("event %d in state %u: state %d, action %d",
					 table[i].event, from, life.state, action);
		}
	}
}

static void test_the_second_stop_cuts(void **state)
{
	struct life life = { .state = LIFE_RUNNING };

	(void)state;
	assert_int_equal(life_note(&life, LIFE_STOP, false), LIFE_TAKE_QUEUES);
	assert_int_equal(life_note(&life, LIFE_STOP, false), LIFE_END_CONNECTIONS);
	assert_int_equal(life_note(&life, LIFE_STOP, false), LIFE_NOTHING);
}

/* It may drain for another reason: only then does a signal count as the first one. */
static void test_the_first_stop_of_a_drain_that_is_on_does_not_cut(void **state)
{
	static const enum life_event reasons[] = { LIFE_REPLACED, LIFE_QUIET, LIFE_ORPHANED };

	(void)state;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		struct life life = { .state = LIFE_RUNNING };

		(void)life_note(&life, reasons[i], false);
		assert_int_equal(life_note(&life, LIFE_STOP, false), LIFE_SAY_WAITING);
		assert_int_equal(life_note(&life, LIFE_STOP, false), LIFE_END_CONNECTIONS);
	}
}

static void test_one_signal_to_both_processes_of_an_upgrade_is_one(void **state)
{
	struct life life = { .state = LIFE_RUNNING };

	(void)state;
	assert_int_equal(life_note(&life, LIFE_STOP_PASSED_ON, true), LIFE_TAKE_QUEUES);
	assert_int_equal(life_note(&life, LIFE_STOP, true), LIFE_SAY_WAITING);
	assert_int_equal(life_note(&life, LIFE_ORPHANED, true), LIFE_NOTHING);
	assert_int_equal(life_note(&life, LIFE_STOP, false), LIFE_SAY_WAITING);
	assert_int_equal(life_note(&life, LIFE_STOP, false), LIFE_END_CONNECTIONS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_state_meets_each_event),
		cmocka_unit_test(test_the_second_stop_cuts),
		cmocka_unit_test(test_the_first_stop_of_a_drain_that_is_on_does_not_cut),
		cmocka_unit_test(test_one_signal_to_both_processes_of_an_upgrade_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
