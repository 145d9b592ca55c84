/* SPDX-License-Identifier: MIT */
/*
 * Clients of a backend whose systemd unit is not up, or not any more: on simulated time,
 * without a socket.
 */
#include "tests/unit/simulated.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/connect.h"
#include "daemon/backend/unit.h"
#include "daemon/base/loop.h"

#define SOCKET  1000
#define CLIENTS 3

static struct loop loop;
static struct backend *backend;
static struct unit *unit;
static unsigned int n_wanted;
static int dialled; /* what dial() returns */
static struct client {
	struct attempt *attempt;
	struct server *server; /* that it is connected to */
	char reason[512];      /* why it is not */
} clients[CLIENTS];

int __wrap_dial(const struct dial_options *options, const struct sfront_sockaddr *addr,
		int *ret_fd);
int __wrap_dial(const struct dial_options *options, const struct sfront_sockaddr *addr, int *ret_fd)
{
	(void)options;
	(void)addr;
	if (dialled == 0)
		*ret_fd = SOCKET;
	return dialled;
}

static void note_wanted(struct unit *which)
{
	assert_ptr_equal(which, unit);
	n_wanted++;
}

static void done(void *arg, const struct outcome *outcome)
{
	struct client *client = arg;

	client->attempt = NULL;
	client->server = outcome->server;
	if (client->server)
		backend_ref(client->server->backend);
	snprintf(client->reason, sizeof(client->reason), "%s",
		 outcome->reason ? outcome->reason : "");
}

static void come(size_t index)
{
	struct client *client = &clients[index];
	struct outcome outcome;
	int r = attempt_start(&loop, backend, &(struct attempt_client){ 0 }, done, client,
			      &client->attempt, &outcome);

	if (r == 0)
		done(client, &outcome);
	else
		assert_int_equal(r, -EINPROGRESS);
	simulated_advance(0);
	simulated_deliver();
}

static void go(size_t index)
{
	struct client *client = &clients[index];

	attempt_cancel(client->attempt);
	if (client->server) {
		struct backend *its = client->server->backend;

		backend_leave(its, client->server);
		backend_client_goes(its);
		backend_unref(its);
	}
	*client = (struct client){ 0 };
	simulated_deliver();
}

static void enter(enum unit_state state)
{
	unit_set_state(unit, state);
	simulated_deliver();
	simulated_advance(0);
}

static void fail_to_start(const char *reason, uint64_t pause_ms)
{
	unit_set_failed(unit, reason, simulated.now_ms + pause_ms);
	simulated_deliver();
	simulated_advance(0);
}

static bool is_held(size_t index)
{
	return clients[index].attempt != NULL;
}

static bool is_served(size_t index)
{
	return clients[index].server != NULL;
}

static struct backend *backend_of(unsigned int max)
{
	struct sfront_error err;
	struct server_config server;
	struct proxy_config config = { .servers = &server,
				       .n_servers = 1,
				       .connect_timeout_ms = 10000,
				       .check = { .interval_ms = SFRONT_INFINITY_MS },
				       .resolve_interval_ms = 10000,
				       .connect_retry = true };
	struct loop_guard *guard = loop_guard_new();
	struct backend *made;

	assert_int_equal(server_parse("10.0.0.1:80", &server, &err), 0);
	server.max = max;
	made = backend_new(&config, guard, &err);
	loop_guard_unref(guard);
	assert_non_null(made);
	backend_set_unit(made, unit_get("wiki.service", &loop));
	return made;
}

static int begin(void **state)
{
	(void)state;
	simulated_reset();
	dialled = 0;
	n_wanted = 0;
	unit = unit_get("wiki.service", &loop);
	backend = backend_of(0);
	unit_on_wanted(note_wanted);
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (size_t i = 0; i < CLIENTS; i++)
		go(i);
	assert_int_equal(unit_n_clients(unit), 0);
	backend_unref(backend);
	unit_unref(unit);
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
	return 0;
}

static void test_held_until_it_is_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < CLIENTS; i++)
		come(i);
	assert_int_equal(n_wanted, CLIENTS);
	assert_int_equal(unit_n_clients(unit), CLIENTS);
	assert_true(unit_is_awaited(unit));
	enter(UNIT_STARTING);
	simulated_advance(5000);
	assert_true(is_held(0) && is_held(1) && is_held(2));
	enter(UNIT_UP);
	assert_true(is_served(0) && is_served(1) && is_served(2));
	assert_false(unit_is_awaited(unit));
	assert_int_equal(unit_n_clients(unit), CLIENTS);
}

