/* SPDX-License-Identifier: MIT */
/*
 * Being put through to a port of a virtual machine, with the hypervisor's socket on the other
 * end of a pair.
 */
#include "tests/unit/descriptors.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/backend/mux.h"

static int ours, theirs;

static int open_pair(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	ours = pair[0];
	theirs = pair[1];
	return 0;
}

static int close_pair(void **state)
{
	(void)state;
	close(ours);
	if (theirs >= 0)
		close(theirs);
	return 0;
}

static void hang_up(void)
{
	close(theirs);
	theirs = -1;
}

static void say(const char *text)
{
	assert_int_equal(send(theirs, text, strlen(text), 0), strlen(text));
}

static void test_asks(void **state)
{
	char text[64] = "";

	(void)state;
	assert_int_equal(mux_ask(ours, 5000), 0);
	assert_int_equal(recv(theirs, text, sizeof(text), 0), 13);
	assert_string_equal(text, "CONNECT 5000\n");
	assert_int_equal(mux_ask(ours, 4294967294), 0);
	assert_int_equal(recv(theirs, text, sizeof(text), 0), 19);
	assert_string_equal(text, "CONNECT 4294967294\n");
}

static void test_hypervisor_is_gone(void **state)
{
	(void)state;
	hang_up();
	assert_int_equal(mux_ask(ours, 5000), -ECONNREFUSED);
}

/* What stands behind the answer is the server's. */
static void test_takes_the_answer_alone(void **state)
{
	struct mux_answer answer = { .length = 0 };
	char text[64] = "";

	(void)state;
	assert_int_equal(mux_read(ours, &answer), -EAGAIN);
	say("OK 1073741824\n220 ready\nOK 1\n");
	assert_int_equal(mux_read(ours, &answer), 0);
	assert_int_equal(recv(ours, text, sizeof(text), 0), 15);
	assert_string_equal(text, "220 ready\nOK 1\n");
}

static void test_answer_in_pieces(void **state)
{
	struct mux_answer answer = { .length = 0 };
	char byte;

	(void)state;
	for (const char *c = "OK 42"; *c; c++) {
		assert_int_equal(send(theirs, c, 1, 0), 1);
		assert_int_equal(mux_read(ours, &answer), -EAGAIN);
		/* it does not lie there: whoever waits would be woken without end */
		assert_int_equal(recv(ours, &byte, 1, MSG_DONTWAIT), -1);
	}
	say("\nx");
	assert_int_equal(mux_read(ours, &answer), 0);
	assert_int_equal(recv(ours, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
}

/* Nobody listens on that port of the machine. */
static void test_refused(void **state)
{
	struct mux_answer answer = { .length = 0 };

	(void)state;
	say("OK");
	assert_int_equal(mux_read(ours, &answer), -EAGAIN);
	hang_up();
	assert_int_equal(mux_read(ours, &answer), -ECONNREFUSED);
}

static void test_refused_with_our_question_unread(void **state)
{
	struct mux_answer answer = { .length = 0 };

	(void)state;
	assert_int_equal(mux_ask(ours, 5000), 0);
	hang_up();
	assert_int_equal(mux_read(ours, &answer), -ECONNREFUSED);
}

static void test_something_else(void **state)
{
	static const char *const texts[] = {
		"\n",
		"OK\n",
		"OK \n",
		"OK x\n",
		"OK 1 \n",
		"ok 1\n",
		" OK 1\n",
		"SSH-2.0-OpenSSH\r\n",
		"HTTP/1.0 400",
		"x",
		"OK 1111111111111111111111111111111111111111",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct mux_answer answer = { .length = 0 };

		say(texts[i]);
		if (mux_read(ours, &answer) != -EPROTO)
			fail_msg("%s", texts[i]);
		close_pair(NULL);
		open_pair(NULL);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_asks),
		TEST(test_hypervisor_is_gone),
		TEST(test_takes_the_answer_alone),
		TEST(test_answer_in_pieces),
		TEST(test_refused),
		TEST(test_refused_with_our_question_unread),
		TEST(test_something_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
