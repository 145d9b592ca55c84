/* SPDX-License-Identifier: MIT */
/*
 * Values behind options: lib/value.c.
 */
#include "descriptors.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <sockfront/value.h>

static void test_switch(void **state)
{
	static const char *const yes[] = { "yes", "YES", "true", "On", "1", " yes\n" };
	static const char *const no[] = { "no", "No", "false", "OFF", "0", "\tno " };
	static const char *const neither[] = { "", " ", "y", "2", "yesno", "yes no", "\xff", "-1" };
	struct sfront_error err;
	bool on;

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		on = false;
		assert_int_equal(sfront_parse_switch(yes[i], &on, &err), 0);
		assert_true(on);
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		on = true;
		assert_int_equal(sfront_parse_switch(no[i], &on, &err), 0);
		assert_false(on);
	}
	for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++) {
		on = true;
		assert_int_equal(sfront_parse_switch(neither[i], &on, &err), -EINVAL);
		assert_true(on);
		assert_contains(err.message, "yes nor no");
	}
}

struct number_case {
	const char *text;
	int error;
	uint64_t value;
};

/* Runs a table; a failing parser must leave its result alone. */
static void run_cases(int (*parse)(const char *, uint64_t *, struct sfront_error *),
		      const struct number_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct sfront_error err = { "" };
		uint64_t value = 4711;
		int r = parse(cases[i].text, &value, &err);

		if (r != cases[i].error || value != (r < 0 ? 4711 : cases[i].value))
			fail_msg("\"%s\" gives %d, %llu: %s", cases[i].text, r,
				 (unsigned long long)value, err.message);
		assert_int_equal(r < 0, err.message[0] != '\0');
		assert_int_equal(parse(cases[i].text, &value, NULL), r);
	}
}

