/* SPDX-License-Identifier: MIT */
/*
 * Listeners in general and over TCP: lib/listener.c, lib/socket.c, lib/kind/tcp.c.
 * Host names are answered by this file, so that there are some with several
 * addresses; accept4() and bind() fail when they are told to.
 */
#include "sockets.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>

static const struct {
	const char *host;
	int error;
	const char *addresses[4];
} hosts[] = {
	{ "localhost", 0, { "127.0.0.1" } },
	{ "two.test", 0, { "127.0.0.1", "127.0.0.2", "127.0.0.1" } },
	{ "partly.test", 0, { "203.0.113.7", "127.0.0.1" } },
	{ "elsewhere.test", 0, { "203.0.113.7", "203.0.113.8" } },
	{ "busy.test", EAI_AGAIN, { NULL } },
};

static struct addrinfo *new_answer(const char *address, struct addrinfo *next)
{
	struct addrinfo *ai = calloc(1, sizeof(*ai) + sizeof(struct sockaddr_in));
	struct sockaddr_in *in = (void *)(ai + 1);

	in->sin_family = AF_INET;
	inet_pton(AF_INET, address, &in->sin_addr);
	ai->ai_family = AF_INET;
	ai->ai_addr = (void *)in;
	ai->ai_addrlen = sizeof(*in);
	ai->ai_next = next;
	return ai;
}

/* In the place of the C library's. */
int getaddrinfo(const char *restrict name, const char *restrict service,
		const struct addrinfo *restrict req, struct addrinfo **restrict pai)
{
	(void)service;
	(void)req;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		if (strcmp(hosts[i].host, name) != 0)
			continue;
		*pai = NULL;
		for (size_t j = 4; j > 0; j--)
			if (hosts[i].addresses[j - 1])
				*pai = new_answer(hosts[i].addresses[j - 1], *pai);
		return hosts[i].error;
	}
	return EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *ai)
{
	while (ai) {
		struct addrinfo *next = ai->ai_next;

		free(ai);
		ai = next;
	}
}

static int failure;
static int failures_left;

static void fail_accept(int error, int times)
{
	failure = error;
	failures_left = times;
}

/* In the place of the C library's: fails as told, then does what it should. */
int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *restrict addr_len, int flags)
{
	if (failures_left > 0) {
		failures_left--;
		errno = failure;
		return -1;
	}
	return (int)syscall(SYS_accept4, fd, addr, addr_len, flags);
}

static unsigned int bind_to_fail; /* the how manieth of those to come; 0: none */

