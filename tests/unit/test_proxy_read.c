/* SPDX-License-Identifier: MIT */
/*
 * Headers of the PROXY protocol taken off connections, and the option that says
 * there are some: lib/proxy_protocol/read.c, lib/listener.c.  What is in a header
 * is in test_proxy_protocol.c.
 */
#include "sockets.h"

#include <sys/mman.h>

#include <sockfront/proxy_protocol.h>

#define V1      "PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\n"
#define SIG     "\r\n\r\n\0\r\nQUIT\n"
#define V2      SIG "\x21\x11\0\x11\xc0\0\2\1\xc0\0\2\x0b\xdc\4\1\xbb\5\0\2id"
#define LOCAL   SIG "\x20\0\0\3xyz"
#define PAYLOAD "GET / HTTP/1.0\r\n\r\n"

#define BYTES(literal) (literal), sizeof(literal) - 1

static const struct {
	const char *bytes;
	size_t len;
	const char *peer; /* NULL: not told */
} headers[] = {
	{ BYTES(V1), "192.0.2.1:56324" },
	{ BYTES(V2), "192.0.2.1:56324" },
	{ BYTES(LOCAL), NULL },
	{ BYTES("PROXY UNKNOWN\r\n"), NULL },
};

#define HEADERS (sizeof(headers) / sizeof(headers[0]))

/* Calls of the library; and how peeks are to fail, or how many of all are to be interrupted. */
static struct {
	unsigned int peeks, reads;
	int peek_fails_with;
	unsigned int interrupted;
} calls;

static bool is_interrupted(void)
{
	if (calls.interrupted == 0)
		return false;
	calls.interrupted--;
	errno = EINTR;
	return true;
}

ssize_t __real_recv(int fd, void *buf, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t size, int flags)
{
	if (flags & MSG_PEEK)
		calls.peeks++;
	else
		calls.reads++;
	if (is_interrupted())
		return -1;
	if ((flags & MSG_PEEK) && calls.peek_fails_with) {
		errno = calls.peek_fails_with;
		return -1;
	}
	return __real_recv(fd, buf, size, flags);
}

ssize_t __real_read(int fd, void *buf, size_t size);
ssize_t __wrap_read(int fd, void *buf, size_t size);
ssize_t __wrap_read(int fd, void *buf, size_t size)
{
	calls.reads++;
	return is_interrupted() ? -1 : __real_read(fd, buf, size);
}

static char buf[SFRONT_PROXY_HEADER_MAX];

/* A connection, and the descriptor of whoever is at its other end. */
struct ends {
	struct sfront_connection connection;
	int client;
};

static struct ends unix_ends(void)
{
	struct ends ends;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(sfront_connection_from_fds(pair[0], pair[0], &ends.connection, &why), 0);
	ends.client = pair[1];
	return ends;
}

static struct ends tcp_ends(void)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct ends ends = { .client = connect_to(listener, 0) };

	assert_true(poll(&(struct pollfd){ sfront_listener_fd(listener, 0), POLLIN, 0 }, 1, 5000) ==
		    1);
	assert_int_equal(sfront_listener_accept(listener, &ends.connection), 0);
	sfront_listener_close(listener);
	return ends;
}

static struct ends pipe_ends(void)
{
	struct ends ends;
	int in[2], null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(sfront_connection_from_fds(in[0], null, &ends.connection, &why), 0);
	ends.client = in[1];
	return ends;
}

static const struct {
	struct ends (*make)(void);
	bool is_socket;
} kinds[] = { { unix_ends, true }, { tcp_ends, true }, { pipe_ends, false } };

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void send_bytes(const struct ends *ends, const char *bytes, size_t len)
{
	assert_int_equal(write(ends->client, bytes, len), len);
	/* What was sent to the loopback may take a moment. */
	assert_int_equal(poll(&(struct pollfd){ ends->connection.read_fd, POLLIN, 0 }, 1, 5000), 1);
}

static void close_ends(struct ends *ends)
{
	sfront_connection_close(&ends->connection);
	close(ends->client);
}

