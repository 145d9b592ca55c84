/* SPDX-License-Identifier: MIT */
/*
 * The fine timer on a loop of its own: once each time, however often it is set, and without a
 * descriptor while it is closed.  How exact it is depends on the machine, and is not tested.
 */
#include "tests/unit/descriptors.h"

#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/fine_timer.h"

#define MS   UINT64_C(1000000)
#define HOUR (3600 * 1000 * MS)

static struct event_base *base;
static struct fine_timer timer;
static int n_fired, n_more;

static void fired(void *arg)
{
	assert_ptr_equal(arg, &timer);
	assert_true(timer.due_ns == 0);
	n_fired++;
	if (n_more > 0) {
		n_more--;
		assert_true(fine_timer_set(&timer, MS));
	}
}

static void set_up(void)
{
	n_fired = n_more = 0;
	base = event_base_new();
	assert_non_null(base);
	fine_timer_init(&timer, base, fired, &timer);
}

static void tear_down(void)
{
	fine_timer_close(&timer);
	event_base_free(base);
}

static void fires_once_each_time(void **state)
{
	uint64_t before = clock_exact_ns();

	(void)state;
	set_up();
	n_more = 9;
	assert_true(fine_timer_set(&timer, MS));
	while (n_fired < 10)
		event_base_loop(base, EVLOOP_ONCE);
	assert_true(clock_exact_ns() - before >= 10 * MS);
	usleep(5000);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(n_fired, 10);
	tear_down();
}

static void last_word_counts(void **state)
{
	(void)state;
	set_up();
	assert_true(fine_timer_set(&timer, HOUR));
	assert_true(fine_timer_set(&timer, MS));
	event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(n_fired, 1);
	/* What has expired and nobody has heard of is forgotten. */
	assert_true(fine_timer_set(&timer, 1));
	usleep(5000);
	assert_true(fine_timer_set(&timer, HOUR));
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(n_fired, 1);
	tear_down();
}

static void closed_one_is_silent(void **state)
{
	(void)state;
	set_up();
	fine_timer_close(&timer);
	assert_true(fine_timer_set(&timer, 1));
	usleep(5000);
	fine_timer_close(&timer);
	assert_true(timer.due_ns == 0);
	assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 1); /* it waits for nothing */
	assert_int_equal(n_fired, 0);
	assert_true(fine_timer_set(&timer, MS));
	event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(n_fired, 1);
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(fires_once_each_time),
		counted(last_word_counts),
		counted(closed_one_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