/* In the place of the C library's: one port is taken when it is told so. */
int bind(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	if (bind_to_fail > 0 && --bind_to_fail == 0) {
		errno = EADDRINUSE;
		return -1;
	}
	return (int)syscall(SYS_bind, fd, addr, len);
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

static unsigned int port_at(const struct sfront_listener *listener, size_t index)
{
	struct sfront_sockaddr local;

	assert_int_equal(sfront_listener_local(listener, index, &local), 0);
	return ntohs(local.sa.any.sa_family == AF_INET ? local.sa.in.sin_port
						       : local.sa.in6.sin6_port);
}

static void assert_text(const struct sfront_listener *listener, size_t index, const char *host)
{
	char expected[64], text[SFRONT_ADDRESS_TEXT_SIZE];

	snprintf(expected, sizeof(expected), "%s:%u", host, port_at(listener, index));
	assert_int_equal(sfront_listener_format(listener, index, text, sizeof(text)),
			 strlen(expected));
	assert_string_equal(text, expected);
}

static void test_ipv4(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct sfront_connection connection;
	struct sfront_sockaddr local;
	char text[8] = "unset";
	int fd = sfront_listener_fd(listener, 0);

	(void)state;
	assert_int_equal(sfront_listener_count(listener), 1);
	assert_int_not_equal(port_at(listener, 0), 0);
	assert_text(listener, 0, "127.0.0.1");
	assert_true(is_nonblocking(fd) && is_close_on_exec(fd));
	assert_false(sfront_listener_is_single(listener, 0));
	assert_false(sfront_listener_is_inherited(listener, 0));
	assert_int_equal(sfront_listener_accept(listener, &connection), -EAGAIN);
	assert_true(serves(listener, 0));

	assert_int_equal(sfront_listener_fd(listener, 1), -1);
	assert_int_equal(sfront_listener_local(listener, 1, &local), -ENOENT);
	assert_int_equal(sfront_listener_format(listener, 1, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	assert_int_equal(sfront_listener_accept_at(listener, 1, &connection), -EINVAL);
	assert_string_equal(warnings, "");
	sfront_listener_close(listener);
	sfront_listener_close(NULL);
}

static void test_ipv6(void **state)
{
	struct sfront_listener *listener = NULL;

	(void)state;
	skip_unless(has_ipv6(), "IPv6");
	listener = must_open("[::1]:0", "");
	assert_text(listener, 0, "[::1]");
	assert_true(serves(listener, 0));
	sfront_listener_close(listener);
}

/* A client over 127.0.0.1, whatever the listener is bound to. */
static int connect_v4(const struct sfront_listener *listener)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons((uint16_t)port_at(listener, 0)) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	r = connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0 ? -errno : fd;
	if (r < 0)
		close(fd);
	return r;
}

static void test_every_address(void **state)
{
	static const char *const texts[] = { "*:0", ":0" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct sfront_listener *listener = must_open(texts[i], "");
		struct sfront_connection connection;
		char text[SFRONT_ADDRESS_TEXT_SIZE];
		int client = connect_v4(listener);

		assert_text(listener, 0, has_ipv6() ? "*" : "0.0.0.0");
		assert_true(client >= 0);
		assert_int_equal(sfront_listener_accept(listener, &connection), 0);
		assert_int_equal(connection.read_stream, SFRONT_STREAM_TCP);
		sfront_connection_format(&connection, text, sizeof(text));
		assert_int_equal(strncmp(text, "127.0.0.1:", 10), 0);
		sfront_connection_close(&connection);
		close(client);
		sfront_listener_close(listener);
	}
}

static void test_only_v6(void **state)
{
	struct sfront_listener *listener = NULL;

	(void)state;
	skip_unless(has_ipv6(), "IPv6");
	listener = must_open("*:0", "tcp-only-v6");
	assert_text(listener, 0, "[::]");
	assert_int_equal(connect_v4(listener), -ECONNREFUSED);
	sfront_listener_close(listener);
	listener = must_open("[::]:0", "tcp-only-v6=no");
	assert_text(listener, 0, "[::]");
	assert_int_equal(socket_option(sfront_listener_fd(listener, 0), IPPROTO_IPV6, IPV6_V6ONLY),
			 0);
	sfront_listener_close(listener);
}

static void test_name_of_several(void **state)
{
	struct sfront_listener *listener = must_open("two.test:0", "");

	(void)state;
	assert_int_equal(sfront_listener_count(listener), 2);
	assert_text(listener, 0, "127.0.0.1");
	assert_text(listener, 1, "127.0.0.2");
	assert_int_equal(port_at(listener, 0), port_at(listener, 1));
	assert_true(serves(listener, 0));
	assert_true(serves(listener, 1));
	sfront_listener_close(listener);
}

/* The port that the kernel chose on the first address: both get another one. */
static void test_port_that_is_taken_on_the_second(void **state)
{
	struct sfront_listener *listener;
	char text[32];

	(void)state;
	bind_to_fail = 2;
	listener = must_open("two.test:0", "");
	assert_int_equal(sfront_listener_count(listener), 2);
	assert_text(listener, 0, "127.0.0.1");
	assert_text(listener, 1, "127.0.0.2");
	assert_int_equal(port_at(listener, 0), port_at(listener, 1));
	snprintf(text, sizeof(text), "two.test:%u", port_at(listener, 0));
	sfront_listener_close(listener);

	/* One that was asked for is that or none, and the first address is free again. */
	bind_to_fail = 2;
	assert_int_equal(try_open(text, "", &listener), -EADDRINUSE);
	assert_contains(why.message, "127.0.0.2");
	sfront_listener_close(must_open(text, ""));
}

static void test_name_partly_here(void **state)
{
	struct sfront_listener *listener = must_open("partly.test:0", "");

	(void)state;
	assert_int_equal(sfront_listener_count(listener), 1);
	assert_text(listener, 0, "127.0.0.1");
	assert_contains(warnings, "partly.test:0");
	assert_contains(warnings, "203.0.113.7:0");
	assert_string_equal(why.message, ""); /* untouched, although one attempt failed */
	sfront_listener_close(listener);

	assert_int_equal(try_open("elsewhere.test:0", "", &listener), -EADDRNOTAVAIL);
	assert_contains(why.message, "elsewhere.test:0");
	assert_contains(why.message, "no such address");
	assert_int_equal(try_open("nowhere.test:0", "", &listener), -ENOENT);
	assert_contains(why.message, "nowhere.test");
	assert_int_equal(try_open("busy.test:0", "", &listener), -EAGAIN);
	assert_contains(why.message, "busy.test");
}

static void test_refused(void **state)
{
	struct sfront_listener *first = must_open("127.0.0.1:0", ""), *second;
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	(void)state;
	sfront_listener_format(first, 0, text, sizeof(text));
	assert_int_equal(try_open(text, "", &second), -EADDRINUSE);
	assert_contains(why.message, text);
	assert_contains(why.message, "already");
	assert_int_equal(try_open("203.0.113.7:80", "", &second), -EADDRNOTAVAIL);
	assert_contains(why.message, "203.0.113.7:80");
	assert_int_equal(try_open("127.0.0.1:no-such-service", "", &second), -ENOENT);
	assert_int_equal(try_open("127.0.0.1:0", "bind-to-device=no-such-dev", &second), -ENODEV);
	assert_contains(why.message, "bind-to-device");
	assert_int_equal(try_open("127.0.0.1:0", "tcp-congestion=no-such-cc", &second), -ENOENT);
	assert_contains(why.message, "tcp-congestion");
	assert_int_equal(sfront_listener_open(NULL, 0, NULL, &second, &why), -EINVAL);
	assert_contains(why.message, "no address");
	sfront_listener_close(first);
}

static void unprivileged(void)
{
	struct sfront_listener *listener = NULL;

	CHECK(setgid(65534) == 0 && setuid(65534) == 0);
	if (try_open("127.0.0.1:1", "", &listener) == 0)
		exit(0); /* a machine where everybody may bind every port */
	CHECK_CONTAINS(why.message, "127.0.0.1:1");
	CHECK_CONTAINS(why.message, "CAP_NET_BIND_SERVICE");
	CHECK(try_open("127.0.0.1:0", "ip-transparent", &listener) == -EPERM);
	CHECK_CONTAINS(why.message, "CAP_NET_ADMIN");
}

static void test_unprivileged(void **state)
{
	(void)state;
	skip_unless(getuid() == 0, "root");
	in_child(unprivileged);
}

static void test_reuse_port(void **state)
{
	struct sfront_listener *first = must_open("127.0.0.1:0", "tcp-reuse-port"), *second;
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	(void)state;
	sfront_listener_format(first, 0, text, sizeof(text));
	second = must_open(text, "tcp-reuse-port");
	sfront_listener_close(second);
	sfront_listener_close(first);
}

/* Set once on the listener, seen on every accepted socket. */
static void test_inherited_by_accepted(void **state)
{
	struct sfront_listener *listener =
		must_open("127.0.0.1:0", "tcp-keepalive=90000:7:3000 recv-buffer-size=40000 "
					 "send-buffer-size=50000 tcp-user-timeout=1500ms "
					 "type-of-service=16");
	struct sfront_connection connection;
	int client = connect_to(listener, 0), fd;

	(void)state;
	assert_int_equal(sfront_listener_accept(listener, &connection), 0);
	fd = connection.read_fd;
	assert_int_equal(connection.write_fd, fd);
	assert_true(socket_option(fd, IPPROTO_TCP, TCP_NODELAY) > 0);
	assert_int_equal(socket_option(fd, SOL_SOCKET, SO_OOBINLINE), 1);
	assert_int_equal(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 90);
	assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT), 7);
	assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 3);
	assert_int_equal(socket_option(fd, SOL_SOCKET, SO_RCVBUF), 80000);
	assert_int_equal(socket_option(fd, SOL_SOCKET, SO_SNDBUF), 100000);
	assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 1500);
	assert_int_equal(socket_option(fd, IPPROTO_IP, IP_TOS), 16);
	assert_string_equal(warnings, "");
	sfront_connection_close(&connection);
	assert_int_equal(connection.read_fd, -1);
	close(client);
	sfront_listener_close(listener);
}

