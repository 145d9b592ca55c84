/* SPDX-License-Identifier: MIT */
/*
 * Whether a server is up: each state and each event.
 */
#include "tests/unit/states.h"

#include "daemon/backend/health.h"

enum { FAILS, FAILS_AGAIN, FAILS_A_THIRD_TIME, RESETS_THREE_TIMES, IS_SILENT, ANSWERS, SERVES };

static const char *const state_names[] = { "UP", "SUSPECT", "DOWN" };
static const char *const event_names[] = {
	"fails",   "fails again", "fails a third time", "resets three times", "is silent",
	"answers", "serves",
};

static struct health health;

static void note(bool changed)
{
	if (changed)
		note_done("changed");
}

static void fail_times(int times)
{
	while (times-- > 0)
		note(health_note_failure(&health));
}

static void happen(int event)
{
	switch (event) {
	case FAILS:
	case FAILS_AGAIN:
	case FAILS_A_THIRD_TIME:
		fail_times(event - FAILS + 1);
		break;
	case RESETS_THREE_TIMES:
		for (int i = 0; i < 3; i++)
			note(health_note_reset(&health));
		break;
	case IS_SILENT:
		note(health_note_silence(&health));
		break;
	case ANSWERS:
		note(health_note_answer(&health));
		break;
	case SERVES:
		health_note_service(&health);
		break;
	}
}

static void reach(int state)
{
	health_clear(&health);
	health_init(&health, false);
	if (state == HEALTH_SUSPECT)
		(void)health_note_silence(&health);
	if (state == HEALTH_DOWN)
		fail_times(3);
}

static int state_now(void)
{
	return (int)health_state(&health);
}

static void test_states(void **state)
{
	static const struct states_row rows[] = {
		{ HEALTH_UP, FAILS_A_THIRD_TIME, HEALTH_DOWN, "changed" },
		{ HEALTH_UP, RESETS_THREE_TIMES, HEALTH_DOWN, "changed" },
		{ HEALTH_UP, IS_SILENT, HEALTH_SUSPECT, "changed" },
		{ HEALTH_SUSPECT, FAILS_A_THIRD_TIME, HEALTH_DOWN, "changed" },
		{ HEALTH_SUSPECT, RESETS_THREE_TIMES, HEALTH_DOWN, "changed" },
		{ HEALTH_SUSPECT, ANSWERS, HEALTH_UP, "changed" },
		{ HEALTH_DOWN, ANSWERS, HEALTH_UP, "changed" },
	};
	const struct states states = {
		.rows = rows,
		.n_rows = sizeof(rows) / sizeof(rows[0]),
		.state_names = state_names,
		.event_names = event_names,
		.n_states = 3,
		.n_events = SERVES + 1,
		.reach = reach,
		.happen = happen,
		.state = state_now,
	};

	(void)state;
	health_init(&health, false);
	states_check_all(&states);
	health_clear(&health);
}

/* Three in a row. */
static void test_answers_between(void **state)
{
	(void)state;
	health_init(&health, false);
	for (int i = 0; i < 10; i++) {
		assert_false(health_note_failure(&health));
		assert_false(health_note_failure(&health));
		assert_false(health_note_answer(&health));
	}
	assert_true(health_is_up(&health));
	health_clear(&health);
}

/* One that accepts and resets has answered each time; what serves has not. */
static void test_resets_are_counted_by_themselves(void **state)
{
	(void)state;
	health_init(&health, false);
	for (int i = 0; i < 10; i++) {
		assert_false(health_note_reset(&health));
		assert_false(health_note_reset(&health));
		assert_false(health_note_answer(&health));
		health_note_service(&health);
	}
	assert_false(health_note_reset(&health));
	assert_false(health_note_answer(&health));
	assert_false(health_note_reset(&health));
	assert_false(health_note_answer(&health));
	assert_true(health_note_reset(&health));
	assert_true(health_note_answer(&health));
	assert_false(health_note_reset(&health)); /* it begins anew */
	health_clear(&health);
}

/* Where checks alone are trusted: one failure is enough, and nobody but they bring it back. */
static void test_checks(void **state)
{
	(void)state;
	health_init(&health, true);
	assert_false(health_note_answer(&health));
	assert_false(health_note_passed_check(&health, 2));
	assert_false(health_note_failed_check(&health, 3));
	assert_false(health_note_passed_check(&health, 2)); /* in a row */
	assert_int_equal(health_state(&health), HEALTH_UNKNOWN);
	assert_true(health_note_passed_check(&health, 2));
	assert_true(health_is_up(&health));

	assert_true(health_note_reset(&health));
	assert_int_equal(health_state(&health), HEALTH_SUSPECT);
	assert_false(health_note_answer(&health));
	assert_true(health_note_passed_check(&health, 1));
	assert_true(health_note_failure(&health));
	assert_false(health_note_failed_check(&health, 2));
	assert_true(health_note_failed_check(&health, 2));
	assert_int_equal(health_state(&health), HEALTH_DOWN);
	assert_false(health_note_failed_check(&health, 2));

	/* in a row, these too */
	assert_true(health_note_passed_check(&health, 1));
	for (int i = 0; i < 5; i++) {
		assert_false(health_note_failed_check(&health, 2));
		assert_false(health_note_passed_check(&health, 1));
	}
	assert_true(health_is_up(&health));
	health_clear(&health);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_answers_between),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_resets_are_counted_by_themselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