static void assert_peer(const struct sfront_connection *connection, const char *peer)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	assert_int_equal(connection->is_proxied, peer != NULL);
	assert_false(connection->header_due);
	if (!peer)
		return;
	sfront_sockaddr_format(&connection->peer, text, sizeof(text));
	assert_string_equal(text, peer);
	sfront_connection_format(connection, text, sizeof(text));
	assert_string_equal(text, peer);
}

/* The payload, and nothing in front of it. */
static void assert_payload(const struct ends *ends, const char *payload)
{
	char rest[256];
	ssize_t n = __real_read(ends->connection.read_fd, rest, sizeof(rest));

	assert_int_equal(n, strlen(payload));
	assert_memory_equal(rest, payload, (size_t)n);
}

static void read_whole(struct ends *ends, size_t header, bool is_socket)
{
	struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };
	struct sfront_proxy_header parsed;
	char both[512];

	memcpy(both, headers[header].bytes, headers[header].len);
	memcpy(both + headers[header].len, PAYLOAD, sizeof(PAYLOAD) - 1);
	send_bytes(ends, both, headers[header].len + sizeof(PAYLOAD) - 1);

	memset(&calls, 0, sizeof(calls));
	ends->connection.header_due = true;
	assert_int_equal(sfront_proxy_read(&ends->connection, &reader, &parsed, &why), 0);
	assert_int_equal(reader.len, headers[header].len);
	assert_peer(&ends->connection, headers[header].peer);
	assert_payload(ends, PAYLOAD);
	if (is_socket) {
		assert_int_equal(calls.peeks, 1);
		assert_int_equal(calls.reads, 1);
	} else {
		assert_int_equal(calls.peeks, 0);
		if (parsed.version == 2)
			assert_int_equal(calls.reads, 3);
	}
}

static void test_whole(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		for (size_t h = 0; h < HEADERS; h++) {
			struct ends ends = kinds[k].make();

			read_whole(&ends, h, kinds[k].is_socket);
			close_ends(&ends);
		}
	}
}

/*
 * However slowly it comes: after each byte nothing is left that would make the
 * descriptor readable, so that a level-triggered loop does not spin.
 */
static void read_bytewise(struct ends *ends, size_t header)
{
	struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };
	struct sfront_proxy_header parsed;
	size_t len = headers[header].len;
	char other[512] = "";

	assert_int_equal(sfront_proxy_read(&ends->connection, &reader, &parsed, &why), -EAGAIN);
	assert_int_equal(reader.len, 0);
	for (size_t i = 0; i + 1 < len; i++) {
		send_bytes(ends, headers[header].bytes + i, 1);
		assert_int_equal(sfront_proxy_read(&ends->connection, &reader, &parsed, &why),
				 -EAGAIN);
		assert_int_equal(reader.len, i + 1);
		assert_in_range(reader.need, i + 2, len);
		assert_false(is_readable(ends->connection.read_fd));
		assert_false(ends->connection.is_proxied);
		/* another buffer each time */
		memcpy(reader.buf == buf ? other : buf, reader.buf, reader.len);
		reader.buf = reader.buf == buf ? other : buf;
		reader.size = reader.buf == buf ? sizeof(buf) : sizeof(other);
	}
	send_bytes(ends, headers[header].bytes + len - 1, 1);
	send_bytes(ends, PAYLOAD, sizeof(PAYLOAD) - 1);
	assert_int_equal(sfront_proxy_read(&ends->connection, &reader, &parsed, &why), 0);
	assert_peer(&ends->connection, headers[header].peer);
	assert_memory_equal(reader.buf, headers[header].bytes, len);
	assert_payload(ends, PAYLOAD);
}

static void test_bytewise(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		for (size_t h = 0; h < HEADERS; h++) {
			struct ends ends = kinds[k].make();

			read_bytewise(&ends, h);
			close_ends(&ends);
		}
	}
}

