/* SPDX-License-Identifier: MIT */
/*
 * Clients that wait for room: who is told of it, and in which order.
 */
#include "tests/unit/descriptors.h"

#include <stdbool.h>

#include "daemon/backend/waitlist.h"

static struct waitlist *list;
static struct waiter waiters[3];
static bool room[3]; /* for each of them */
static char told[64];

void __wrap_mailbox_post(struct mailbox *mailbox, struct message *message);
void __wrap_mailbox_post(struct mailbox *mailbox, struct message *message)
{
	size_t length = strlen(told);

	(void)mailbox;
	for (int i = 0; i < 3; i++)
		if (message == &waiters[i].message)
			snprintf(told + length, sizeof(told) - length, "%d", i);
}

static bool has_room(void *data)
{
	return *(bool *)data;
}

#define assert_told(expected)                        \
	do {                                         \
		assert_string_equal(told, expected); \
		told[0] = '\0';                      \
	} while (0)

static void give_room(bool is_there)
{
	for (int i = 0; i < 3; i++)
		room[i] = is_there;
}

static int begin(void **state)
{
	(void)state;
	list = waitlist_new();
	assert_non_null(list);
	give_room(false);
	told[0] = '\0';
	for (int i = 0; i < 3; i++) {
		waiters[i] = (struct waiter){ .has_room = has_room, .data = &room[i] };
		waitlist_join(list, &waiters[i]);
	}
	assert_told("");
	return 0;
}

static int end(void **state)
{
	(void)state;
	waitlist_unref(list);
	return 0;
}

static void test_in_the_order_of_arrival(void **state)
{
	(void)state;
	assert_false(waitlist_is_empty(list));
	give_room(true);
	waitlist_wake(list);
	assert_told("0");
	waitlist_wake(list); /* more room: the first one is on its way still */
	assert_told("");
	assert_false(waitlist_leave(list, &waiters[0])); /* it has taken it, and passes on */
	assert_told("1");
	give_room(false);
	waitlist_stay(list); /* somebody else had taken it */
	assert_told("");
	give_room(true);
	waitlist_wake(list);
	assert_told("1");
	assert_false(waitlist_leave(list, &waiters[1]));
	assert_told("2");
	assert_false(waitlist_leave(list, &waiters[2]));
	assert_told("");
	assert_true(waitlist_is_empty(list));
	waitlist_wake(list);
	assert_told("");
}

static void test_who_leaves_is_passed_over(void **state)
{
	(void)state;
	assert_true(waitlist_leave(list, &waiters[0]));
	give_room(true);
	waitlist_wake(list);
	assert_told("1");
	assert_true(waitlist_leave(list, &waiters[2]));
	assert_told("");
	/* one that leaves while it is told passes on what it does not need */
	waitlist_join(list, &waiters[0]);
	assert_told("");
	assert_false(waitlist_leave(list, &waiters[1]));
	assert_told("0");
	assert_false(waitlist_leave(list, &waiters[0]));
}

/* Those of an older configuration may go elsewhere. */
static void test_room_for_some(void **state)
{
	(void)state;
	room[1] = true;
	waitlist_wake(list);
	assert_told("1");
	room[1] = false;
	room[0] = true;
	waitlist_stay(list);
	assert_told("0");
	for (int i = 0; i < 3; i++)
		(void)waitlist_leave(list, &waiters[i]);
}

/* Between its asking and its joining, somebody may have left. */
static void test_room_that_came_just_before(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(waitlist_leave(list, &waiters[i]));
	give_room(true);
	waitlist_join(list, &waiters[2]);
	assert_told("2");
	assert_false(waitlist_leave(list, &waiters[2]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_in_the_order_of_arrival),
		TEST(test_who_leaves_is_passed_over),
		TEST(test_room_for_some),
		TEST(test_room_that_came_just_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
