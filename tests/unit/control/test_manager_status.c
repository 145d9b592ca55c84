/* SPDX-License-Identifier: MIT */
/*
 * What the service manager is told, and when, without one and on simulated time: what it
 * does not take is told later, and no more often than what it does.
 */
#include "tests/unit/simulated.h"

#include <stdio.h>
#include <string.h>

#include "daemon/control/manager_status.h"
#include "daemon/proxy/generation.h"
#include "daemon/worker/process.h"

static struct process process;
static struct generation generation = { .n_proxies = 1 };
static char told[1024];   /* each line with a comma behind it */
static unsigned int lost; /* hints that were not taken */
static bool is_deaf;

bool __wrap_notify_wanted(void);
bool __wrap_notify_wanted(void)
{
	return true;
}

bool __wrap_notify_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool __wrap_notify_hint(const char *format, ...)
{
	size_t len = strlen(told);
	va_list args;

	if (is_deaf) {
		lost++;
		return false;
	}
	va_start(args, format);
	vsnprintf(told + len, sizeof(told) - len, format, args);
	va_end(args);
	strcat(told, ",");
	return true;
}

static void assert_told(const char *expected)
{
	assert_string_equal(told, expected);
	told[0] = '\0';
}

static void connections(unsigned int n)
{
	atomic_store(&process.limit.used, n);
	process_connections_changed(&process);
	simulated_deliver();
}

/* The line of the test before is remembered: each begins with another number. */
static void begin(unsigned int n)
{
	char expected[64];

	simulated_reset();
	memset(&process, 0, sizeof(process));
	process.generation = &generation;
	told[0] = '\0';
	lost = 0;
	is_deaf = false;
	atomic_store(&process.limit.used, n);
	manager_status_start(&process);
	simulated_advance(0);
	snprintf(expected, sizeof(expected), "STATUS=%u connection(s), 1 proxy,", n);
	assert_told(expected);
}

static int end(void **state)
{
	(void)state;
	manager_status_stop();
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
	return 0;
}

static void test_changes_are_told_seldom(void **state)
{
	(void)state;
	begin(10);
	simulated_advance(60000);
	assert_told("");
	connections(11);
	simulated_advance(0);
	assert_told("STATUS=11 connection(s), 1 proxy,");
	connections(12);
	connections(13);
	simulated_advance(4999);
	assert_told("");
	simulated_advance(1);
	assert_told("STATUS=13 connection(s), 1 proxy,");
	connections(14);
	connections(13); /* as it was told */
	simulated_advance(60000);
	assert_told("");
}

/* Nothing else has to happen for it. */
static void test_what_is_not_taken_is_told_later(void **state)
{
	(void)state;
	begin(20);
	simulated_advance(60000);
	is_deaf = true;
	connections(21);
	simulated_advance(14999);
	assert_int_equal(lost, 3);
	is_deaf = false;
	simulated_advance(1);
	assert_told("STATUS=21 connection(s), 1 proxy,");
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
}

static void test_what_has_passed_meanwhile_is_not_told(void **state)
{
	(void)state;
	begin(30);
	simulated_advance(60000);
	is_deaf = true;
	connections(31);
	simulated_advance(0);
	connections(30);
	is_deaf = false;
	simulated_advance(60000);
	assert_told("");
	assert_int_equal(lost, 1);
}

/* With the time, as one line of UTF-8, until one succeeds, and no more often than the rest. */
static void test_a_reload_that_failed(void **state)
{
	const char *why;

	(void)state;
	begin(40);
	simulated_advance(1000);
	manager_status_note_reload("a.conf:3: unknown\nkey \"\xff\xc3\xa9\"");
	simulated_advance(3999);
	assert_told("");
	simulated_advance(1);
	assert_int_equal(strncmp(told, "STATUS=40 connection(s), 1 proxy; the reload at 2", 48), 0);
	why = strstr(told, " failed: ");
	assert_non_null(why);
	assert_string_equal(why, " failed: a.conf:3: unknown?key \"?\xc3\xa9\",");
	told[0] = '\0';
	simulated_advance(5000);
	manager_status_note_reload(NULL);
	simulated_advance(0);
	assert_told("STATUS=40 connection(s), 1 proxy,");
}

/* However long the reason is, what is told of it ends with a whole character. */
static void test_a_long_reason(void **state)
{
	char why[600];

	(void)state;
	begin(50);
	simulated_advance(5000);
	why[0] = 'x';
	for (size_t i = 1; i + 2 < sizeof(why); i += 2)
		memcpy(why + i, "\xc3\xa9", 3);
	manager_status_note_reload(why);
	simulated_advance(0);
	assert_non_null(strstr(told, "failed: x\xc3\xa9\xc3"));
	assert_string_equal(told + strlen(told) - 3, "\xc3\xa9,");
	told[0] = '\0';
	manager_status_note_reload(NULL);
}

/* The last one: a drain does not end. */
static void test_drain_asks_for_time(void **state)
{
	(void)state;
	begin(2);
	manager_status_drain();
	simulated_advance(0);
	assert_told("EXTEND_TIMEOUT_USEC=15000000,STATUS=stopping: 2 connection(s) left,");
	simulated_advance(5000);
	assert_told("EXTEND_TIMEOUT_USEC=15000000,");
	is_deaf = true;
	connections(1);
	simulated_advance(5000);
	is_deaf = false;
	simulated_advance(5000);
	assert_told("EXTEND_TIMEOUT_USEC=15000000,STATUS=stopping: 1 connection(s) left,");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_changes_are_told_seldom, end),
		cmocka_unit_test_teardown(test_what_is_not_taken_is_told_later, end),
		cmocka_unit_test_teardown(test_what_has_passed_meanwhile_is_not_told, end),
		cmocka_unit_test_teardown(test_a_reload_that_failed, end),
		cmocka_unit_test_teardown(test_a_long_reason, end),
		cmocka_unit_test_teardown(test_drain_asks_for_time, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
