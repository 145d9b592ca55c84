/* SPDX-License-Identifier: MIT */
/*
 * Connections on their way to a worker: who gets them, and what becomes of those that
 * come when memory is short or when everything is cut.  No thread runs.
 */
#include "tests/unit/simulated.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/proxy/proxy.h"
#include "daemon/session/session.h"
#include "daemon/worker/dispatch.h"
#include "daemon/worker/process.h"
#include "daemon/worker/worker.h"

#define WORKERS 3

static struct process process;
static struct worker workers[WORKERS];
static struct proxy_limit limit;
static struct proxy proxy;
static struct loop home; /* the main thread's */
static struct dispatch dispatch;
static struct message slot_free;
static bool no_sessions, no_malloc, owes_header;
static unsigned int slots_told, freed, idle;

static struct {
	struct session_host *host;
	int fd;
} started[16];
static size_t n_started;

bool __wrap_slab_ready(struct slab *slab);
bool __wrap_slab_ready(struct slab *slab)
{
	(void)slab;
	return !no_sessions;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return no_malloc ? NULL : __real_malloc(size);
}

void __wrap_session_start(struct session_host *host, struct proxy *of, size_t socket,
			  const struct sfront_connection *connection);
void __wrap_session_start(struct session_host *host, struct proxy *of, size_t socket,
			  const struct sfront_connection *connection)
{
	assert_ptr_equal(of, &proxy);
	assert_int_equal(socket, 7);
	started[n_started].host = host;
	started[n_started++].fd = connection->read_fd;
}

static void told_of_slot(struct message *message)
{
	(void)message;
	slots_told++;
}

static void proxy_unused(struct message *message)
{
	(void)message;
	freed++;
}

static void note_idle(struct message *message)
{
	(void)message;
	idle++;
}

static int setup(void **state)
{
	(void)state;
	simulated_reset();
	memset(&process, 0, sizeof(process));
	memset(workers, 0, sizeof(workers));
	process.workers = workers;
	process.settings.pipe_size = 65536;
	atomic_store(&process.limit.max, 100);
	process.waiter.slot_free = &slot_free;
	slot_free.deliver = told_of_slot;
	for (; process.n_workers < WORKERS; process.n_workers++) {
		assert_int_equal(worker_init(&workers[process.n_workers], &process, 4), 0);
		workers[process.n_workers].idle.deliver = note_idle;
	}
	limit = (struct proxy_limit){ .refs = 1, .connections.max = UINT_MAX };
	proxy = (struct proxy){
		.refs = 1, .limit = &limit, .home = &home, .unused.deliver = proxy_unused
	};
	dispatch = (struct dispatch){ .process = &process };
	n_started = slots_told = freed = idle = 0;
	no_sessions = no_malloc = owes_header = false;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dispatch_clear(&dispatch);
	for (size_t i = 0; i < WORKERS; i++)
		worker_clear(&workers[i]);
	return 0;
}

/* A connection that is accepted; its descriptor, a copy of one that the test keeps. */
static int accept_one(void)
{
	int fds[2];
	struct sfront_connection connection = { .read_stream = SFRONT_STREAM_UNIX,
						.header_due = owes_header };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	connection.read_fd = connection.write_fd = fds[0];
	assert_true(connection_limit_take(&limit.connections));
	assert_true(connection_limit_take(&process.limit));
	assert_true(dispatch_is_ready(&dispatch));
	dispatch_connection(&dispatch, &proxy, 7, &connection);
	return fds[1];
}

static bool is_over(int fd)
{
	char byte;
	bool over = recv(fd, &byte, 1, MSG_DONTWAIT) == 0;

	close(fd);
	return over;
}

static void end_started(void)
{
	for (size_t i = 0; i < n_started; i++)
		close(started[i].fd);
}

/* ---- who gets it ---- */

static void test_whoever_has_the_fewest(void **state)
{
	int fds[6];

	(void)state;
	workers[0].load = 2;
	workers[1].load = 1;
	for (size_t i = 0; i < 6; i++) {
		fds[i] = accept_one();
		simulated_deliver();
	}
	assert_int_equal(n_started, 6);
	for (size_t i = 0; i < WORKERS; i++)
		assert_int_equal(workers[i].load, 3);
	assert_ptr_equal(started[0].host, &workers[2].host);
	assert_int_equal(proxy.refs, 7);
	end_started();
	for (size_t i = 0; i < 6; i++)
		close(fds[i]);
}

/* Nobody is accepted who could not be sent. */
static void test_not_ready_without_memory(void **state)
{
	(void)state;
	no_malloc = true;
	assert_false(dispatch_is_ready(&dispatch));
	no_malloc = false;
	no_sessions = true;
	assert_false(dispatch_is_ready(&dispatch));
	no_sessions = false;
	assert_true(dispatch_is_ready(&dispatch));
	no_malloc = true; /* what is kept for the next one is enough */
	assert_true(dispatch_is_ready(&dispatch));
	process.n_workers = 1;
	dispatch_clear(&dispatch);
	dispatch.spare = NULL;
	assert_true(dispatch_is_ready(&dispatch)); /* one worker serves them itself */
	process.n_workers = WORKERS;
}

/* ---- those that wait for memory ---- */