static void test_two_headers(void **state)
{
	struct sfront_proxy_header parsed;

	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		struct ends ends = kinds[k].make();
		struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };

		send_bytes(&ends, BYTES(V1 V1));
		assert_int_equal(sfront_proxy_read(&ends.connection, &reader, &parsed, &why), 0);
		assert_payload(&ends, V1);
		close_ends(&ends);
	}
}

static void test_file(void **state)
{
	struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };
	struct sfront_proxy_header parsed;
	struct ends ends = { .client = memfd_create("header", MFD_CLOEXEC) };

	(void)state;
	assert_int_equal(write(ends.client, V2 PAYLOAD, sizeof(V2 PAYLOAD) - 1),
			 sizeof(V2 PAYLOAD) - 1);
	assert_int_equal(lseek(ends.client, 0, SEEK_SET), 0);
	assert_int_equal(sfront_connection_from_fds(dup(ends.client), open("/dev/null", O_WRONLY),
						    &ends.connection, &why),
			 0);
	assert_int_equal(ends.connection.read_stream, SFRONT_STREAM_FILE);
	assert_int_equal(sfront_proxy_read(&ends.connection, &reader, &parsed, &why), 0);
	assert_peer(&ends.connection, "192.0.2.1:56324");
	assert_payload(&ends, PAYLOAD);
	close_ends(&ends);
}

/* The client ends, in a header or without one; what was no header stays where it is. */
static void test_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int error;
		const char *message;
	} cases[] = {
		{ BYTES(""), -ENODATA, "ended without a PROXY protocol header" },
		{ BYTES("PROXY TCP4 1"), -ENODATA, "after 12 of at least 32 bytes" },
		{ BYTES(SIG "\x21\x11\1\0x"), -ENODATA, "after 17 of at least 272 bytes" },
		{ BYTES(PAYLOAD), -EPROTO, "\"GET / HTTP/1.0\\x0d" },
		{ BYTES(SIG "\x21\x11\x3f\xf1"), -EMSGSIZE, "16385 bytes is too long" },
	};
	struct sfront_proxy_header parsed;

	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct ends ends = kinds[k].make();
			struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };

			if (cases[i].len)
				send_bytes(&ends, cases[i].bytes, cases[i].len);
			close(ends.client);
			ends.client = -1;
			assert_int_equal(
				poll(&(struct pollfd){ ends.connection.read_fd, POLLIN, 0 }, 1,
				     5000),
				1);
			memset(&why, 0, sizeof(why));
			assert_int_equal(
				sfront_proxy_read(&ends.connection, &reader, &parsed, &why),
				cases[i].error);
			assert_contains(why.message, cases[i].message);
			if (cases[i].error == -EPROTO && kinds[k].is_socket)
				assert_payload(&ends, PAYLOAD);
			close_ends(&ends);
		}
	}
}

static void test_reset(void **state)
{
	struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };
	const struct linger at_once = { .l_onoff = 1 };
	struct sfront_proxy_header parsed;
	struct ends ends = tcp_ends();

	(void)state;
	assert_int_equal(setsockopt(ends.client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)),
			 0);
	close(ends.client);
	ends.client = -1;
	assert_int_equal(poll(&(struct pollfd){ ends.connection.read_fd, POLLIN, 0 }, 1, 5000), 1);
	assert_int_equal(sfront_proxy_read(&ends.connection, &reader, &parsed, &why), -ECONNRESET);
	assert_contains(why.message, "cannot be read: Connection reset");
	close_ends(&ends);
}

/* A buffer that is too small is told how large it has to be, and nothing is lost. */
static void test_small_buffer(void **state)
{
	struct sfront_proxy_header parsed;

	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		struct ends ends = kinds[k].make();
		struct sfront_proxy_reader reader = { .buf = buf, .size = 20 };

		send_bytes(&ends, BYTES(V2 PAYLOAD));
		assert_int_equal(sfront_proxy_read(&ends.connection, &reader, &parsed, &why),
				 -ENOBUFS);
		assert_contains(why.message, "at least 33 bytes; there is room for 20");
		assert_int_equal(reader.need, 33);
		reader.size = reader.need;
		assert_int_equal(sfront_proxy_read(&ends.connection, &reader, &parsed, &why), 0);
		assert_peer(&ends.connection, "192.0.2.1:56324");
		assert_payload(&ends, PAYLOAD);
		close_ends(&ends);
	}
}