static void test_served_at_once_while_it_is_up(void **state)
{
	(void)state;
	enter(UNIT_UP);
	come(0);
	assert_true(is_served(0));
	assert_int_equal(n_wanted, 0);
	assert_int_equal(unit_n_clients(unit), 1);
	simulated_advance(3000);
	go(0);
	assert_int_equal(unit_quiet_since_ms(unit), simulated.now_ms);
}

static void test_told_that_it_has_failed(void **state)
{
	(void)state;
	come(0);
	fail_to_start("exit-code", 1000);
	assert_string_equal(clients[0].reason, "unit wiki.service failed: exit-code");
	assert_int_equal(unit_n_clients(unit), 0);
}

/* The failure was another's: it is tried again for this one. */
static void test_held_over_the_pause(void **state)
{
	(void)state;
	fail_to_start("exit-code", 1000);
	come(0);
	assert_true(is_held(0));
	fail_to_start("timeout", 2000);
	assert_string_equal(clients[0].reason, "unit wiki.service failed: timeout");
}

static void test_not_held_over_a_pause_that_is_longer_than_its_time(void **state)
{
	(void)state;
	fail_to_start("exit-code", 30000);
	come(0);
	assert_string_equal(clients[0].reason, "unit wiki.service failed: exit-code");
	assert_int_equal(n_wanted, 1);
}

static void test_its_time_is_up(void **state)
{
	(void)state;
	come(0);
	simulated_advance(10000);
	assert_string_equal(clients[0].reason,
			    "unit wiki.service was not up within connect-timeout");
}

static void test_it_goes_down_meanwhile(void **state)
{
	(void)state;
	enter(UNIT_UP);
	dialled = -ECONNREFUSED;
	come(0);
	assert_true(is_held(0));
	enter(UNIT_STOPPED);
	simulated_advance(1000);
	simulated_deliver();
	assert_int_equal(n_wanted, 1);
	assert_int_equal(attempt_state(clients[0].attempt), CONNECT_QUEUED);
	dialled = 0;
	enter(UNIT_UP);
	assert_true(is_served(0));
}

static void test_it_is_up_for_a_moment(void **state)
{
	(void)state;
	come(0);
	unit_set_state(unit, UNIT_UP);
	unit_set_state(unit, UNIT_STOPPED);
	simulated_deliver();
	assert_true(is_held(0));
	assert_int_equal(n_wanted, 2);
	enter(UNIT_UP);
	assert_true(is_served(0));
}

static void test_one_that_leaves(void **state)
{
	(void)state;
	come(0);
	come(1);
	unit_set_state(unit, UNIT_UP);
	go(0); /* which has been told */
	assert_true(is_served(1));
	assert_int_equal(unit_n_clients(unit), 1);
}

static void test_room_and_the_unit(void **state)
{
	(void)state;
	backend_unref(backend);
	backend = backend_of(1);
	come(0);
	come(1);
	enter(UNIT_UP);
	assert_true(is_served(0) && is_held(1));
	enter(UNIT_STOPPED);
	go(0);
	assert_true(is_held(1));
	enter(UNIT_UP);
	assert_true(is_served(1));
}

/* Who waits when the configuration is read again is told all the same. */
static void test_a_newer_backend_has_the_same_queue(void **state)
{
	struct backend *before = backend;

	(void)state;
	come(0);
	backend = backend_of(0);
	backend_share(backend, before);
	backend_unref(before);
	come(1);
	enter(UNIT_UP);
	assert_true(is_served(0) && is_served(1));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(test_held_until_it_is_up),
		TEST(test_served_at_once_while_it_is_up),
		TEST(test_told_that_it_has_failed),
		TEST(test_held_over_the_pause),
		TEST(test_not_held_over_a_pause_that_is_longer_than_its_time),
		TEST(test_its_time_is_up),
		TEST(test_it_goes_down_meanwhile),
		TEST(test_it_is_up_for_a_moment),
		TEST(test_one_that_leaves),
		TEST(test_room_and_the_unit),
		TEST(test_a_newer_backend_has_the_same_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
