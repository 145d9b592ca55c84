/* SPDX-License-Identifier: MIT */
/*
 * Text in columns: what is left out of a name, what stands for bytes that a terminal would
 * obey, and numbers in as few columns as there are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>

#include "daemon/status/columns.h"

#define DOTS "\xe2\x80\xa6"

static void test_texts(void **state)
{
	static const struct {
		const char *text;
		size_t width;
		const char *wanted;
	} rows[] = {
		{ "", 0, "" },
		{ "", 5, "" },
		{ "web", 5, "web" },
		{ "web", 3, "web" },
		{ "/run/app.sock", 13, "/run/app.sock" },
		/* both ends are left */
		{ "/run/app.sock", 12, "/run/a" DOTS ".sock" },
		{ "/run/app.sock", 5, "/r" DOTS "ck" },
		{ "/run/app.sock", 2, "/" DOTS },
		{ "/run/app.sock", 1, "/" },
		{ "/run/app.sock", 0, "" },
		/* a column each */
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xa9", 3,
		  "\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xa9" },
		{ "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", 3, "\xc3\xa4" DOTS "\xc3\x9f" },
		/* nothing a terminal obeys */
		{ "a\033[2Jb", 9, "a?[2Jb" },
		{ "\xc2\x9b"
		  "31m\n\t\x7f",
		  9, "?31m???" },
		{ "\xff\xfe", 9, "??" },
		{ "a\xe2\x82", 9, "a??" },
		/* NOLINTNEXTLINE(misc-misleading-bidirectional): as it is meant */
		{ "x\xe2\x80\xaey", 9, "x?y" },
		{ "\xff\xff\xff\xff", 3, "?" DOTS "?" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct evbuffer *out = evbuffer_new();
		size_t columns = columns_put(out, rows[i].text, rows[i].width);

		evbuffer_add(out, "", 1);
		if (strcmp((const char *)evbuffer_pullup(out, -1), rows[i].wanted) != 0)
			fail_msg("row %zu: \"%s\"", i, evbuffer_pullup(out, -1));
		assert_int_equal(columns, columns_count(rows[i].wanted));
		evbuffer_free(out);
	}
}

static void test_counts(void **state)
{
	static const struct {
		uint64_t n;
		size_t width;
		const char *wanted;
	} rows[] = {
		{ 0, 5, "0" },
		{ 99999, 5, "99999" },
		{ 100000, 5, "100K" },
		{ 100000, 6, "100000" },
		{ 999999, 5, "999K" },
		{ 1000000, 5, "1.0M" },
		{ 12345678, 5, "12.3M" },
		{ 99999999, 5, "99.9M" },
		{ UINT64_MAX, 5, "18.4E" },
	};
	char buf[COLUMNS_NUMBER_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		columns_format_count(rows[i].n, rows[i].width, buf);
		assert_string_equal(buf, rows[i].wanted);
	}
}

static void test_bytes(void **state)
{
	static const struct {
		uint64_t n;
		const char *wanted;
	} rows[] = {
		{ 0, "0" },
		{ 1023, "1023" },
		{ 1024, "1.0K" },
		{ 1536, "1.5K" },
		{ 102399, "99.9K" },
		{ 102400, "100K" },
		{ 1048575, "1023K" },
		{ 1048576, "1.0M" },
		{ UINT64_C(5) << 30, "5.0G" },
		{ UINT64_MAX, "15.9E" },
	};
	char buf[COLUMNS_NUMBER_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		columns_format_bytes(rows[i].n, buf);
		assert_string_equal(buf, rows[i].wanted);
		assert_true(strlen(buf) <= 5);
	}
}

static void test_ages(void **state)
{
	static const struct {
		uint64_t seconds;
		const char *wanted;
	} rows[] = {
		{ 0, "0s" },
		{ 59, "59s" },
		{ 60, "1min" },
		{ 3599, "59min" },
		{ 3600, "1h 0min" },
		{ 7500, "2h 5min" },
		{ 86399, "23h 59min" },
		{ 86400, "1d 0h" },
		{ 100 * 86400 + 7200, "100d 2h" },
	};
	char buf[COLUMNS_NUMBER_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		columns_format_age(rows[i].seconds, buf);
		assert_string_equal(buf, rows[i].wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_ages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