/* A header of the greatest length, before more than fits into the buffer. */
static void test_greatest(void **state)
{
	static char sent[2 * SFRONT_PROXY_HEADER_MAX];
	struct sfront_proxy_writer writer = { .buf = sent, .size = sizeof(sent) };
	struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };
	const struct sfront_sockaddr nobody = { .len = 0 };
	struct sfront_proxy_header parsed;
	struct ends ends = unix_ends();
	static char rest[SFRONT_PROXY_HEADER_MAX + 1];

	(void)state;
	memset(sent, 'x', sizeof(sent));
	sfront_proxy_begin_v2(&writer, &nobody, &nobody);
	sfront_proxy_add(&writer, SFRONT_PROXY_TLV_CRC32C, NULL, 0);
	assert_int_equal(sfront_proxy_add(&writer, 0xe5, rest, SFRONT_PROXY_HEADER_MAX - 26), 0);
	assert_int_equal(sfront_proxy_finish(&writer), SFRONT_PROXY_HEADER_MAX);
	send_bytes(&ends, sent, sizeof(sent));
	assert_int_equal(sfront_proxy_read(&ends.connection, &reader, &parsed, &why), 0);
	assert_int_equal(reader.len, SFRONT_PROXY_HEADER_MAX);
	assert_false(ends.connection.is_proxied);
	assert_int_equal(__real_read(ends.connection.read_fd, rest, sizeof(rest)),
			 SFRONT_PROXY_HEADER_MAX);
	assert_int_equal(rest[0], 'x');
	close_ends(&ends);
}

static size_t received;

static ssize_t receive(int fd, void *data, size_t size)
{
	received += size;
	return __real_recv(fd, data, size, 0);
}

/* What takes bytes off a socket is the program's own function, and what looks at them is not. */
static void test_receive(void **state)
{
	struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf), .receive = receive };
	struct sfront_proxy_header parsed;
	struct ends ends = unix_ends();

	(void)state;
	memset(&calls, 0, sizeof(calls));
	send_bytes(&ends, BYTES(V1 PAYLOAD));
	assert_int_equal(sfront_proxy_read(&ends.connection, &reader, &parsed, &why), 0);
	assert_int_equal(received, strlen(V1));
	assert_int_equal(calls.peeks, 1);
	assert_int_equal(calls.reads, 0);
	assert_payload(&ends, PAYLOAD);
	close_ends(&ends);
}

static void send_with_descriptor(int socket, const char *bytes, size_t len)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &socket, sizeof(int));
	assert_int_equal(sendmsg(socket, &message, 0), len);
}

/* A read stops at a descriptor that was passed, which is not where the bytes stop. */
static void test_passed_descriptors(void **state)
{
	struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };
	struct sfront_proxy_header parsed;
	struct ends ends = unix_ends();

	(void)state;
	send_with_descriptor(ends.client, V2, 5);
	send_with_descriptor(ends.client, &V2[5], 15);
	send_with_descriptor(ends.client, &V2[20], sizeof(V2) - 1 - 20);
	send_bytes(&ends, BYTES(PAYLOAD));
	assert_int_equal(sfront_proxy_read(&ends.connection, &reader, &parsed, &why), 0);
	assert_peer(&ends.connection, "192.0.2.1:56324");
	assert_payload(&ends, PAYLOAD);
	close_ends(&ends);
}

/* A transport that cannot be looked into is read exactly. */
static void test_no_peek(void **state)
{
	struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };
	struct sfront_proxy_header parsed;
	struct ends ends = unix_ends();

	(void)state;
	send_bytes(&ends, BYTES(V1 PAYLOAD));
	calls.peek_fails_with = EOPNOTSUPP;
	assert_int_equal(sfront_proxy_read(&ends.connection, &reader, &parsed, &why), 0);
	calls.peek_fails_with = 0;
	assert_payload(&ends, PAYLOAD);
	close_ends(&ends);
}