static void test_size(void **state)
{
	static const struct number_case cases[] = {
		{ "0", 0, 0 },
		{ "65536", 0, 65536 },
		{ "64K", 0, 65536 },
		{ "64k", 0, 65536 },
		{ " 1M ", 0, 1 << 20 },
		{ "2G", 0, 2ull << 30 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "17179869183G", 0, 17179869183ull << 30 },
		{ "17179869184G", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "99999999999999999999999999K", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "1KB", -EINVAL, 0 },
		{ "1.5M", -EINVAL, 0 },
		{ "1 K", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1T", -EINVAL, 0 },
	};

	(void)state;
	run_cases(sfront_parse_size, cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_duration(void **state)
{
	static const struct number_case cases[] = {
		{ "0", 0, 0 },
		{ "30", 0, 30000 },
		{ "30s", 0, 30000 },
		{ "250ms", 0, 250 },
		{ "5min 20s", 0, 320000 },
		{ "5min20s", 0, 320000 },
		{ "5 min", 0, 300000 },
		{ " 1h  1m ", 0, 3660000 },
		{ "1.5h", 0, 5400000 },
		{ ".5s", 0, 500 },
		{ "5.s", 0, 5000 },
		{ "1us", 0, 1 },
		{ "1ns", 0, 1 },
		{ "1500us", 0, 2 },
		{ "1000us 1000us", 0, 2 },
		{ "0.0000000000000000000001s", 0, 1 },
		{ "2 days", 0, 172800000 },
		{ "1w", 0, 604800000 },
		{ "1M", 0, 2629800000ull },
		{ "1y", 0, 31557600000ull },
		{ "2hr 3seconds", 0, 7203000 },
		{ "3\xc2\xb5s", 0, 1 },
		{ "infinity", 0, SFRONT_INFINITY_MS },
		{ " INFINITY ", 0, SFRONT_INFINITY_MS },
		{ "18446744073709551614ms", 0, SFRONT_INFINITY_MS - 1 },
		{ "18446744073709551615ms", -ERANGE, 0 },
		{ "18446744073709551615y", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "500000000y 500000000y", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "  ", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ ".", -EINVAL, 0 },
		{ "1.2.3s", -EINVAL, 0 },
		{ "5 lightyears", -EINVAL, 0 },
		{ "1h infinity", -EINVAL, 0 },
		{ "10S", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "\xff", -EINVAL, 0 },
	};

	(void)state;
	run_cases(sfront_parse_duration, cases, sizeof(cases) / sizeof(cases[0]));
}

static int parse_2_to_9(const char *text, uint64_t *ret, struct sfront_error *err)
{
	return sfront_parse_count(text, 2, 9, ret, err);
}

static void test_count(void **state)
{
	static const struct number_case cases[] = {
		{ "2", 0, 2 },
		{ "9", 0, 9 },
		{ " 5 ", 0, 5 },
		{ "0007", 0, 7 },
		{ "1", -ERANGE, 0 },
		{ "10", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "-3", -EINVAL, 0 },
		{ "+3", -EINVAL, 0 },
		{ "3x", -EINVAL, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
	};

	(void)state;
	run_cases(parse_2_to_9, cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_keepalive(void **state)
{
	static const struct {
		const char *text;
		int error;
		struct sfront_keepalive value;
	} cases[] = {
		{ "", 0, { .on = true } },
		{ " ", 0, { .on = true } },
		{ "yes", 0, { .on = true } },
		{ "::", 0, { .on = true } },
		{ ":", 0, { .on = true } },
		{ "no", 0, { .on = false } },
		{ "off", 0, { .on = false } },
		{ "60000", 0, { true, 60, 0, 0 } },
		{ "60000:5:10000", 0, { true, 60, 5, 10 } },
		{ "60000::10000", 0, { true, 60, 0, 10 } },
		{ ":5", 0, { true, 0, 5, 0 } },
		{ "::1500", 0, { true, 0, 0, 2 } },
		{ "1:1:1", 0, { true, 1, 1, 1 } },
		{ "1001", 0, { true, 2, 0, 0 } },
		{ "32767000:127:32767000", 0, { true, 32767, 127, 32767 } },
		{ "32767001", -ERANGE, { 0 } },
		{ "::32767001", -ERANGE, { 0 } },
		{ ":128", -ERANGE, { 0 } },
		{ ":0", -ERANGE, { 0 } },
		{ "0:1:1", -ERANGE, { 0 } },
		{ "::0", -ERANGE, { 0 } },
		{ "18446744073709551616", -ERANGE, { 0 } },
		{ "1:2:3:4", -EINVAL, { 0 } },
		{ "60s", 0, { true, 60, 0, 0 } },
		{ "60s:3:5s", 0, { true, 60, 3, 5 } },
		{ "1min 30s::250ms", 0, { true, 90, 0, 1 } },
		{ "60000 : 3 : 5000", 0, { true, 60, 3, 5 } },
		{ " 60 s :\t3: 5 s ", 0, { true, 60, 3, 5 } },
		{ " : : ", 0, { true, 0, 0, 0 } },
		{ "32767s", 0, { true, 32767, 0, 0 } },
		{ "32768s", -ERANGE, { 0 } },
		{ "32767001ms", -ERANGE, { 0 } },
		{ "infinity", -ERANGE, { 0 } },
		{ "0s", -ERANGE, { 0 } },
		{ "60s:3s", -EINVAL, { 0 } },
		{ "60x", -EINVAL, { 0 } },
		{ "-1", -EINVAL, { 0 } },
		{ "maybe", -EINVAL, { 0 } },
		{ "1:2 3:4", -EINVAL, { 0 } },
		{ "1 2", -EINVAL, { 0 } },
		{ "1min 30", -EINVAL, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sfront_keepalive value = { .time_s = 4711 };
		struct sfront_error err = { "" };
		int r = sfront_parse_keepalive(cases[i].text, &value, &err);

		if (r != cases[i].error)
			fail_msg("\"%s\" gives %d: %s", cases[i].text, r, err.message);
		if (r < 0) {
			assert_int_equal(value.time_s, 4711);
			assert_string_not_equal(err.message, "");
			continue;
		}
		assert_int_equal(value.on, cases[i].value.on);
		assert_int_equal(value.time_s, cases[i].value.time_s);
		assert_int_equal(value.count, cases[i].value.count);
		assert_int_equal(value.interval_s, cases[i].value.interval_s);
	}
}

/* Who writes 60 means a minute, and gets 60 milliseconds. */
static void test_keepalive_that_looks_like_seconds(void **state)
{
	static const char *const suspect[] = { "60", "2", "999", " 60 :3:5", "60:3:5000" };
	static const char *const good[] = { "1000", "60s", "60ms", "",   "yes", "no",
					    "0",    "1",   "::60", ":3", "60x" };

	(void)state;
	for (size_t i = 0; i < sizeof(suspect) / sizeof(suspect[0]); i++)
		assert_true(sfront_keepalive_is_suspect(suspect[i]));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (sfront_keepalive_is_suspect(good[i]))
			fail_msg("\"%s\"", good[i]);
}

static int get_int(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void test_keepalive_apply(void **state)
{
	struct sfront_keepalive keepalive = { true, 32767, 127, 32767 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(sfront_keepalive_apply(fd, &keepalive), 0);
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE), 32767);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_KEEPCNT), 127);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_KEEPINTVL), 32767);
	keepalive.on = false;
	assert_int_equal(sfront_keepalive_apply(fd, &keepalive), 0);
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	close(fd);
	assert_int_equal(sfront_keepalive_apply(fd, &keepalive), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_switch),          counted(test_size),
		counted(test_duration),        counted(test_count),
		counted(test_keepalive),       counted(test_keepalive_that_looks_like_seconds),
		counted(test_keepalive_apply),
	};

	return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
