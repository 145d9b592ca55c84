/* SPDX-License-Identifier: MIT */
/*
 * The three forms of a record: what a name of any bytes becomes in each of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/session/access_format.h"

static const struct access_record plain = {
	.id = "0011aabbccddeeff",
	.proxy = "web",
	.client = "192.0.2.7:4711",
	.listener = "[::1]:8443",
	.backend = "10.0.0.1:80",
	.queued_us = 12,
	.connect_us = 1000345,
	.up = 12,
	.down = UINT64_C(18446744073709551615),
	.duration_ms = 61007,
	.reason = "closed",
};

static void test_logfmt(void **state)
{
	char line[ACCESS_TEXT_SIZE];
	struct access_record record = plain;
	size_t size;

	(void)state;
	size = access_format_logfmt(&record, NULL, line);
	assert_int_equal(size, strlen(line));
	assert_string_equal(line, "id=0011aabbccddeeff proxy=web client=192.0.2.7:4711 "
				  "listener=[::1]:8443 backend=10.0.0.1:80 queue=0.000012 "
				  "connect=1.000345 up=12 down=18446744073709551615 "
				  "duration=61.007 reason=\"closed\"");
	record.queued_us = record.connect_us = ACCESS_NEVER;
	(void)access_format_logfmt(&record, "2026-11-28T12:00:00.123Z", line);
	assert_int_equal(strncmp(line, "time=2026-11-28T12:00:00.123Z id=0011", 37), 0);
	assert_non_null(strstr(line, " queue=- connect=- up=12 "));
}

static void test_json(void **state)
{
	char line[ACCESS_TEXT_SIZE];
	struct access_record record = plain;
	size_t size;

	(void)state;
	size = access_format_json(&record, NULL, line);
	assert_int_equal(size, strlen(line));
	assert_string_equal(line, "{\"id\":\"0011aabbccddeeff\",\"proxy\":\"web\","
				  "\"client\":\"192.0.2.7:4711\",\"listener\":\"[::1]:8443\","
				  "\"backend\":\"10.0.0.1:80\",\"queue\":0.000012,"
				  "\"connect\":1.000345,\"up\":12,\"down\":18446744073709551615,"
				  "\"duration\":61.007,\"reason\":\"closed\"}");
	record.queued_us = record.connect_us = ACCESS_NEVER;
	(void)access_format_json(&record, "2026-11-28T12:00:00.123Z", line);
	assert_int_equal(strncmp(line, "{\"time\":\"2026-11-28T12:00:00.123Z\",\"id\":", 40), 0);
	assert_non_null(strstr(line, "\"queue\":null,\"connect\":null,"));
}

/* Of a value: what it is in logfmt, and between quotes in JSON. */
static const struct {
	const char *value, *logfmt, *json;
} values[] = {
	{ "/run/app.sock", "/run/app.sock", "/run/app.sock" },
	{ "-", "-", "-" },
	{ "", "\"\"", "" },
	{ "a b", "\"a b\"", "a b" },
	{ "a=b", "\"a=b\"", "a=b" },
	{ "a\"b", "\"a\\\"b\"", "a\\\"b" },
	{ "unix(pid=1,uid=0,gid=0)", "\"unix(pid=1,uid=0,gid=0)\"", "unix(pid=1,uid=0,gid=0)" },
	{ "a\\b", "a\\b", "a\\\\b" },
	{ "a\\ b", "\"a\\\\ b\"", "a\\\\ b" },
	{ "\n\r\t", "\"\\n\\r\\t\"", "\\n\\r\\t" },
	{ "\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"", "\\u0001\\u001f\\u007f" },
	{ "\xc3\xa9", "\xc3\xa9", "\xc3\xa9" },
	{ "\xf0\x9f\x92\xa9", "\xf0\x9f\x92\xa9", "\xf0\x9f\x92\xa9" },
	{ "\xff", "\"\\\\xff\"", "\\\\xff" },
	{ "\xc3(", "\"\\\\xc3(\"", "\\\\xc3(" },
	{ "a\xed\xa0\x80", "\"a\\\\xed\\\\xa0\\\\x80\"", "a\\\\xed\\\\xa0\\\\x80" },
};

static void test_values(void **state)
{
	char line[ACCESS_TEXT_SIZE], expected[256];
	struct access_record record = plain;

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		record.client = values[i].value;
		(void)access_format_logfmt(&record, NULL, line);
		snprintf(expected, sizeof(expected), " client=%s listener=", values[i].logfmt);
		if (!strstr(line, expected))
			fail_msg("row %zu: %s", i, line);
		(void)access_format_json(&record, NULL, line);
		snprintf(expected, sizeof(expected),
			 ",\"client\":\"%s\",\"listener\":", values[i].json);
		if (!strstr(line, expected))
			fail_msg("row %zu: %s", i, line);
	}
}

