/* SPDX-License-Identifier: MIT */
/*
 * Limits per source: what is one source, how many connections it has and may begin, and what
 * happens when there are more sources than the table tells apart.
 */
#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/proxy/source_table.h"

static uint64_t now_ns = UINT64_C(5000000000000);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	ret->tv_sec = (time_t)(now_ns / 1000000000);
	ret->tv_nsec = (long)(now_ns % 1000000000);
	return 0;
}

static const struct rate any_rate = { 0 };

static struct source_key ipv4(uint32_t number)
{
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa.in) };

	addr.sa.in.sin_family = AF_INET;
	addr.sa.in.sin_addr.s_addr = htonl(number);
	return source_key_of(&addr, 32, 64);
}

static void assert_key(const char *text, unsigned int v4_bits, unsigned int v6_bits,
		       const char *wanted)
{
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa.in6) };
	struct source_key key;
	char found[64];

	if (strchr(text, ':')) {
		addr.sa.in6.sin6_family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, text, &addr.sa.in6.sin6_addr), 1);
	} else {
		addr.sa.in.sin_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, text, &addr.sa.in.sin_addr), 1);
	}
	key = source_key_of(&addr, v4_bits, v6_bits);
	source_key_format(&key, v4_bits, v6_bits, found, sizeof(found));
	assert_string_equal(found, wanted);
}

static void test_what_is_one_source(void **state)
{
	const struct sockaddr_vm vm = { .svm_family = AF_VSOCK, .svm_cid = 3, .svm_port = 7 };
	struct sfront_sockaddr addr = { .len = sizeof(sa_family_t) };
	struct source_key key;
	char text[64];

	(void)state;
	assert_key("10.1.2.3", 32, 64, "10.1.2.3");
	assert_key("10.1.2.3", 24, 64, "10.1.2.0/24");
	assert_key("10.1.255.3", 17, 64, "10.1.128.0/17");
	assert_key("10.1.2.3", 0, 64, "0.0.0.0/0");
	assert_key("::ffff:10.1.2.3", 24, 64, "10.1.2.0/24");
	assert_key("2001:db8:1:2:3:4:5:6", 32, 64, "2001:db8:1:2::/64");
	assert_key("2001:db8:1:2:3:4:5:6", 32, 49, "2001:db8:1::/49");
	assert_key("2001:db8::1", 32, 128, "2001:db8::1");
	addr.sa.any.sa_family = AF_UNIX;
	assert_int_equal(source_key_of(&addr, 32, 64).kind, SOURCE_KEY_NONE);
	key = source_key_of_number(SOURCE_KEY_UID, 33);
	source_key_format(&key, 32, 64, text, sizeof(text));
	assert_string_equal(text, "uid:33");
	memcpy(&addr.sa, &vm, sizeof(vm));
	addr.len = sizeof(vm);
	key = source_key_of(&addr, 32, 64);
	source_key_format(&key, 32, 64, text, sizeof(text));
	assert_string_equal(text, "vsock:3");
	addr.len = 0;
	assert_int_equal(source_key_of(&addr, 32, 64).kind, SOURCE_KEY_NONE);
}

static void test_connections_at_once(void **state)
{
	struct source_table *table = source_table_new();
	struct source_key one = ipv4(1), two = ipv4(2);
	struct source_entry *first, *second, *other;

	(void)state;
	assert_non_null(table);
	assert_int_equal(source_table_take(table, &one, 2, &any_rate, &first), SOURCE_TAKEN);
	assert_int_equal(source_table_take(table, &one, 2, &any_rate, &second), SOURCE_TAKEN);
	assert_ptr_equal(first, second);
	assert_int_equal(source_table_take(table, &one, 2, &any_rate, &second), SOURCE_TOO_MANY);
	assert_int_equal(source_table_take(table, &two, 2, &any_rate, &other), SOURCE_TAKEN);
	assert_ptr_not_equal(first, other);
	source_table_give(table, first);
	assert_int_equal(source_table_take(table, &one, 2, &any_rate, &second), SOURCE_TAKEN);
	assert_int_equal(source_table_count(table), 2);
	source_table_give(table, first);
	source_table_give(table, first);
	source_table_give(table, other);
	source_table_free(table);
}

static void test_connections_in_a_time(void **state)
{
	const struct rate rate = { .count = 10, .burst = 3, .period_ns = 1000000000 };
	struct source_table *table = source_table_new();
	struct source_key one = ipv4(1), two = ipv4(2);
	struct source_entry *entry;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(source_table_take(table, &one, 0, &rate, &entry), SOURCE_TAKEN);
		source_table_give(table, entry);
	}
	assert_int_equal(source_table_take(table, &one, 0, &rate, &entry), SOURCE_TOO_FAST);
	assert_int_equal(source_table_take(table, &two, 0, &rate, &entry), SOURCE_TAKEN);
	source_table_give(table, entry);
	now_ns += 100000000;
	assert_int_equal(source_table_take(table, &one, 0, &rate, &entry), SOURCE_TAKEN);
	source_table_give(table, entry);
	assert_int_equal(source_table_take(table, &one, 0, &rate, &entry), SOURCE_TOO_FAST);
	source_table_free(table);
}

