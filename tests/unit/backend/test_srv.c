/* SPDX-License-Identifier: MIT */
/*
 * Answers of a name server about a service, whole and broken.
 */
#include "tests/unit/descriptors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/backend/srv.h"

static struct {
	unsigned char bytes[65536];
	size_t n;
} packet;

static void put(const void *data, size_t n)
{
	assert_true(packet.n + n <= sizeof(packet.bytes));
	memcpy(packet.bytes + packet.n, data, n);
	packet.n += n;
}

static void put16(unsigned int value)
{
	const unsigned char bytes[] = { (unsigned char)(value >> 8), (unsigned char)value };

	put(bytes, sizeof(bytes));
}

/* "a.test": 1 a 4 test 0 */
static void put_name(const char *name)
{
	while (*name && strcmp(name, ".") != 0) {
		unsigned char length = (unsigned char)strcspn(name, ".");

		put(&length, 1);
		put(name, length);
		name += length;
		name += *name == '.';
	}
	put("", 1);
}

static void begin(unsigned int n_answers)
{
	packet.n = 0;
	put16(1);      /* id */
	put16(0x8180); /* a response */
	put16(1);
	put16(n_answers);
	put16(0);
	put16(0);
	put_name("_a._tcp.test");
	put16(33);
	put16(1);
}

static void record(unsigned int ttl, unsigned int priority, unsigned int weight, unsigned int port,
		   const char *host)
{
	size_t at;

	put16(0xc00c);
	put16(33);
	put16(1);
	put16(0);
	put16(ttl);
	at = packet.n;
	put16(0);
	put16(priority);
	put16(weight);
	put16(port);
	put_name(host);
	packet.bytes[at] = (unsigned char)((packet.n - at - 2) >> 8);
	packet.bytes[at + 1] = (unsigned char)(packet.n - at - 2);
}

/* An alias, which comes in front of what it leads to. */
static void alias(void)
{
	put16(0xc00c);
	put16(5);
	put16(1);
	put16(0);
	put16(1);
	put16(4);
	put("\1b\xc0\x10", 4);
}

static int parse(struct srv_answer **ret)
{
	return srv_parse(packet.bytes, (int)packet.n, ret);
}

static void check(const struct srv_answer *answer, size_t i, const char *host, unsigned int port,
		  unsigned int priority, unsigned int weight)
{
	assert_true(i < answer->n);
	assert_string_equal(answer->targets[i].host, host);
	assert_int_equal(answer->targets[i].port, port);
	assert_int_equal(answer->targets[i].priority, priority);
	assert_int_equal(answer->targets[i].weight, weight);
}

/* In an order of their own, with the shortest time of all. */
static void test_targets(void **state)
{
	struct srv_answer *answer;

	(void)state;
	begin(5);
	alias();
	record(300, 20, 5, 80, "c.test");
	record(60, 10, 0, 81, "b.test");
	record(300, 10, 7, 80, "b.test");
	record(300, 10, 1, 80, "a.test");
	assert_int_equal(parse(&answer), 0);
	assert_int_equal(answer->n, 4);
	assert_int_equal(answer->ttl_ms, 60000);
	check(answer, 0, "a.test", 80, 10, 1);
	check(answer, 1, "b.test", 80, 10, 7);
	check(answer, 2, "b.test", 81, 10, 1);
	check(answer, 3, "c.test", 80, 20, 5);
	srv_answer_unref(answer);
}

static void test_wide_weights(void **state)
{
	struct srv_answer *answer;

	(void)state;
	begin(3);
	record(1, 0, 65535, 80, "a.test");
	record(1, 0, 32768, 80, "b.test");
	record(1, 0, 100, 80, "c.test");
	assert_int_equal(parse(&answer), 0);
	check(answer, 0, "a.test", 80, 0, 256);
	check(answer, 1, "b.test", 80, 0, 128);
	check(answer, 2, "c.test", 80, 0, 1);
	srv_answer_unref(answer);
}

static void test_no_target(void **state)
{
	struct srv_answer *answer;

	(void)state;
	begin(0);
	assert_int_equal(parse(&answer), -ENOENT);
	begin(1);
	record(1, 0, 0, 0, ".");
	assert_int_equal(parse(&answer), -ENOENT);
	begin(1);
	alias();
	assert_int_equal(parse(&answer), -ENOENT);
}

/* However many there are: the first ones by priority come first, wherever they are. */
static void test_many(void **state)
{
	struct srv_answer *answer;

	(void)state;
	begin(1000);
	for (unsigned int i = 0; i < 1000; i++)
		record(1, 1000 - i, 1, i + 1, "a.test");
	assert_int_equal(parse(&answer), 0);
	assert_int_equal(answer->n, 1000);
	check(answer, 0, "a.test", 1000, 1, 1);
	srv_answer_unref(answer);
}

/* Cut anywhere, or with any byte changed, it is an answer or an error, and nothing worse. */
static void test_broken(void **state)
{
	struct srv_answer *answer;
	size_t n;

	(void)state;
	begin(3);
	alias();
	record(300, 20, 5, 80, "c.test");
	record(60, 10, 0, 81, "b.test");
	n = packet.n;
	for (size_t size = 0; size < n; size++) {
		unsigned char *copy =
			malloc(size + 1); /* so that whoever reads past it is caught */

		assert_non_null(copy);
		memcpy(copy, packet.bytes, size);
		assert_int_equal(srv_parse(copy, (int)size, &answer), -EAGAIN);
		free(copy);
	}
	for (size_t at = 0; at < n; at++) {
		for (unsigned int value = 0; value < 256; value++) {
			unsigned char before = packet.bytes[at];
			int r;

			packet.bytes[at] = (unsigned char)value;
			r = parse(&answer);
			assert_true(r == 0 || r == -EAGAIN || r == -ENOENT);
			if (r == 0)
				srv_answer_unref(answer);
			packet.bytes[at] = before;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),   cmocka_unit_test(test_wide_weights),
		cmocka_unit_test(test_no_target), cmocka_unit_test(test_many),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
