/* SPDX-License-Identifier: MIT */
/*
 * What is asked of the kernel for a socket to each kind of backend, and what its answers
 * mean.  No socket is made: vsock, in particular, reaches beyond this machine.
 */
#include "tests/unit/descriptors.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/server.h"
#include "daemon/backend/dial.h"
#include "daemon/backend/loop_guard.h"
#include "daemon/backend/mux.h"
#include "daemon/backend/target.h"

#define SOCKET 1000

static struct {
	char trace[256];
	struct sfront_sockaddr to; /* what connect() was asked for */
	int socket_error, connect_error;
	int peer_error;      /* of getpeername() */
	int pending_error;   /* what SO_ERROR says */
	int asked, answered; /* what mux_ask() and mux_read() return */
	bool open;
} scene;

static struct dial_options options;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
	size_t length = strlen(scene.trace);
	va_list args;

	if (length > 0)
		scene.trace[length++] = ' ';
	va_start(args, format);
	vsnprintf(scene.trace + length, sizeof(scene.trace) - length, format, args);
	va_end(args);
}

static int result(int error, int value)
{
	errno = error;
	return error != 0 ? -1 : value;
}

int __wrap_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol)
{
	assert_int_equal(type, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_int_equal(protocol, 0);
	note("socket%d", family);
	scene.open = scene.socket_error == 0;
	return result(scene.socket_error, SOCKET);
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	if (fd != SOCKET)
		return __real_close(fd);
	assert_true(scene.open);
	scene.open = false;
	note("close");
	return 0;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	(void)value;
	(void)len;
	assert_int_equal(fd, SOCKET);
	if (level == SOL_SOCKET && name == SO_OOBINLINE)
		note("inline");
	else if (level == SOL_SOCKET && name == SO_LINGER)
		note("linger");
	else if (level == SOL_SOCKET && name == SO_KEEPALIVE)
		note("keepalive");
	else if (level == IPPROTO_TCP && name == TCP_NODELAY)
		note("nodelay");
	else if (level == IPPROTO_TCP && name == TCP_USER_TIMEOUT)
		note("user-timeout");
	else
		assert_int_equal(level, IPPROTO_TCP);
	return 0;
}

int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	assert_int_equal(fd, SOCKET);
	note("connect");
	memset(&scene.to, 0, sizeof(scene.to));
	memcpy(&scene.to.sa, addr, len);
	scene.to.len = len;
	return result(scene.connect_error, 0);
}

int __wrap_getpeername(int fd, struct sockaddr *addr, socklen_t *len);
int __wrap_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	assert_int_equal(fd, SOCKET);
	note("peer");
	memcpy(addr, &scene.to.sa, scene.to.len);
	*len = scene.to.len;
	return result(scene.peer_error, 0);
}

int __wrap_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int __wrap_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	assert_int_equal(fd, SOCKET);
	note("self");
	memset(addr, 0, *len);
	addr->sa_family = AF_INET;
	*len = sizeof(struct sockaddr_in);
	return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	assert_int_equal(fd, SOCKET);
	assert_int_equal(level, SOL_SOCKET);
	if (name == SO_ERROR) {
		note("error");
		memcpy(value, &scene.pending_error, sizeof(scene.pending_error));
		*len = sizeof(scene.pending_error);
	}
	return 0;
}

int __wrap_mux_ask(int fd, uint32_t port);
int __wrap_mux_ask(int fd, uint32_t port)
{
	assert_int_equal(fd, SOCKET);
	note("ask%u", port);
	return scene.asked;
}

int __wrap_mux_read(int fd, struct mux_answer *answer);
int __wrap_mux_read(int fd, struct mux_answer *answer)
{
	assert_int_equal(fd, SOCKET);
	assert_int_equal(answer->length, 0);
	note("answer");
	return scene.answered;
}

/* ---- the tests ---- */

static struct sfront_sockaddr addr_of(const char *text)
{
	struct server_config server;
	struct sfront_sockaddr addr;
	struct sfront_error err;

	assert_int_equal(server_parse(text, &server, &err), 0);
	options.mux_port = server.mux_port;
	if (!target_fill(&server.address, &addr))
		assert_int_equal(sfront_address_resolve(&server.address, &addr, 1, &err), 1);
	return addr;
}

/* What dial() returns, or, if a second step is needed, what that says. */
static int connect_to(const char *text)
{
	struct sfront_sockaddr addr = addr_of(text);
	struct loop_guard *guard = loop_guard_new();
	struct mux_answer answer = { .length = 0 };
	int fd = -1, r;

	assert_non_null(guard);
	options.guard = guard;
	scene.trace[0] = '\0';
	r = dial(&options, &addr, &fd);
	assert_true(fd == -1 || fd == SOCKET);
	assert_true(scene.open == (fd == SOCKET));
	if (r == -EINPROGRESS) {
		note("/");
		scene.peer_error = scene.pending_error ? ENOTCONN : 0;
		r = dial_result(&options, &addr, fd, &answer);
	}
	loop_guard_unref(guard);
	return r;
}

static int begin(void **state)
{
	(void)state;
	scene = (typeof(scene)){ .open = false };
	options = (struct dial_options){ .nodelay = true,
					 .keepalive.on = true,
					 .user_timeout_ms = 5 };
	return 0;
}

