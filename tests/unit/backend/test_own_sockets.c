/* SPDX-License-Identifier: MIT */
/*
 * Which accepted connections are taken for our own, on simulated time and with sockets that
 * only this file knows: number N goes out from port N.
 */
#include "tests/unit/simulated.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/backend/own_sockets.h"

#define OURS     "10.0.0.1" /* what we connect from */
#define LISTENER 7000
#define ACCEPTED 60000 /* this descriptor and those behind it were accepted */

static struct {
	uint64_t cookie[ACCEPTED + 1];   /* of each descriptor; 0: it is closed */
	pid_t peer_pid;                  /* of the accepted one, over UNIX */
	struct sfront_sockaddr accepted; /* what the accepted one is bound to */
	int connect_error;
	bool elsewhere;
	unsigned int n_calls; /* of the system, for an accepted connection */
	long blocks;
	bool no_memory;
	bool accept_at_once; /* while connect() has not returned yet */
	pthread_t acceptor;
	bool found_at_once;
	atomic_bool has_looked;
} scene;

static struct sfront_sockaddr address(const char *host, unsigned int port)
{
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa.in) };

	if (inet_pton(AF_INET, host, &addr.sa.in.sin_addr) == 1) {
		addr.sa.in.sin_family = AF_INET;
		addr.sa.in.sin_port = htons((in_port_t)port);
		return addr;
	}
	memset(&addr, 0, sizeof(addr));
	addr.len = sizeof(addr.sa.in6);
	addr.sa.in6.sin6_family = AF_INET6;
	addr.sa.in6.sin6_port = htons((in_port_t)port);
	assert_int_equal(inet_pton(AF_INET6, host, &addr.sa.in6.sin6_addr), 1);
	return addr;
}

/* The acceptor of another thread, which is as fast as it can be. */
static void *accept_at_once(void *arg)
{
	struct sfront_sockaddr peer = address(OURS, 40000);

	(void)arg;
	scene.found_at_once = own_sockets_take(ACCEPTED, &peer);
	atomic_store(&scene.has_looked, true);
	return NULL;
}

int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	(void)fd;
	(void)addr;
	(void)len;
	if (scene.accept_at_once) {
		assert_int_equal(pthread_create(&scene.acceptor, NULL, accept_at_once, NULL), 0);
		for (int i = 0; i < 100 && !atomic_load(&scene.has_looked); i++)
			usleep(1000);
	}
	errno = scene.connect_error;
	return scene.connect_error ? -1 : 0;
}

int __wrap_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int __wrap_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	struct sfront_sockaddr local =
		fd == ACCEPTED ? scene.accepted : address(OURS, (unsigned int)fd);

	scene.n_calls += fd == ACCEPTED;
	memcpy(addr, &local.sa, local.len);
	*len = local.len;
	return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	assert_int_equal(level, SOL_SOCKET);
	if (name == SO_PEERCRED) {
		const struct ucred peer = { .pid = scene.peer_pid };

		assert_int_equal(fd, ACCEPTED);
		scene.n_calls++;
		memcpy(value, &peer, sizeof(peer));
		*len = sizeof(peer);
		return 0;
	}
	*len = sizeof(scene.cookie[fd]);
	assert_int_equal(name, SO_COOKIE);
	memcpy(value, &scene.cookie[fd], sizeof(scene.cookie[fd]));
	errno = EBADF;
	return scene.cookie[fd] ? 0 : -1;
}

bool __wrap_netns_is_ours(int fd);
bool __wrap_netns_is_ours(int fd)
{
	assert_int_equal(fd, ACCEPTED);
	scene.n_calls++;
	return !scene.elsewhere;
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
	if (scene.no_memory)
		return NULL;
	scene.blocks++;
	return __real_calloc(n, size);
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block)
{
	scene.blocks -= block != NULL;
	__real_free(block);
}

static int connect_to(int fd, const char *host)
{
	static uint64_t cookie = 1;
	struct sfront_sockaddr addr = address(host, LISTENER);

	scene.cookie[fd] = cookie++;
	return own_sockets_connect(fd, &addr);
}

/* A client from there was accepted at that address of ours. */
static bool arrives(const char *from, unsigned int port, const char *at)
{
	struct sfront_sockaddr peer = address(from, port);

	scene.accepted = address(at, LISTENER);
	return own_sockets_take(ACCEPTED, &peer);
}

/* The table is the process's: what a test leaves there is swept by age. */
static int begin(void **state)
{
	static uint64_t now_ms = 1000000;

	(void)state;
	now_ms += 1000000;
	simulated_reset();
	simulated.now_ms = now_ms;
	scene = (typeof(scene)){ .blocks = 0 };
	return 0;
}

static void test_comes_back_once(void **state)
{
	(void)state;
	assert_int_equal(connect_to(40000, "10.0.0.5"), 0);
	assert_true(arrives(OURS, 40000, "10.0.0.5"));
	assert_false(arrives(OURS, 40000, "10.0.0.5"));
	assert_int_equal(scene.blocks, 0);
}

static void test_others_are_served(void **state)
{
	struct sfront_sockaddr unix_peer = { .len = sizeof(sa_family_t),
					     .sa.any.sa_family = AF_UNIX };
	struct sfront_sockaddr nobody = { .len = 0 };

	(void)state;
	assert_false(arrives(OURS, 40000, "10.0.0.5"));
	assert_int_equal(scene.n_calls, 0);
	assert_int_equal(connect_to(40000, "10.0.0.5"), 0);
	scene.n_calls = 0;
	assert_false(arrives("10.0.0.9", 40000, "10.0.0.5"));
	assert_false(arrives(OURS, 40001, "10.0.0.5"));
	assert_false(arrives(OURS, 40000 + 1024, "10.0.0.5")); /* the same bucket */
	assert_false(own_sockets_take(ACCEPTED, &unix_peer));
	assert_false(own_sockets_take(ACCEPTED, &nobody));
	assert_int_equal(scene.n_calls, 0); /* no system call for any of these */
	/* a client of this machine that happens to have the port, for another address of ours */
	assert_false(arrives(OURS, 40000, "10.0.0.1"));
	scene.elsewhere = true;
	assert_false(arrives(OURS, 40000, "10.0.0.5"));
	scene.elsewhere = false;
	assert_true(arrives(OURS, 40000, "10.0.0.5"));
}

