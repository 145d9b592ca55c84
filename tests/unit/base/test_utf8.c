/* SPDX-License-Identifier: MIT */
/*
 * What is a character of UTF-8, and what is not: every form that RFC 3629 forbids.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/base/utf8.h"

static const struct {
	const char *text;
	size_t length;
} rows[] = {
	{ "", 0 },
	{ "a", 1 },
	{ "\x7f", 1 },
	{ "\xc2\x80", 2 },
	{ "\xdf\xbfx", 2 },
	{ "\xe0\xa0\x80", 3 },
	{ "\xed\x9f\xbf", 3 },
	{ "\xee\x80\x80", 3 },
	{ "\xef\xbf\xbf", 3 },
	{ "\xf0\x90\x80\x80", 4 },
	{ "\xf4\x8f\xbf\xbf", 4 },
	/* a byte that none begins with */
	{ "\x80", 0 },
	{ "\xbf", 0 },
	{ "\xfe", 0 },
	{ "\xff", 0 },
	/* cut off, or gone on with something else */
	{ "\xc3", 0 },
	{ "\xe2\x82", 0 },
	{ "\xe2\x82x", 0 },
	{ "\xf0\x9f\x92", 0 },
	{ "\xc3\xc3", 0 },
	/* longer than need be */
	{ "\xc0\x80", 0 },
	{ "\xc1\xbf", 0 },
	{ "\xe0\x9f\xbf", 0 },
	{ "\xf0\x8f\xbf\xbf", 0 },
	/* halves of pairs, and past the end */
	{ "\xed\xa0\x80", 0 },
	{ "\xed\xbf\xbf", 0 },
	{ "\xf4\x90\x80\x80", 0 },
	{ "\xf5\x80\x80\x80", 0 },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (utf8_length(rows[i].text) != rows[i].length)
			fail_msg("row %zu: %zu, not %zu", i, utf8_length(rows[i].text),
				 rows[i].length);
}

static void test_harmless(void **state)
{
	static const char *const harmless[] = {
		" ", "~", "\xc2\xa0", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x92\xa9"
	};
	static const char *const harmful[] = {
		"",
		"\033",
		"\n",
		"\x1f",
		"\x7f",
		"\xc2\x80",
		"\xc2\x9b",
		"\xc2\x9f",
		"\xe2\x80\x8b",
		"\xe2\x80\x8f",
		"\xe2\x80\xa8",
		"\xe2\x80\xae", /* NOLINT(misc-misleading-bidirectional): as it is meant */
		"\xd8\x9c",
		"\xe2\x81\xa6", /* NOLINT(misc-misleading-bidirectional): as it is meant */
		"\xef\xbb\xbf",
		"\xff",
		"\xc3",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (!utf8_is_harmless(harmless[i]))
			fail_msg("harmless %zu is not", i);
	for (size_t i = 0; i < sizeof(harmful) / sizeof(harmful[0]); i++)
		if (utf8_is_harmless(harmful[i]))
			fail_msg("harmful %zu is not", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