static void test_interrupted(void **state)
{
	struct sfront_proxy_header parsed;

	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		for (unsigned int n = 1; n < 6; n++) {
			struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };
			struct ends ends = kinds[k].make();

			send_bytes(&ends, BYTES(V2 PAYLOAD));
			calls.interrupted = n;
			assert_int_equal(
				sfront_proxy_read(&ends.connection, &reader, &parsed, &why), 0);
			assert_int_equal(calls.interrupted, 0);
			assert_payload(&ends, PAYLOAD);
			close_ends(&ends);
		}
	}
}

static void accept_one(struct sfront_listener *listener, struct sfront_connection *ret)
{
	assert_int_equal(
		poll(&(struct pollfd){ sfront_listener_fd(listener, 0), POLLIN, 0 }, 1, 5000), 1);
	assert_int_equal(sfront_listener_accept(listener, ret), 0);
}

/* Whether the next client's connection is one that begins with a header. */
static bool next_is_due(struct sfront_listener *listener)
{
	struct sfront_connection connection;
	int client = connect_to(listener, 0);
	bool due;

	accept_one(listener, &connection);
	due = connection.header_due;
	assert_int_equal(sfront_listener_header_due(listener, 0), due);
	assert_false(connection.is_proxied);
	sfront_connection_close(&connection);
	close(client);
	return due;
}

static void test_option(void **state)
{
	static const char *const addresses[] = { "127.0.0.1:0", "[::1]:0",
						 "@sockfront-test-proxy-read" };
	static const char *const settings[] = { "", "accept-proxy-protocol=no",
						"accept-proxy-protocol=yes",
						"accept-proxy-protocol" };

	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		for (size_t j = 0; j < sizeof(settings) / sizeof(settings[0]); j++) {
			struct sfront_listener *listener = must_open(addresses[i], settings[j]);

			assert_string_equal(warnings, "");
			assert_int_equal(next_is_due(listener), j >= 2);
			assert_false(sfront_listener_header_due(listener, 1));
			sfront_listener_close(listener);
		}
	}
}

/* No program offers it without knowing: it is set by name alone. */
static void test_option_is_not_listed(void **state)
{
	struct sfront_options *options = sfront_options_new();
	const struct sfront_option *option;
	char text[64];

	(void)state;
	for (size_t i = 0; (option = sfront_option_at(i)); i++)
		assert_string_not_equal(option->name, "accept-proxy-protocol");
	assert_null(sfront_option_find("accept-proxy-protocol"));
	assert_int_equal(sfront_options_set(options, "accept-proxy-protocol", "any", &why),
			 -EINVAL);
	assert_contains(why.message, "accept-proxy-protocol: \"any\"");
	assert_false(sfront_options_is_set(options, "accept-proxy-protocol"));
	assert_int_equal(sfront_options_set(options, "accept-proxy-protocol", "on", &why), 0);
	assert_true(sfront_options_is_set(options, "accept-proxy-protocol"));
	assert_false(sfront_options_equal(options, NULL));
	sfront_options_format(options, text, sizeof(text));
	assert_string_equal(text, "accept-proxy-protocol = yes\n");
	sfront_options_free(options);
}

static void test_option_is_updated(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct sfront_options *without = options_of("");
	struct sfront_options *with = options_of("accept-proxy-protocol");

	(void)state;
	assert_int_equal(sfront_listener_update(listener, without, with, &why), 0);
	assert_true(next_is_due(listener));
	assert_int_equal(sfront_listener_update(listener, with, without, &why), 0);
	assert_false(next_is_due(listener));
	assert_string_equal(warnings, "");
	sfront_options_free(without);
	sfront_options_free(with);
	sfront_listener_close(listener);
}