static void test_families(void **state)
{
	(void)state;
	assert_int_equal(connect_to(40000, "::ffff:10.0.0.5"), 0);
	assert_true(arrives("::ffff:" OURS, 40000, "10.0.0.5"));
	assert_int_equal(connect_to(40000, "10.0.0.5"), 0);
	assert_true(arrives("::ffff:" OURS, 40000, "::ffff:10.0.0.5"));
	assert_int_equal(connect_to(40000, "fd00::5"), 0);
	assert_true(arrives(OURS, 40000, "fd00::5"));
	/* connect() makes this machine of "every address" */
	assert_int_equal(connect_to(40000, "0.0.0.0"), 0);
	assert_true(arrives(OURS, 40000, OURS));
	assert_int_equal(connect_to(40000, "::"), 0);
	assert_true(arrives(OURS, 40000, OURS));
}

static void test_what_does_not_connect(void **state)
{
	(void)state;
	scene.connect_error = ECONNREFUSED;
	assert_int_equal(connect_to(40000, "10.0.0.5"), -ECONNREFUSED);
	assert_false(arrives(OURS, 40000, "10.0.0.5"));
	scene.connect_error = 0;
	scene.no_memory = true;
	assert_int_equal(connect_to(40000, "10.0.0.5"), -ENOMEM);
	scene.no_memory = false;
	scene.connect_error = EINPROGRESS;
	assert_int_equal(connect_to(40000, "10.0.0.5"), -EINPROGRESS);
	assert_true(arrives(OURS, 40000, "10.0.0.5"));
	assert_int_equal(scene.blocks, 0);
}

/* It may wait in our own queue for long, and be closed meanwhile. */
static void test_age(void **state)
{
	static const struct {
		uint64_t ms;
		bool closed, reused, ours;
	} rows[] = {
		{ 3600000, false, false, true }, { 59999, true, false, true },
		{ 60000, true, false, false },   { 59999, true, true, true },
		{ 60000, true, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(connect_to(40000, "10.0.0.5"), 0);
		if (rows[i].closed)
			scene.cookie[40000] = rows[i].reused ? 1 : 0;
		simulated_advance(rows[i].ms);
		assert_int_equal(arrives(OURS, 40000, "10.0.0.5"), rows[i].ours);
	}
	assert_int_equal(scene.blocks, 0);
}

static void test_accepted_before_connect_returns(void **state)
{
	(void)state;
	scene.accepted = address("10.0.0.5", LISTENER);
	scene.accept_at_once = true;
	assert_int_equal(connect_to(40000, "10.0.0.5"), 0);
	assert_int_equal(pthread_join(scene.acceptor, NULL), 0);
	assert_true(scene.found_at_once);
}

/* Connections that never come back leave nothing behind for long. */
static void test_memory(void **state)
{
	(void)state;
	for (int i = 0; i < 200000; i++) {
		int fd = 1024 + i % 20000;

		assert_int_equal(connect_to(fd, "10.0.0.5"), 0);
		assert_in_range(scene.blocks, 1, 16400);
		scene.cookie[fd] = 0;
	}
	for (int fd = 1024; fd < 21024; fd++) /* these live */
		assert_int_equal(connect_to(fd, "10.0.0.6"), 0);
	simulated_advance(60000);
	for (int fd = 30000; fd < 50000; fd++)
		assert_int_equal(connect_to(fd, "10.0.0.5"), 0);
	assert_in_range(scene.blocks, 40000, 42000);
	for (int fd = 1024; fd < 21024; fd++)
		assert_true(arrives(OURS, (unsigned int)fd, "10.0.0.6"));
}

/* Over UNIX sockets, whoever has this process's number; the kernel is asked once there is one. */
static void test_unix(void **state)
{
	const struct sfront_sockaddr peer = { .len = sizeof(sa_family_t),
					      .sa.any.sa_family = AF_UNIX };

	(void)state;
	scene.peer_pid = getpid();
	assert_false(own_sockets_take(ACCEPTED, &peer));
	assert_int_equal(scene.n_calls, 0);
	assert_int_equal(own_sockets_connect(40000, &peer), 0);
	assert_true(own_sockets_take(ACCEPTED, &peer));
	assert_true(own_sockets_take(ACCEPTED, &peer));
	scene.peer_pid = getpid() + 1;
	assert_false(own_sockets_take(ACCEPTED, &peer));
	scene.peer_pid = 0; /* of a process that this one cannot see */
	assert_false(own_sockets_take(ACCEPTED, &peer));
	scene.connect_error = EAGAIN;
	assert_int_equal(own_sockets_connect(40000, &peer), -EAGAIN);
	assert_int_equal(scene.blocks, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_comes_back_once, begin),
		cmocka_unit_test_setup(test_others_are_served, begin),
		cmocka_unit_test_setup(test_families, begin),
		cmocka_unit_test_setup(test_what_does_not_connect, begin),
		cmocka_unit_test_setup(test_age, begin),
		cmocka_unit_test_setup(test_accepted_before_connect_returns, begin),
		cmocka_unit_test_setup(test_memory, begin),
		cmocka_unit_test_setup(test_unix, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
