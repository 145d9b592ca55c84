/* SPDX-License-Identifier: MIT */
/*
 * Listeners without an address: of the program's own operations, lib/custom.c,
 * and in memory, lib/memory.c.
 */
#include "sockets.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include <sockfront/memory.h>

/* A transport of this file's own: gives what the test says. */
struct transport {
	int fd;
	int error;
	int accepted;
	int closed;
};

static int transport_accept(void *data, struct sfront_connection *ret_connection)
{
	struct transport *transport = data;

	if (transport->error)
		return transport->error;
	*ret_connection = (struct sfront_connection){ .read_fd = -1, .write_fd = -1 };
	transport->accepted++;
	return 0;
}

static void transport_close(void *data)
{
	struct transport *transport = data;

	transport->closed++;
	close(transport->fd);
}

static int transport_local(void *data, struct sfront_sockaddr *ret)
{
	(void)data;
	*ret = (struct sfront_sockaddr){ .len = sizeof(ret->sa.in) };
	ret->sa.in.sin_family = AF_INET;
	return 0;
}

static const struct sfront_listener_ops ops = {
	.size = sizeof(ops),
	.accept = transport_accept,
	.close = transport_close,
	.local = transport_local,
};

static void test_operations(void **state)
{
	struct transport transport = { .fd = eventfd(0, EFD_CLOEXEC) };
	struct sfront_connection connection;
	struct sfront_listener *listener;
	struct sfront_sockaddr local;
	char text[32];

	(void)state;
	assert_int_equal(
		sfront_listener_new(&ops, &transport, transport.fd, "carrier:7", &listener, &why),
		0);
	assert_int_equal(sfront_listener_count(listener), 1);
	assert_int_equal(sfront_listener_fd(listener, 0), transport.fd);
	assert_int_equal(sfront_listener_kind(listener, 0), SFRONT_KINDS);
	assert_false(sfront_listener_is_single(listener, 0));
	assert_false(sfront_listener_is_inherited(listener, 0));
	assert_int_equal(sfront_listener_format(listener, 0, text, sizeof(text)), 9);
	assert_string_equal(text, "carrier:7");
	assert_int_equal(sfront_listener_local(listener, 0, &local), 0);
	assert_int_equal(local.sa.any.sa_family, AF_INET);
	assert_int_equal(sfront_listener_release(listener, 0), -EOPNOTSUPP);
	assert_int_equal(sfront_memory_connect(listener), -EINVAL);

	assert_int_equal(sfront_listener_accept(listener, &connection), 0);
	for (int error = -EAGAIN; error; error = error == -EAGAIN ? -EMFILE : 0) {
		transport.error = error;
		assert_int_equal(sfront_listener_accept(listener, &connection), error);
	}
	transport.error = -ESHUTDOWN;
	assert_int_equal(sfront_listener_accept(listener, &connection), -ESHUTDOWN);
	assert_int_equal(transport.accepted, 1);
	sfront_listener_close(listener);
	assert_int_equal(transport.closed, 1);
}

/* A program of another version of the library has a structure of another size. */
static void test_operations_of_another_size(void **state)
{
	struct {
		struct sfront_listener_ops ops;
		void *later;
	} larger = { .ops = ops };
	struct sfront_listener_ops smaller = ops;
	struct transport transport = { .fd = eventfd(0, EFD_CLOEXEC) };
	struct sfront_listener *listener;
	struct sfront_sockaddr local;

	(void)state;
	smaller.size = offsetof(struct sfront_listener_ops, local);
	assert_int_equal(
		sfront_listener_new(&smaller, &transport, transport.fd, "", &listener, &why), 0);
	assert_int_equal(sfront_listener_local(listener, 0, &local), -ENOENT);
	sfront_listener_close(listener);
	transport.fd = eventfd(0, EFD_CLOEXEC);
	larger.ops.size = sizeof(larger);
	assert_int_equal(
		sfront_listener_new(&larger.ops, &transport, transport.fd, "", &listener, &why), 0);
	sfront_listener_close(listener);
	assert_int_equal(transport.closed, 2);
}

