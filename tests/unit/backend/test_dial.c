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

#include "conf/backend_source.h"
#include "conf/server.h"
#include "daemon/backend/dial.h"
#include "daemon/backend/dial_source.h"
#include "daemon/backend/loop_guard.h"
#include "daemon/backend/mux.h"
#include "daemon/backend/target.h"

#define SOCKET 1000

static struct {
	char trace[512];
	struct sfront_sockaddr to; /* what connect() was asked for */
	int socket_error, connect_error;
	int transparent_error;
	int bind_errors[4], bound; /* of each bind(), and how many there were */
	int peer_error;            /* of getpeername() */
	int pending_error;         /* what SO_ERROR says */
	int asked, answered;       /* what mux_ask() and mux_read() return */
	const struct sfront_sockaddr *client;
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
	else if (level == SOL_SOCKET && name == 83) /* SO_PASSRIGHTS, of Linux 6.16 */
		note("norights");
	else if (level == SOL_IP && name == IP_TRANSPARENT)
		return note("transparent"), result(scene.transparent_error, 0);
	else if (level == SOL_IPV6 && name == IPV6_TRANSPARENT)
		note("transparent6");
	else if (level == SOL_IP && name == IP_BIND_ADDRESS_NO_PORT)
		note("no-port");
	else if (level == IPPROTO_TCP && name == TCP_NODELAY)
		note("nodelay");
	else if (level == IPPROTO_TCP && name == TCP_USER_TIMEOUT)
		note("user-timeout");
	else
		assert_int_equal(level, IPPROTO_TCP);
	return 0;
}

int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct sfront_sockaddr from = { .len = len };
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	assert_int_equal(fd, SOCKET);
	memcpy(&from.sa, addr, len);
	sfront_sockaddr_format(&from, text, sizeof(text));
	note("bind:%s", text);
	assert_in_range(scene.bound, 0, 3);
	return result(scene.bind_errors[scene.bound++], 0);
}

void __wrap_log_line(int priority, const char *format, ...);
void __wrap_log_line(int priority, const char *format, ...)
{
	(void)priority;
	(void)format;
	note("log");
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
	r = dial(&options, scene.client, &addr, &fd);
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
	dial_source_free(options.source);
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
	assert_string_equal(scene.trace, "socket1 inline norights connect");
	assert_string_equal(scene.to.sa.un.sun_path, "/run/a.sock");
	assert_int_equal(scene.to.len, offsetof(struct sockaddr_un, sun_path) + 12);
	assert_int_equal(connect_to("@a"), 0);
	assert_memory_equal(scene.to.sa.un.sun_path, "\0a", 3);
	assert_int_equal(scene.to.len, offsetof(struct sockaddr_un, sun_path) + 2);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		scene.connect_error = errors[i];
		assert_int_equal(connect_to("/run/a.sock"), -errors[i]);
		assert_string_equal(scene.trace, "socket1 inline norights connect close");
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
	assert_string_equal(scene.trace, "socket1 inline norights connect ask52 / answer");
	assert_string_equal(scene.to.sa.un.sun_path, "/run/vm");
	assert_int_equal(dial_awaits(&options), EV_READ);
	scene.answered = -EAGAIN;
	assert_int_equal(connect_to("vsock-mux:/run/vm:52"), -EINPROGRESS);
	scene.answered = -ECONNREFUSED;
	assert_int_equal(connect_to("vsock-mux:/run/vm:52"), -ECONNREFUSED);
	scene.asked = -EPIPE;
	assert_int_equal(connect_to("vsock-mux:/run/vm:52"), -EPIPE);
	assert_string_equal(scene.trace, "socket1 inline norights connect ask52 close");
	scene.connect_error = ENOENT;
	assert_int_equal(connect_to("vsock-mux:/run/vm:52"), -ENOENT);
	assert_string_equal(scene.trace, "socket1 inline norights connect close");
}

static void come_from(const char *words)
{
	struct backend_source config = { 0 };
	struct sfront_error err;

	assert_int_equal(backend_source_add(&config, words, &err), 0);
	options = (struct dial_options){ .source = dial_source_new(&config, &err) };
	assert_non_null(options.source);
	backend_source_clear(&config);
}

static void test_addresses_to_come_from_take_turns(void **state)
{
	(void)state;
	come_from("10.0.0.1 10.0.0.2");
	for (int i = 1; i <= 4; i++) {
		scene.bound = 0;
		assert_int_equal(connect_to("192.0.2.1:80"), 0);
		assert_string_equal(scene.trace,
				    i % 2 ? "socket2 inline no-port bind:10.0.0.1:0 connect peer"
					  : "socket2 inline no-port bind:10.0.0.2:0 connect peer");
	}
}

