/* SPDX-License-Identifier: MIT */
/*
 * Connections of any two descriptors, who is at their other end, and listening
 * descriptors that are taken out: lib/connection.c, lib/identify.c,
 * lib/listener.c.
 */
#include "sockets.h"

#include <sys/stat.h>
#include <sys/un.h>

static void test_one_socket(void **state)
{
	struct sfront_connection connection;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(sfront_connection_from_fds(pair[0], pair[0], &connection, &why), 0);
	assert_int_equal(connection.read_stream, SFRONT_STREAM_UNIX);
	assert_int_equal(connection.write_stream, SFRONT_STREAM_UNIX);
	assert_int_equal(connection.peer.sa.any.sa_family, AF_UNIX);
	assert_true(is_nonblocking(pair[0]));
	assert_true(carries(pair[1], connection.read_fd));
	assert_true(carries(connection.write_fd, pair[1]));
	sfront_connection_close(&connection);
	assert_int_equal(connection.read_fd, -1);
	assert_int_equal(fcntl(pair[0], F_GETFL), -1);
	close(pair[1]);
}

/* What was blocking is so again for whoever shares it. */
static void test_two_pipes(void **state)
{
	struct sfront_connection connection;
	int in[2], out[2], shared;
	char text[64];

	(void)state;
	assert_int_equal(pipe2(in, O_CLOEXEC) + pipe2(out, O_CLOEXEC), 0);
	shared = dup(in[0]);
	assert_int_equal(sfront_connection_from_fds(in[0], out[1], &connection, &why), 0);
	assert_int_equal(connection.read_stream, SFRONT_STREAM_PIPE);
	assert_int_equal(connection.write_stream, SFRONT_STREAM_PIPE);
	assert_int_equal(connection.peer.len, 0);
	assert_true(is_nonblocking(shared));
	assert_true(carries(in[1], connection.read_fd));
	assert_true(carries(connection.write_fd, out[0]));
	sfront_connection_format(&connection, text, sizeof(text));
	assert_string_equal(text, "stdin");
	sfront_connection_close(&connection);
	assert_false(is_nonblocking(shared));
	close(shared);
	close(in[1]);
	close(out[0]);
}

static void test_what_was_nonblocking_stays_so(void **state)
{
	struct sfront_connection connection;
	int pair[2], shared;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
	shared = dup(pair[0]);
	assert_int_equal(sfront_connection_from_fds(pair[0], pair[0], &connection, &why), 0);
	assert_false(connection.restore_read || connection.restore_write);
	sfront_connection_close(&connection);
	assert_true(is_nonblocking(shared));
	close(shared);
	close(pair[1]);
}

static void test_files(void **state)
{
	struct sfront_connection connection;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_int_equal(sfront_connection_from_fds(null, null, &connection, &why), 0);
	assert_int_equal(connection.read_stream, SFRONT_STREAM_FILE);
	assert_false(is_nonblocking(null));
	sfront_connection_close(&connection);
}

static void test_refused(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	int datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int alone = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int directory = open("/", O_RDONLY | O_CLOEXEC), closed = dup(datagram), pair[2], in[2];
	const struct {
		int read_fd, write_fd, error;
		const char *message;
	} cases[] = {
		{ closed, closed, -EBADF, "is closed" },
		{ -1, -1, -EBADF, "descriptor -1 is closed" },
		{ datagram, datagram, -EPROTOTYPE, "a datagram socket" },
		{ alone, alone, -EPROTOTYPE, "neither listens nor is connected" },
		{ sfront_listener_fd(listener, 0), datagram, -EPROTOTYPE, "a listening socket" },
		{ directory, datagram, -EISDIR, "a directory" },
	};
	struct sfront_connection connection;

	(void)state;
	close(closed);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(sfront_connection_from_fds(cases[i].read_fd, cases[i].write_fd,
							    &connection, &why),
				 cases[i].error);
		assert_contains(why.message, cases[i].message);
	}
	/* The second descriptor, and the wrong way round: the first is left as it was. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(sfront_connection_from_fds(pair[0], in[0], &connection, &why), -EBADF);
	assert_contains(why.message, "not open for writing");
	assert_int_equal(sfront_connection_from_fds(in[1], pair[0], &connection, NULL), -EBADF);
	assert_false(is_nonblocking(pair[0]));

	sfront_listener_close(listener);
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(in[i]);
	}
	close(datagram);
	close(alone);
	close(directory);
}

static void test_credentials(void **state)
{
	struct sfront_listener *listener = must_open("@sockfront-test-connection", "");
	struct sfront_credentials credentials;
	struct sfront_connection connection;
	int client = connect_to(listener, 0), fd;
	char text[SFRONT_ADDRESS_TEXT_SIZE], expected[64];

	(void)state;
	assert_int_equal(sfront_listener_accept(listener, &connection), 0);
	assert_int_equal(sfront_connection_credentials(&connection, &credentials), 0);
	assert_int_equal(credentials.pid, getpid());
	assert_int_equal(credentials.uid, getuid());
	assert_int_equal(credentials.gid, getgid());
	snprintf(expected, sizeof(expected), "unix(pid=%d,uid=%u,gid=%u)", (int)getpid(), getuid(),
		 getgid());
	assert_int_equal(sfront_connection_format(&connection, text, sizeof(text)),
			 strlen(expected));
	assert_string_equal(text, expected);

	fd = sfront_connection_pidfd(&connection);
	if (fd != -ENOPROTOOPT) { /* before Linux 6.5 */
		assert_true(fd >= 0);
		assert_true(is_close_on_exec(fd));
		close(fd);
	}
	sfront_connection_close(&connection);
	close(client);
	sfront_listener_close(listener);
}