static void test_on_listener(void **state)
{
	struct sfront_listener *listener =
		must_open("127.0.0.1:0", "tcp-nodelay=no tcp-fast-open=9 tcp-defer-accept=1ms "
					 "tcp-listen-backlog=5 bind-to-device=lo");
	int fd = sfront_listener_fd(listener, 0);
	struct tcp_info info;
	socklen_t len = sizeof(info);

	(void)state;
	assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_FASTOPEN), 9);
	assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 1);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	assert_int_equal(info.tcpi_sacked, 5); /* of a listening socket: its backlog */
	sfront_listener_close(listener);

	listener = must_open("203.0.113.7:0", "ip-freebind");
	assert_text(listener, 0, "203.0.113.7");
	sfront_listener_close(listener);
}

static void test_warnings(void **state)
{
	const char *const both[] = { "127.0.0.1:0", "@sockfront-test-warnings", NULL };
	struct sfront_listener *listener = NULL;

	(void)state;
	listener = must_open("127.0.0.1:0", "unix-listen-chmod=group unix-listen-unlink "
					    "sd-accept-ignore-environment tcp-only-v6");
	assert_contains(warnings, "unix-listen-chmod has no effect on 127.0.0.1:0\n");
	assert_contains(warnings, "unix-listen-unlink has no effect on 127.0.0.1:0\n");
	assert_contains(warnings, "sd-accept-ignore-environment has no effect");
	assert_contains(warnings, "tcp-only-v6 has no effect");
	sfront_listener_close(listener);

	assert_int_equal(try_open_all(both, "tcp-nodelay send-buffer-size=9000", &listener), 0);
	assert_string_equal(warnings, "");
	sfront_listener_close(listener);
	assert_int_equal(try_open_all(both, "unix-listen-chmod=owner", &listener), 0);
	assert_string_equal(warnings, "unix-listen-chmod has no effect on 127.0.0.1:0, "
				      "@sockfront-test-warnings\n");
	sfront_listener_close(listener);

	listener = must_open("127.0.0.1:0",
			     "recv-buffer-size=2147483647 tcp-listen-backlog=2147483647");
	assert_contains(warnings, "recv-buffer-size is cut down from 2147483647");
	assert_contains(warnings, "tcp-listen-backlog is cut down from 2147483647");
	assert_contains(warnings, "somaxconn");
	sfront_listener_close(listener);
}

