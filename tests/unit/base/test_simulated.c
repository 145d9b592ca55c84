/* SPDX-License-Identifier: MIT */
/*
 * The loop that the tests of timers run on keeps its own promises: see simulated.h.
 */
#include "tests/unit/simulated.h"

#include <string.h>

#include "daemon/base/clock.h"

static char order[16];

static void note(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	strncat(order, arg, 1);
}

static struct event timer_of(const char *name)
{
	struct event event;

	event_assign(&event, NULL, -1, 0, note, (void *)name);
	return event;
}

static void add(struct event *event, uint64_t ms)
{
	struct timeval tv = timeval_from_ms(ms);

	assert_int_equal(event_add(event, &tv), 0);
}

static int reset(void **state)
{
	(void)state;
	simulated_reset();
	order[0] = '\0';
	return 0;
}

static void test_timers_fire_in_order(void **state)
{
	struct event a = timer_of("a"), b = timer_of("b"), c = timer_of("c"), gone = timer_of("x");
	uint64_t before = clock_ms();

	(void)state;
	add(&c, 30);
	add(&a, 10);
	add(&gone, 15);
	add(&b, 10);
	event_del(&gone);
	assert_int_equal(simulated_until_next(), 10);
	simulated_advance(9);
	assert_string_equal(order, "");
	simulated_advance(1);
	assert_string_equal(order, "ab");
	assert_int_equal(clock_ms() - before, 10);
	assert_false(event_pending(&a, EV_TIMEOUT, NULL));
	assert_true(event_pending(&c, EV_TIMEOUT, NULL));
	simulated_advance(100);
	assert_string_equal(order, "abc");
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
}

static void test_a_descriptor_is_ready_when_told(void **state)
{
	struct event once, lasting;

	(void)state;
	event_assign(&once, NULL, 5, EV_WRITE, note, (void *)"w");
	event_assign(&lasting, NULL, 5, EV_READ | EV_PERSIST, note, (void *)"r");
	assert_int_equal(event_add(&once, NULL), 0);
	assert_int_equal(event_add(&lasting, NULL), 0);
	assert_true(simulated_ready(5, EV_READ));
	assert_true(simulated_ready(5, EV_READ));
	assert_true(simulated_ready(5, EV_WRITE));
	assert_false(simulated_ready(5, EV_WRITE));
	assert_false(simulated_ready(6, EV_READ));
	assert_string_equal(order, "rrw");
	simulated.adds_to_fail = 1;
	assert_int_equal(event_add(&once, NULL), -1);
	assert_int_equal(event_add(&once, NULL), 0);
}

static void note_message(struct message *message)
{
	(void)message;
	strcat(order, "m");
}

static void test_a_message_arrives_once(void **state)
{
	struct message message = { .deliver = note_message };

	(void)state;
	mailbox_post(NULL, &message);
	mailbox_post(NULL, &message);
	assert_string_equal(order, "");
	simulated_deliver();
	assert_string_equal(order, "m");
	mailbox_post(NULL, &message);
	simulated_deliver();
	assert_string_equal(order, "mm");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_timers_fire_in_order, reset),
		cmocka_unit_test_setup(test_a_descriptor_is_ready_when_told, reset),
		cmocka_unit_test_setup(test_a_message_arrives_once, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