static void test_no_credentials_over_tcp(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct sfront_credentials credentials;
	struct sfront_connection connection;
	int client = connect_to(listener, 0);

	(void)state;
	assert_int_equal(sfront_listener_accept(listener, &connection), 0);
	assert_int_equal(sfront_connection_credentials(&connection, &credentials), -EOPNOTSUPP);
	assert_int_equal(sfront_connection_pidfd(&connection), -EOPNOTSUPP);
	sfront_connection_close(&connection);
	close(client);
	sfront_listener_close(listener);
}

static void test_kinds(void **state)
{
	struct sfront_listener *tcp = must_open("127.0.0.1:0", ""), *inherited;
	char text[32];
	int fd = fcntl(sfront_listener_fd(tcp, 0), F_DUPFD_CLOEXEC, 60);

	(void)state;
	assert_int_equal(sfront_listener_kind(tcp, 0), SFRONT_TCP);
	assert_int_equal(sfront_listener_stream(tcp, 0), SFRONT_STREAM_TCP);
	assert_int_equal(sfront_listener_kind(tcp, 1), SFRONT_KINDS);
	snprintf(text, sizeof(text), "accept-from-fd:%d", fd);
	inherited = must_open(text, "");
	assert_int_equal(sfront_listener_kind(inherited, 0), SFRONT_FD);
	assert_int_equal(sfront_listener_stream(inherited, 0), SFRONT_STREAM_TCP);
	sfront_listener_close(inherited);
	sfront_listener_close(tcp);
}

static void test_release(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct sfront_connection connection;
	struct sfront_sockaddr local;
	int fd = sfront_listener_fd(listener, 0), taken, client;

	(void)state;
	assert_int_equal(sfront_listener_local(listener, 0, &local), 0);
	assert_int_equal(sfront_listener_release(listener, 1), -EINVAL);
	taken = sfront_listener_release(listener, 0);
	assert_int_equal(taken, fd);
	assert_int_equal(sfront_listener_count(listener), 1);
	assert_int_equal(sfront_listener_fd(listener, 0), -1);
	assert_int_equal(sfront_listener_release(listener, 0), -EBADF);
	assert_int_equal(sfront_listener_accept(listener, &connection), -ESHUTDOWN);
	sfront_listener_close(listener);

	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, &local.sa.any, local.len), 0);
	close(client);
	close(taken);
}

/* The socket file is whose the socket is. */
static void test_release_of_a_path(void **state)
{
	char path[64];
	struct sfront_listener *listener;
	struct stat st;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/sockfront-test-connection.%d", (int)getpid());
	listener = must_open(path, "");
	fd = sfront_listener_release(listener, 0);
	assert_true(fd >= 0);
	sfront_listener_close(listener);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_one_socket),
		counted(test_two_pipes),
		counted(test_what_was_nonblocking_stays_so),
		counted(test_files),
		counted(test_refused),
		counted(test_credentials),
		counted(test_no_credentials_over_tcp),
		counted(test_kinds),
		counted(test_release),
		counted(test_release_of_a_path),
	};

	return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