/* Each comes once and goes: the room of the one that was left first is for the next. */
static void test_a_million_sources(void **state)
{
	struct source_table *table = source_table_new();
	struct source_entry *entry, *kept;
	struct source_key key = ipv4(0xffffffff);
	size_t before;

	(void)state;
	assert_int_equal(source_table_take(table, &key, 1, &any_rate, &kept), SOURCE_TAKEN);
	for (uint32_t i = 0; i < 2 * SOURCES_MAX; i++) {
		key = ipv4(i);
		assert_int_equal(source_table_take(table, &key, 1, &any_rate, &entry),
				 SOURCE_TAKEN);
		source_table_give(table, entry);
	}
	before = mallinfo2().uordblks;
	for (uint32_t i = 0; i < 1000000; i++) {
		key = ipv4(0x10000000 + i);
		assert_int_equal(source_table_take(table, &key, 1, &any_rate, &entry),
				 SOURCE_TAKEN);
		source_table_give(table, entry);
	}
	assert_int_equal(mallinfo2().uordblks, before);
	assert_int_equal(source_table_count(table), SOURCES_MAX);
	assert_int_equal(source_table_overflows(table), 0);
	/* One that has a connection keeps its entry. */
	key = ipv4(0xffffffff);
	assert_int_equal(source_table_take(table, &key, 1, &any_rate, &entry), SOURCE_TOO_MANY);
	source_table_give(table, kept);
	source_table_free(table);
}

/* All have connections: newcomers share one entry, and its limit. */
static void test_no_room(void **state)
{
	struct source_table *table = source_table_new();
	struct source_entry **entries = calloc(SOURCES_MAX, sizeof(struct source_entry *));
	struct source_entry *shared, *again;
	struct source_key key;

	(void)state;
	assert_non_null(entries);
	for (uint32_t i = 0; i < SOURCES_MAX; i++) {
		key = ipv4(i);
		assert_int_equal(source_table_take(table, &key, 1, &any_rate, &entries[i]),
				 SOURCE_TAKEN);
	}
	key = ipv4(0x20000001);
	assert_int_equal(source_table_take(table, &key, 1, &any_rate, &shared), SOURCE_TAKEN);
	key = ipv4(0x20000002);
	assert_int_equal(source_table_take(table, &key, 1, &any_rate, &again), SOURCE_TOO_MANY);
	assert_int_equal(source_table_overflows(table), 2);
	source_table_give(table, shared);
	assert_int_equal(source_table_take(table, &key, 1, &any_rate, &again), SOURCE_TAKEN);
	assert_ptr_equal(again, shared);
	source_table_give(table, again);
	source_table_give(table, entries[9]);
	assert_int_equal(source_table_take(table, &key, 1, &any_rate, &again), SOURCE_TAKEN);
	assert_ptr_not_equal(again, shared);
	source_table_give(table, again);
	for (uint32_t i = 0; i < SOURCES_MAX; i++)
		if (i != 9)
			source_table_give(table, entries[i]);
	free(entries);
	source_table_free(table);
}

/* One that may not begin any more is not forgotten, or it might. */
static void test_what_says_something_stays(void **state)
{
	const struct rate rate = { .count = 1, .burst = 1, .period_ns = UINT64_C(60000000000) };
	struct source_table *table = source_table_new();
	struct source_entry *entry;
	struct source_key key;

	(void)state;
	for (uint32_t i = 0; i < SOURCES_MAX; i++) {
		key = ipv4(i);
		assert_int_equal(source_table_take(table, &key, 0, &rate, &entry), SOURCE_TAKEN);
		source_table_give(table, entry);
	}
	key = ipv4(0x20000001);
	assert_int_equal(source_table_take(table, &key, 0, &rate, &entry), SOURCE_TAKEN);
	source_table_give(table, entry);
	assert_int_equal(source_table_overflows(table), 1);
	key = ipv4(0);
	assert_int_equal(source_table_take(table, &key, 0, &rate, &entry), SOURCE_TOO_FAST);
	now_ns += UINT64_C(60000000000);
	key = ipv4(0x20000001);
	assert_int_equal(source_table_take(table, &key, 0, &rate, &entry), SOURCE_TAKEN);
	source_table_give(table, entry);
	assert_int_equal(source_table_overflows(table), 1);
	source_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_one_source),
		cmocka_unit_test(test_connections_at_once),
		cmocka_unit_test(test_connections_in_a_time),
		cmocka_unit_test(test_a_million_sources),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_what_says_something_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