static void test_bad_operations(void **state)
{
	struct sfront_listener_ops no_accept = { .size = sizeof(no_accept) }, no_size = ops;
	struct transport transport = { .fd = -1 };
	struct sfront_listener *listener;
	char text[SFRONT_ADDRESS_TEXT_SIZE + 1];

	(void)state;
	no_size.size = 0;
	assert_int_equal(sfront_listener_new(&no_accept, NULL, 0, "", &listener, &why), -EINVAL);
	assert_int_equal(sfront_listener_new(&no_size, NULL, 0, "", &listener, &why), -EINVAL);
	assert_int_equal(sfront_listener_new(&ops, &transport, -1, "", &listener, &why), -EINVAL);
	assert_contains(why.message, "descriptor");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(sfront_listener_new(&ops, &transport, 0, text, &listener, NULL), -EINVAL);
	assert_int_equal(transport.closed, 0);
}

static void test_memory(void **state)
{
	struct sfront_connection connection[3];
	struct sfront_credentials credentials;
	struct sfront_listener *listener;
	int clients[3];
	char text[64];

	(void)state;
	assert_int_equal(sfront_memory_listener_new(&listener, &why), 0);
	sfront_listener_format(listener, 0, text, sizeof(text));
	assert_string_equal(text, "memory");
	assert_int_equal(sfront_listener_accept(listener, &connection[0]), -EAGAIN);
	assert_false(is_readable(sfront_listener_fd(listener, 0)));
	for (int i = 0; i < 3; i++) {
		clients[i] = sfront_memory_connect(listener);
		assert_true(clients[i] >= 0);
		assert_true(is_close_on_exec(clients[i]) && !is_nonblocking(clients[i]));
	}
	for (int i = 0; i < 3; i++) {
		assert_true(is_readable(sfront_listener_fd(listener, 0)));
		assert_int_equal(sfront_listener_accept(listener, &connection[i]), 0);
	}
	assert_false(is_readable(sfront_listener_fd(listener, 0)));
	for (int i = 0; i < 3; i++) { /* in the order in which they came */
		assert_true(carries(clients[i], connection[i].read_fd));
		assert_true(carries(connection[i].write_fd, clients[i]));
		assert_true(is_nonblocking(connection[i].read_fd));
		assert_int_equal(sfront_connection_credentials(&connection[i], &credentials), 0);
		assert_int_equal(credentials.pid, getpid());
		sfront_connection_close(&connection[i]);
		close(clients[i]);
	}
	sfront_listener_close(listener);
}

static void test_memory_closes_who_waits(void **state)
{
	struct sfront_listener *listener;
	int client;
	char byte;

	(void)state;
	assert_int_equal(sfront_memory_listener_new(&listener, &why), 0);
	client = sfront_memory_connect(listener);
	sfront_listener_close(listener);
	assert_int_equal(read(client, &byte, 1), 0);
	close(client);
}

#define PER_THREAD 200

static void *connect_often(void *listener)
{
	for (int i = 0; i < PER_THREAD; i++)
		close(sfront_memory_connect(listener));
	return NULL;
}

/* Nobody is lost, nobody comes twice. */
static void test_memory_and_threads(void **state)
{
	struct sfront_listener *listener;
	struct sfront_connection connection;
	struct pollfd waiting = { .events = POLLIN };
	pthread_t threads[3];
	int accepted = 0;

	(void)state;
	assert_int_equal(sfront_memory_listener_new(&listener, &why), 0);
	waiting.fd = sfront_listener_fd(listener, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, connect_often, listener), 0);
	while (accepted < 3 * PER_THREAD && poll(&waiting, 1, 10000) == 1) {
		if (sfront_listener_accept_at(listener, 0, &connection) < 0)
			continue;
		accepted++;
		sfront_connection_close(&connection);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(accepted, 3 * PER_THREAD);
	assert_int_equal(sfront_listener_accept(listener, &connection), -EAGAIN);
	sfront_listener_close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_operations),
		counted(test_operations_of_another_size),
		counted(test_bad_operations),
		counted(test_memory),
		counted(test_memory_closes_who_waits),
		counted(test_memory_and_threads),
	};

	return cmocka_run_group_tests_name("custom", tests, NULL, NULL);
}