static void test_tcp(void **state)
{
	(void)state;
	assert_int_equal(connect_to("127.0.0.1:80"), 0);
	assert_string_equal(scene.trace,
			    "socket2 inline nodelay keepalive user-timeout connect peer");
	scene.connect_error = ECONNREFUSED;
	assert_int_equal(connect_to("127.0.0.1:80"), -ECONNREFUSED);
	assert_string_equal(scene.trace,
			    "socket2 inline nodelay keepalive user-timeout connect close");
	/* it was connected, and reset since */
	scene.connect_error = EINPROGRESS;
	scene.peer_error = ENOTCONN;
	scene.pending_error = ECONNRESET;
	assert_int_equal(connect_to("127.0.0.1:80"), -ECONNRESET);
	assert_true(scene.open);
}

/* There is no handshake: nothing is asked behind connect(). */
static void test_unix(void **state)
{
	static const int errors[] = { ENOENT, ECONNREFUSED, EAGAIN, EACCES, EPROTOTYPE };

	(void)state;
	assert_int_equal(connect_to("/run/a.sock"), 0);
	assert_string_equal(scene.trace, "socket1 inline connect");
	assert_string_equal(scene.to.sa.un.sun_path, "/run/a.sock");
	assert_int_equal(scene.to.len, offsetof(struct sockaddr_un, sun_path) + 12);
	assert_int_equal(connect_to("@a"), 0);
	assert_memory_equal(scene.to.sa.un.sun_path, "\0a", 3);
	assert_int_equal(scene.to.len, offsetof(struct sockaddr_un, sun_path) + 2);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		scene.connect_error = errors[i];
		assert_int_equal(connect_to("/run/a.sock"), -errors[i]);
		assert_string_equal(scene.trace, "socket1 inline connect close");
	}
}

static void test_vsock(void **state)
{
	struct sockaddr_vm vm;

	(void)state;
	scene.connect_error = EINPROGRESS;
	scene.peer_error = ENOTCONN;
	assert_int_equal(connect_to("vsock:7:5000"), 0);
	assert_string_equal(scene.trace, "socket40 inline connect peer error / peer");
	memcpy(&vm, &scene.to.sa, sizeof(vm));
	assert_int_equal(scene.to.len, sizeof(vm));
	assert_int_equal(vm.svm_family, AF_VSOCK);
	assert_int_equal(vm.svm_cid, 7);
	assert_int_equal(vm.svm_port, 5000);
}

/* On vsock, a reset is how a port refuses on which nobody listens. */
static void test_vsock_that_refuses(void **state)
{
	static const struct {
		int error, result;
	} rows[] = {
		{ ECONNRESET, -ECONNREFUSED },
		{ ETIMEDOUT, -ETIMEDOUT },
		{ ENODEV, -ENODEV },
		{ EHOSTUNREACH, -EHOSTUNREACH },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(NULL);
		scene.connect_error = rows[i].error;
		assert_int_equal(connect_to("vsock:7:5000"), rows[i].result);
		assert_string_equal(scene.trace, "socket40 inline connect close");

		begin(NULL); /* at once, or later */
		scene.connect_error = EINPROGRESS;
		scene.peer_error = ENOTCONN;
		scene.pending_error = rows[i].error;
		assert_int_equal(connect_to("vsock:7:5000"), rows[i].result);
	}
	begin(NULL);
	scene.socket_error = EAFNOSUPPORT;
	assert_int_equal(connect_to("vsock:7:5000"), -EAFNOSUPPORT);
}

static void test_mux(void **state)
{
	(void)state;
	scene.answered = 0;
	assert_int_equal(connect_to("vsock-mux:/run/vm:52"), 0);
	assert_string_equal(scene.trace, "socket1 inline connect ask52 / answer");
	assert_string_equal(scene.to.sa.un.sun_path, "/run/vm");
	assert_int_equal(dial_awaits(&options), EV_READ);
	scene.answered = -EAGAIN;
	assert_int_equal(connect_to("vsock-mux:/run/vm:52"), -EINPROGRESS);
	scene.answered = -ECONNREFUSED;
	assert_int_equal(connect_to("vsock-mux:/run/vm:52"), -ECONNREFUSED);
	scene.asked = -EPIPE;
	assert_int_equal(connect_to("vsock-mux:/run/vm:52"), -EPIPE);
	assert_string_equal(scene.trace, "socket1 inline connect ask52 close");
	scene.connect_error = ENOENT;
	assert_int_equal(connect_to("vsock-mux:/run/vm:52"), -ENOENT);
	assert_string_equal(scene.trace, "socket1 inline connect close");
}

static void test_others_await_to_be_writable(void **state)
{
	(void)state;
	(void)addr_of("/run/a.sock");
	assert_int_equal(dial_awaits(&options), EV_WRITE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_tcp, begin),
		cmocka_unit_test_setup(test_unix, begin),
		cmocka_unit_test_setup(test_vsock, begin),
		cmocka_unit_test_setup(test_vsock_that_refuses, begin),
		cmocka_unit_test_setup(test_mux, begin),
		cmocka_unit_test_setup(test_others_await_to_be_writable, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