/* One that is not there, or has no port left, and one of another family. */
static void test_another_address_is_tried(void **state)
{
	(void)state;
	come_from("10.0.0.1 2001:db8::1 10.0.0.2");
	scene.bind_errors[0] = EADDRNOTAVAIL;
	assert_int_equal(connect_to("192.0.2.1:80"), 0);
	assert_string_equal(scene.trace,
			    "socket2 inline no-port bind:10.0.0.1:0 log close socket2 inline close "
			    "socket2 inline no-port bind:10.0.0.2:0 connect peer");
	scene.bound = 0;
	scene.connect_error = EADDRNOTAVAIL;
	assert_int_equal(connect_to("192.0.2.1:80"), -EADDRNOTAVAIL);
	assert_int_equal(scene.bound, 2);
	scene.bound = 0;
	scene.bind_errors[0] = 0;
	scene.connect_error = ECONNREFUSED;
	assert_int_equal(connect_to("192.0.2.1:80"), -ECONNREFUSED);
	assert_int_equal(scene.bound, 1);
}

static void test_none_of_its_family_to_come_from(void **state)
{
	(void)state;
	come_from("10.0.0.1 10.0.0.2");
	assert_int_equal(connect_to("[2001:db8::7]:80"), -EAFNOSUPPORT);
	assert_string_equal(scene.trace, "socket10 inline close socket10 inline close");
}

/* dial_source_new() asks for the right to it, here with a socket of this test's. */
static void come_from_client(const char *client)
{
	static struct sfront_sockaddr addr;

	begin(NULL);
	come_from("client");
	addr = (struct sfront_sockaddr){ 0 };
	if (client)
		addr = addr_of(client);
	scene.client = &addr;
}

static void test_client_is_where_it_comes_from(void **state)
{
	(void)state;
	come_from_client("10.7.7.1:4711");
	assert_int_equal(connect_to("192.0.2.1:80"), 0);
	assert_string_equal(scene.trace, "socket2 inline transparent no-port bind:10.7.7.1:0 "
					 "connect peer");
	come_from_client("[2001:db8::1]:4711");
	assert_int_equal(connect_to("[2001:db8::7]:80"), 0);
	assert_string_equal(scene.trace, "socket10 inline transparent6 no-port "
					 "bind:[2001:db8::1]:0 connect peer");
	come_from_client("127.0.0.1:4711");
	assert_int_equal(connect_to("127.0.0.2:80"), 0);
	assert_non_null(strstr(scene.trace, "bind:127.0.0.1:0"));
}

static void test_client_that_cannot_be_where_it_comes_from(void **state)
{
	static const char *const rows[][2] = {
		{ "10.7.7.1:4711", "[2001:db8::7]:80" },
		{ "[2001:db8::1]:4711", "192.0.2.1:80" },
		{ "127.0.0.1:4711", "192.0.2.1:80" },
		{ "[::1]:4711", "[2001:db8::7]:80" },
		{ NULL, "192.0.2.1:80" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		come_from_client(rows[i][0]);
		assert_int_equal(connect_to(rows[i][1]), 0);
		assert_null(strstr(scene.trace, "bind"));
		assert_null(strstr(scene.trace, "transparent"));
	}
}

static void test_without_the_right_to_clients_addresses(void **state)
{
	const struct backend_source config = { .is_client = true };
	struct sfront_error err = { "" };

	(void)state;
	scene.transparent_error = EPERM;
	assert_null(dial_source_new(&config, &err));
	assert_int_equal(errno, EPERM);
	assert_non_null(strstr(err.message, "CAP_NET_ADMIN"));
	assert_non_null(strstr(err.message, "AmbientCapabilities="));
	assert_false(scene.open);
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
		cmocka_unit_test_setup(test_addresses_to_come_from_take_turns, begin),
		cmocka_unit_test_setup(test_another_address_is_tried, begin),
		cmocka_unit_test_setup(test_none_of_its_family_to_come_from, begin),
		cmocka_unit_test_setup(test_client_is_where_it_comes_from, begin),
		cmocka_unit_test_setup(test_client_that_cannot_be_where_it_comes_from, begin),
		cmocka_unit_test_setup(test_without_the_right_to_clients_addresses, begin),
		cmocka_unit_test_setup(test_others_await_to_be_writable, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
