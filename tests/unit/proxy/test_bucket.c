/* SPDX-License-Identifier: MIT */
/*
 * Token buckets: how many connections begin in a time, after a burst and at a steady pace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/proxy/bucket.h"

#define SECOND UINT64_C(1000000000)
#define START  (UINT64_C(5000) * SECOND)

static struct rate rate_of(const char *text)
{
	struct rate rate;

	assert_int_equal(rate_parse(text, &rate, NULL), 0);
	return rate;
}

/* Somebody asks every @step_ns; how many are let in until @until_ns. */
static unsigned int count_in(struct bucket *bucket, const struct rate *rate, uint64_t from_ns,
			     uint64_t until_ns, uint64_t step_ns)
{
	unsigned int n = 0;

	for (uint64_t now = from_ns; now < until_ns; now += step_ns) {
		while (bucket_wait_ns(bucket, rate, now) == 0) {
			bucket_take(bucket, rate, now);
			n++;
		}
	}
	return n;
}

static void test_burst_and_pace(void **state)
{
	static const struct {
		const char *text;
		unsigned int burst, in_ten_seconds; /* the burst included */
	} table[] = {
		{ "20/s", 20, 220 },        { "20/s 1", 1, 200 },    { "1/s", 1, 10 },
		{ "3/s 5", 5, 34 },         { "600/min", 600, 700 }, { "600/min 50", 50, 150 },
		{ "1000/s 10", 10, 10010 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct rate rate = rate_of(table[i].text);
		struct bucket bucket = { 0 };
		unsigned int n = count_in(&bucket, &rate, START, START + 1, 1);

		if (n != table[i].burst)
			fail_msg("%s: a burst of %u", table[i].text, n);
		n += count_in(&bucket, &rate, START, START + 10 * SECOND, SECOND / 2000);
		if (n + 1 < table[i].in_ten_seconds || n > table[i].in_ten_seconds + 1)
			fail_msg("%s: %u in ten seconds", table[i].text, n);
	}
}

static void test_it_fills_again(void **state)
{
	struct rate rate = rate_of("10/s 4");
	struct bucket bucket = { 0 };

	(void)state;
	assert_true(bucket_is_full(&bucket, START));
	assert_int_equal(count_in(&bucket, &rate, START, START + 1, 1), 4);
	assert_false(bucket_is_full(&bucket, START));
	assert_int_equal(bucket_wait_ns(&bucket, &rate, START), SECOND / 10);
	assert_int_equal(bucket_wait_ns(&bucket, &rate, START + SECOND / 10), 0);
	assert_false(bucket_is_full(&bucket, START + 4 * SECOND / 10 - 1));
	assert_true(bucket_is_full(&bucket, START + 4 * SECOND / 10));
	/* However long nobody comes, it holds no more than the burst. */
	assert_int_equal(count_in(&bucket, &rate, START + 99 * SECOND, START + 99 * SECOND + 1, 1),
			 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_pace),
		cmocka_unit_test(test_it_fills_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