static void parse_all(const char *const *texts, struct sfront_address *ret)
{
	for (; *texts; texts++)
		assert_int_equal(sfront_address_parse(*texts, ret++, &why), 0);
}

/* What is most likely meant as seconds, and is not. */
static void test_keepalive_of_milliseconds(void **state)
{
	static const char *const warned[] = { "tcp-keepalive=60", "tcp-keepalive=60:3:5000" };
	static const char *const good[] = { "tcp-keepalive=60s:3:5s", "tcp-keepalive=60000",
					    "tcp-keepalive=60ms", "tcp-keepalive=" };

	(void)state;
	for (size_t i = 0; i < sizeof(warned) / sizeof(warned[0]); i++) {
		sfront_listener_close(must_open("127.0.0.1:0", warned[i]));
		assert_contains(warnings, "in milliseconds and rounded up to one second");
		assert_contains(warnings, "seconds are written as in 60s");
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		sfront_listener_close(must_open("127.0.0.1:0", good[i]));
		assert_string_equal(warnings, "");
	}
}

static void test_one_each(void **state)
{
	const char *const texts[] = { "127.0.0.1:0", "@sockfront-test-each", "127.0.0.1:0", NULL };
	const char *const bad[] = { "127.0.0.1:0", "@sockfront-test-each-2", "203.0.113.7:80",
				    NULL };
	struct sfront_options *options = options_of("unix-listen-chmod=owner");
	struct sfront_options *one = options_of("tcp-only-v6");
	struct sfront_listener *listeners[3] = { NULL }, *kept;
	struct sfront_address addresses[3];

	(void)state;
	sfront_options_on_warning(options, collect_warning, NULL);
	sfront_options_on_warning(one, collect_warning, NULL);
	warnings[0] = '\0';
	kept = listeners[1] = must_open("@sockfront-test-each", "");
	parse_all(texts, addresses);
	assert_int_equal(sfront_listener_open_each(addresses, 3, options, listeners, &why), 0);
	assert_ptr_equal(listeners[1], kept);
	assert_int_equal(sfront_listener_kind(listeners[0], 0), SFRONT_TCP);
	assert_int_equal(sfront_listener_kind(listeners[2], 0), SFRONT_TCP);
	assert_ptr_not_equal(listeners[0], listeners[2]);
	assert_contains(warnings, "unix-listen-chmod has no effect on 127.0.0.1:0, ");
	sfront_listener_close(listeners[0]);
	sfront_listener_close(listeners[2]);

	/* The one that was open stays so, and nothing else does. */
	listeners[0] = listeners[2] = NULL;
	parse_all(bad, addresses);
	assert_int_equal(sfront_listener_open_each(addresses, 3, one, listeners, &why),
			 -EADDRNOTAVAIL);
	assert_contains(why.message, "203.0.113.7:80");
	assert_null(listeners[0]);
	assert_null(listeners[2]);
	assert_ptr_equal(listeners[1], kept);
	assert_int_equal(sfront_listener_count(kept), 1);
	sfront_listener_close(kept);
	sfront_options_free(options);
	sfront_options_free(one);
}

