/* SPDX-License-Identifier: MIT */
/*
 * One operation at a time, and what waits meanwhile: sequences of what is asked for, and the
 * order in which it is done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/control/operation.h"

/*
 * @asked: r reload, u upgrade, t take over; small: the process runs, capital: it does not;
 *         . the current one ends
 * @seen:  for each of those: b begins, w waits, - repeated; at an end: what begins then
 *         (r, u), or 0
 */
struct row {
	const char *asked, *seen;
};

static const struct row table[] = {
	{ "r.", "b0" },
	{ "rr.r.", "bwrwr" }, /* one that is under way may have read the old file */
	{ "rrr..", "bw-r0" }, /* however often it is asked for */
	{ "uu.", "b-0" },     /* a program is not read while it starts */
	{ "ur..", "bwr0" },
	{ "ru..", "bwu0" },
	{ "rru...", "bwwur0" }, /* a reload waits for the upgrade */
	{ "tru...", "bwwur0" },
	{ "Rt..", "wbr0" }, /* asked for before the process runs: nothing begins by itself */
	{ "RrU.", "wbwu" },
};

static char letter_of(enum operation operation)
{
	static const char letters[] = "0rut";

	return letters[operation];
}

static enum operation operation_of(char letter)
{
	return letter == 'r' || letter == 'R'   ? OPERATION_RELOAD
	       : letter == 'u' || letter == 'U' ? OPERATION_UPGRADE
						: OPERATION_TAKE_OVER;
}

static char step(struct operation_queue *queue, char asked)
{
	static const char answers[] = { 'b', 'w', '-' };

	if (asked == '.')
		return letter_of(operation_ended(queue));
	return answers[operation_ask(queue, operation_of(asked), asked >= 'a')];
}

static void test_sequences(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct operation_queue queue = { .current = OPERATION_NONE };
		char seen[16] = "";

		for (size_t j = 0; table[i].asked[j]; j++)
			seen[j] = step(&queue, table[i].asked[j]);
		if (strcmp(seen, table[i].seen) != 0)
			fail_msg("%s: %s, not %s", table[i].asked, seen, table[i].seen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sequences) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