static int send_to_second(void)
{
	atomic_store(&workers[0].load, atomic_load(&workers[1].load) + 1);
	atomic_store(&workers[2].load, atomic_load(&workers[1].load) + 1);
	return accept_one();
}

static void test_served_once_there_is_memory(void **state)
{
	int fds[3];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		fds[i] = send_to_second();
	no_sessions = true;
	simulated_deliver();
	simulated_advance(1000);
	assert_int_equal(n_started, 0);
	no_sessions = false;
	assert_in_range(simulated_until_next(), 1, 100);
	simulated_advance(100);
	assert_int_equal(n_started, 3);
	assert_true(started[0].fd < started[1].fd && started[1].fd < started[2].fd);
	assert_int_equal(proxy.refs, 4); /* the sessions have them */
	end_started();
	for (size_t i = 0; i < 3; i++)
		close(fds[i]);
}

/* All that they had is given back: the slots, the references, the descriptors. */
static void expect_turned_away(const int *fds, size_t n)
{
	simulated_deliver();
	for (size_t i = 0; i < n; i++)
		assert_true(is_over(fds[i]));
	assert_int_equal(n_started, 0);
	assert_int_equal(workers[1].load, 0);
	assert_int_equal(connection_limit_used(&process.limit), 0);
	assert_int_equal(connection_limit_used(&limit.connections), 0);
	assert_int_equal(proxy.refs, 1);
	assert_int_equal(freed, 0);
}

static void test_without_memory_to_wait(void **state)
{
	int fds[2];

	(void)state;
	for (size_t i = 0; i < 2; i++)
		fds[i] = send_to_second();
	no_sessions = true;
	simulated.adds_to_fail = 1;
	log_set_level(LOG_ERR);
	simulated_deliver();
	simulated.adds_to_fail = 1;
	simulated_advance(100);
	log_set_level(LOG_INFO);
	expect_turned_away(fds, 2);
	assert_int_equal(atomic_load(&process.cut), 0);
}

static void test_cut_while_they_wait(void **state)
{
	int fds[3];

	(void)state;
	for (size_t i = 0; i < 2; i++)
		fds[i] = send_to_second();
	no_sessions = true;
	simulated_deliver();
	no_sessions = false;
	fds[2] = send_to_second(); /* it is on its way when the others are cut */
	no_sessions = true;
	worker_cut(&workers[1]);
	worker_finish(&workers[1]);
	expect_turned_away(fds, 3);
	assert_int_equal(atomic_load(&process.cut), 3);
}

/* The last one that a dropped proxy had frees it. */
static void test_turned_away_with_the_last_reference(void **state)
{
	int fd;

	(void)state;
	fd = send_to_second();
	atomic_fetch_sub(&proxy.refs, 1); /* its generation is gone */
	no_sessions = true;
	worker_cut(&workers[1]);
	simulated_deliver();
	assert_int_equal(proxy.refs, 0);
	assert_int_equal(freed, 1);
	close(fd);
}

/* Whoever waits for a slot hears of theirs. */
static void test_their_slot_is_told(void **state)
{
	int fd;

	(void)state;
	atomic_store(&process.limit.max, 1);
	fd = send_to_second();
	assert_false(connection_limit_take(&process.limit));
	no_sessions = true;
	worker_cut(&workers[1]);
	simulated_deliver();
	assert_int_equal(slots_told, 1);
	close(fd);
}

/* Who owes a header has a place among those, too; who owes none gave it back on acceptance. */
static void test_place_of_who_owes_a_header(void **state)
{
	(void)state;
	proxy.config.accept_proxy_protocol.n = 1;
	atomic_store(&limit.awaited.max, 1);
	atomic_store(&process.awaited.max, 1);
	no_sessions = true;
	worker_cut(&workers[1]);
	for (int i = 0; i < 2; i++) {
		int fd;

		owes_header = i == 0;
		assert_true(process_await_header(&process, &proxy));
		if (!owes_header) /* as the acceptor does */
			process_settle_header(&process, &proxy);
		no_sessions = false;
		fd = send_to_second();
		no_sessions = true;
		assert_int_equal(connection_limit_used(&limit.awaited), owes_header);
		simulated_deliver();
		assert_int_equal(connection_limit_used(&limit.awaited), 0);
		assert_int_equal(connection_limit_used(&process.awaited), 0);
		close(fd);
	}
}

/* "idle" is said once, when nothing is left and nothing more comes. */
static void test_idle_when_the_last_one_is_gone(void **state)
{
	int fd;

	(void)state;
	fd = send_to_second();
	no_sessions = true;
	simulated_deliver();
	worker_finish(&workers[1]);
	simulated_deliver();
	assert_int_equal(idle, 0);
	worker_cut(&workers[1]);
	simulated_deliver();
	assert_int_equal(idle, 1);
	close(fd);
}

#define each(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(test_whoever_has_the_fewest),
		each(test_not_ready_without_memory),
		each(test_served_once_there_is_memory),
		each(test_without_memory_to_wait),
		each(test_cut_while_they_wait),
		each(test_turned_away_with_the_last_reference),
		each(test_their_slot_is_told),
		each(test_place_of_who_owes_a_header),
		each(test_idle_when_the_last_one_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