static void test_all_or_none(void **state)
{
	const char *const texts[] = { "127.0.0.1:0", "@sockfront-test-none", "203.0.113.7:80",
				      NULL };
	const char *const inetd[] = { "127.0.0.1:0", "-", NULL };
	struct sfront_listener *listener = NULL;

	(void)state;
	assert_int_equal(try_open_all(texts, "", &listener), -EADDRNOTAVAIL);
	assert_null(listener);
	assert_contains(why.message, "203.0.113.7:80");
	listener = must_open("@sockfront-test-none", "");
	sfront_listener_close(listener);
	assert_int_equal(try_open_all(inetd, "", &listener), -EINVAL);
	assert_contains(why.message, "stdin");
}

static void test_what_stands_together(void **state)
{
	struct sfront_listener *listeners[2] = { NULL, NULL };
	struct sfront_address addresses[2];

	(void)state;
	assert_int_equal(sfront_address_parse("-", &addresses[0], NULL), 0);
	assert_int_equal(sfront_address_parse("127.0.0.1:0", &addresses[1], NULL), 0);
	assert_int_equal(sfront_listener_open_each(addresses, 2, NULL, listeners, &why), -EINVAL);
	assert_contains(why.message, "stdin");
	assert_null(listeners[0]);
	assert_null(listeners[1]);
	assert_int_equal(sfront_listener_open_each(addresses, 0, NULL, listeners, &why), -EINVAL);
	assert_contains(why.message, "no address");
}

/* Which of the clients, each of which has sent its number, is at the other end. */
static int client_of(const struct sfront_connection *connection)
{
	signed char number = -1;

	if (poll(&(struct pollfd){ .fd = connection->read_fd, .events = POLLIN }, 1, 5000) != 1 ||
	    read(connection->read_fd, &number, 1) != 1)
		return -1;
	return number;
}