static void expect_whole(const struct access_record *record)
{
	char text[ACCESS_TEXT_SIZE];
	size_t size = access_format_logfmt(record, NULL, text);

	assert_non_null(strstr(text, " duration=18446744073709551.615 reason=\""));
	assert_string_equal(text + size - 1, "\"");
	size = access_format_json(record, "2026-11-28T12:00:00.123Z", text);
	assert_non_null(strstr(text, ",\"duration\":18446744073709551.615,\"reason\":\""));
	assert_string_equal(text + size - 2, "\"}");
	size = access_format_journal(record, text);
	assert_non_null(memmem(text, size, "\nSOCKFRONT_DURATION=18446744073709551.615\n", 42));
	assert_string_equal(text + size - 1, "\n");
}

/* However long the names are, a line is whole; they are cut off. */
static void test_the_longest_values(void **state)
{
	static const char *const fillings[] = { "x", "\x01", "\xff", "\xc3\xa9", "\\ ", "\n" };
	char value[2000];

	(void)state;
	for (size_t i = 0; i < sizeof(fillings) / sizeof(fillings[0]); i++) {
		value[0] = '\0';
		while (strlen(value) + 3 < sizeof(value))
			strcat(value, fillings[i]);
		expect_whole(&(struct access_record){
			.id = value,
			.proxy = value,
			.client = value,
			.listener = value,
			.backend = value,
			.queued_us = UINT64_MAX - 1,
			.connect_us = UINT64_MAX - 1,
			.up = UINT64_MAX,
			.down = UINT64_MAX,
			.duration_ms = UINT64_MAX,
			.reason = value,
		});
	}
}

/* ---- the journal ---- */

static void test_journal(void **state)
{
	char text[ACCESS_TEXT_SIZE];
	const char *fields;
	size_t size;

	(void)state;
	size = access_format_journal(&plain, text);
	assert_int_equal(size, strlen(text));
	assert_int_equal(strncmp(text, "MESSAGE=id=0011aabbccddeeff proxy=web ", 38), 0);
	fields = strchr(text, '\n');
	assert_string_equal(fields, "\nPRIORITY=6\nSYSLOG_IDENTIFIER=sockfront\n"
				    "SOCKFRONT_ID=0011aabbccddeeff\nSOCKFRONT_PROXY=web\n"
				    "SOCKFRONT_CLIENT=192.0.2.7:4711\n"
				    "SOCKFRONT_LISTENER=[::1]:8443\nSOCKFRONT_BACKEND=10.0.0.1:80\n"
				    "SOCKFRONT_QUEUE=0.000012\nSOCKFRONT_CONNECT=1.000345\n"
				    "SOCKFRONT_UP=12\nSOCKFRONT_DOWN=18446744073709551615\n"
				    "SOCKFRONT_DURATION=61.007\nSOCKFRONT_REASON=closed\n");
}

/* Any bytes but a newline stand as they are; a value with one has its length in front. */
static void test_journal_values(void **state)
{
	static const char framed[] = "\nSOCKFRONT_CLIENT\n\x07\0\0\0\0\0\0\0a\nB=c\nd\n";
	struct access_record record = plain;
	char text[ACCESS_TEXT_SIZE];
	size_t size;

	(void)state;
	record.client = "a\nB=c\nd";
	record.listener = "\xff\x01=\"";
	record.queued_us = record.connect_us = ACCESS_NEVER;
	size = access_format_journal(&record, text);
	assert_non_null(memmem(text, size, framed, sizeof(framed) - 1));
	assert_non_null(memmem(text, size, "\nSOCKFRONT_LISTENER=\xff\x01=\"\n", 25));
	assert_null(memmem(text, size, "SOCKFRONT_QUEUE", 15));
	assert_null(memmem(text, size, "SOCKFRONT_CONNECT", 17));
	assert_non_null(memmem(text, size, " client=\"a\\nB=c\\nd\" ", 20));
}

static void test_time(void **state)
{
	char text[ACCESS_TIME_SIZE];
	int year, month, day, hour, minute, second, ms, end = 0;

	(void)state;
	access_format_time(text);
	assert_int_equal(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour,
				&minute, &second, &ms, &end),
			 7);
	assert_int_equal(end, 24);
	assert_int_equal(strlen(text), 24);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logfmt),  cmocka_unit_test(test_json),
		cmocka_unit_test(test_values),  cmocka_unit_test(test_the_longest_values),
		cmocka_unit_test(test_journal), cmocka_unit_test(test_journal_values),
		cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