static void test_option_of_adopted(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", ""), *adopted;
	struct sfront_options *options = sfront_options_new();
	struct sfront_address address;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	int fd;

	(void)state;
	sfront_listener_format(listener, 0, text, sizeof(text));
	assert_int_equal(sfront_address_parse(text, &address, &why), 0);
	fd = sfront_listener_release(listener, 0);
	sfront_listener_close(listener);
	assert_int_equal(sfront_options_set(options, "accept-proxy-protocol", NULL, &why), 0);
	assert_int_equal(sfront_listener_adopt(&address, &fd, 1, options, &adopted, &why), 0);
	assert_true(next_is_due(adopted));
	sfront_options_free(options);
	sfront_listener_close(adopted);
}

/* A connection that was handed over, and stdin and stdout that are pipes. */
static void serve_inherited(void)
{
	struct sfront_listener *listener = NULL;
	struct sfront_connection connection;
	struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };
	struct sfront_proxy_header parsed;
	int pair[2], in[2], out[2];
	char text[SFRONT_ADDRESS_TEXT_SIZE], address[32];

	/* a number that no test before has claimed */
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && dup2(pair[0], 50) == 50);
	snprintf(address, sizeof(address), "accept-from-fd:%d", 50);
	CHECK(try_open(address, "accept-proxy-protocol", &listener) == 0);
	CHECK_CONTAINS("", warnings);
	CHECK(sfront_listener_header_due(listener, 0));
	CHECK(sfront_listener_accept(listener, &connection) == 0 && connection.header_due);
	sfront_connection_close(&connection);
	sfront_listener_close(listener);

	CHECK(pipe(in) == 0 && pipe(out) == 0 && dup2(in[0], 0) == 0 && dup2(out[1], 1) == 1);
	CHECK(write(in[1], V1 PAYLOAD, sizeof(V1 PAYLOAD) - 1) == sizeof(V1 PAYLOAD) - 1);
	CHECK(try_open("-", "accept-proxy-protocol", &listener) == 0);
	CHECK_CONTAINS("", warnings);
	CHECK(sfront_listener_accept(listener, &connection) == 0 && connection.header_due);
	CHECK(sfront_proxy_read(&connection, &reader, &parsed, &why) == 0);
	sfront_connection_format(&connection, text, sizeof(text));
	CHECK_CONTAINS(text, "192.0.2.1:56324");
	sfront_connection_close(&connection);
	sfront_listener_close(listener);
}

static void test_option_of_inherited(void **state)
{
	(void)state;
	in_child(serve_inherited);
}

/* A program that was built before there were these members leaves anything in them. */
static int accept_carelessly(void *data, struct sfront_connection *ret)
{
	memset(ret, 1, sizeof(*ret));
	ret->read_fd = ret->write_fd = *(int *)data;
	ret->read_stream = ret->write_stream = SFRONT_STREAM_UNIX;
	ret->restore_read = ret->restore_write = false;
	return 0;
}

static void test_custom_listener(void **state)
{
	const struct sfront_listener_ops ops = { .size = sizeof(ops), .accept = accept_carelessly };
	struct sfront_listener *listener;
	struct sfront_connection connection;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(sfront_listener_new(&ops, pair, pair[0], "custom", &listener, &why), 0);
	assert_int_equal(sfront_listener_accept(listener, &connection), 0);
	assert_false(connection.header_due);
	assert_false(connection.is_proxied);
	sfront_connection_close(&connection);
	sfront_listener_close(listener);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_whole),
		counted(test_bytewise),
		counted(test_two_headers),
		counted(test_file),
		counted(test_refused),
		counted(test_reset),
		counted(test_small_buffer),
		counted(test_greatest),
		counted(test_receive),
		counted(test_passed_descriptors),
		counted(test_no_peek),
		counted(test_interrupted),
		counted(test_option),
		counted(test_option_is_not_listed),
		counted(test_option_is_updated),
		counted(test_option_of_adopted),
		counted(test_option_of_inherited),
		counted(test_custom_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