/* Two clients wait at each of three sockets: no socket is asked twice before all were asked. */
static void test_fair_turns(void **state)
{
	const char *const texts[] = { "127.0.0.1:0", "@sockfront-test-fair", "127.0.0.1:0", NULL };
	struct sfront_connection connection;
	struct sfront_listener *listener = NULL;
	int clients[6], turns[3] = { 0 };

	(void)state;
	assert_int_equal(try_open_all(texts, "", &listener), 0);
	assert_int_equal(sfront_listener_count(listener), 3);
	for (char i = 0; i < 6; i++) {
		clients[(int)i] = connect_to(listener, (size_t)i / 2);
		assert_int_equal(write(clients[(int)i], &i, 1), 1);
	}
	for (int i = 0; i < 6; i++) {
		int client;

		assert_int_equal(sfront_listener_accept(listener, &connection), 0);
		client = client_of(&connection);
		assert_in_range(client, 0, 5);
		assert_int_equal(turns[client / 2]++, i / 3);
		sfront_connection_close(&connection);
	}
	assert_int_equal(sfront_listener_accept(listener, &connection), -EAGAIN);
	for (int i = 0; i < 6; i++)
		close(clients[i]);
	sfront_listener_close(listener);
}

/* Each error that a waiting client can leave behind is skipped, the client behind it is served. */
static void test_clients_that_went_away(void **state)
{
	static const int errors[] = { EINTR,       ECONNABORTED, EPROTO, ENETDOWN,
				      ENOPROTOOPT, EHOSTDOWN,    ENONET, EHOSTUNREACH,
				      EOPNOTSUPP,  ENETUNREACH,  EPERM,  ETIMEDOUT };
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct sfront_connection connection;

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fail_accept(errors[i], 3);
		assert_true(serves(listener, 0));
		assert_int_equal(failures_left, 0);
	}
	/* Not for ever: somebody else has to get a turn. */
	fail_accept(ECONNABORTED, 1000000);
	assert_int_equal(sfront_listener_accept(listener, &connection), -EAGAIN);
	assert_in_range(failures_left, 1000000 - 1000, 1000000 - 1);
	fail_accept(0, 0);
	sfront_listener_close(listener);
}

/* Where it is not one client that is forbidden but all, asking at once again is in vain. */
static void test_accepting_that_is_forbidden(void **state)
{
	static const int errors[] = { EPERM, EACCES };
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct sfront_connection connection;

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fail_accept(errors[i], 1000000);
		assert_int_equal(sfront_listener_accept(listener, &connection), -errors[i]);
		assert_in_range(failures_left, 1000000 - 1000, 1000000 - 1);
		assert_true(sfront_accept_should_pause(-errors[i]));
		fail_accept(errors[i], 3);
		assert_true(serves(listener, 0));
	}
	sfront_listener_close(listener);
}

/* No room is told to the caller, and costs the client nothing. */
static void test_no_room(void **state)
{
	static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM };
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct sfront_connection connection = { .read_fd = 4711 };

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fail_accept(errors[i], 1);
		assert_int_equal(sfront_listener_accept(listener, &connection), -errors[i]);
		assert_int_equal(connection.read_fd, 4711);
		assert_true(sfront_accept_should_pause(-errors[i]));
		assert_true(serves(listener, 0));
	}
	fail_accept(EBADF, 1);
	assert_int_equal(sfront_listener_accept(listener, &connection), -EBADF);
	assert_false(sfront_accept_should_pause(-EBADF));
	assert_false(sfront_accept_should_pause(-EAGAIN));
	assert_false(sfront_accept_should_pause(-ESHUTDOWN));
	assert_false(sfront_accept_should_pause(0));
	sfront_listener_close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_ipv4),
		counted(test_ipv6),
		counted(test_every_address),
		counted(test_only_v6),
		counted(test_name_of_several),
		counted(test_port_that_is_taken_on_the_second),
		counted(test_name_partly_here),
		counted(test_refused),
		counted(test_unprivileged),
		counted(test_reuse_port),
		counted(test_inherited_by_accepted),
		counted(test_on_listener),
		counted(test_warnings),
		counted(test_keepalive_of_milliseconds),
		counted(test_one_each),
		counted(test_all_or_none),
		counted(test_what_stands_together),
		counted(test_fair_turns),
		counted(test_clients_that_went_away),
		counted(test_accepting_that_is_forbidden),
		counted(test_no_room),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
