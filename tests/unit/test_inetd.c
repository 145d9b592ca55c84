/* SPDX-License-Identifier: MIT */
/*
 * stdin and stdout as the one connection: lib/kind/inetd.c.  Each test is a child
 * process whose descriptors 0 and 1 are what inetd, a shell or systemd gives.
 */
#include "sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <termios.h>

/* Makes @in and @out, which are closed, descriptors 0 and 1. */
static void become_stdio(int in, int out)
{
	int high_in = fcntl(in, F_DUPFD, 100), high_out = fcntl(out, F_DUPFD, 100);

	close(in);
	if (out != in)
		close(out);
	CHECK(dup2(high_in, STDIN_FILENO) == 0 && dup2(high_out, STDOUT_FILENO) == 1);
	close(high_in);
	close(high_out);
}

static bool is_null(int fd)
{
	struct stat st, null;

	return fstat(fd, &st) == 0 && stat("/dev/null", &null) == 0 && st.st_rdev == null.st_rdev &&
	       S_ISCHR(st.st_mode);
}

/* Opens "-" and takes its connection. */
static struct sfront_listener *open_stdio(struct sfront_connection *ret)
{
	struct sfront_listener *listener = must_open("-", "");
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	CHECK(sfront_listener_count(listener) == 1);
	CHECK(sfront_listener_is_single(listener, 0));
	CHECK(sfront_listener_is_inherited(listener, 0));
	sfront_listener_format(listener, 0, text, sizeof(text));
	CHECK(strcmp(text, "-") == 0);
	CHECK(is_null(STDIN_FILENO) && is_null(STDOUT_FILENO));
	CHECK(is_readable(sfront_listener_fd(listener, 0)));
	CHECK(sfront_listener_accept(listener, ret) == 0);
	CHECK(!is_readable(sfront_listener_fd(listener, 0)));
	CHECK(ret->read_fd > STDERR_FILENO && ret->write_fd > STDERR_FILENO);
	CHECK(is_close_on_exec(ret->read_fd) && is_close_on_exec(ret->write_fd));
	return listener;
}

static void finish(struct sfront_listener *listener, struct sfront_connection *connection)
{
	struct sfront_connection none;

	CHECK(sfront_listener_accept(listener, &none) == -ESHUTDOWN);
	sfront_connection_close(connection);
	CHECK(connection->read_fd == -1 && connection->write_fd == -1);
	sfront_listener_close(listener);
}

static void one_socket(void)
{
	struct sfront_connection connection;
	struct sfront_listener *listener;
	struct sfront_sockaddr local;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	int pair[2], shared, before;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	shared = fcntl(pair[0], F_DUPFD_CLOEXEC, 50); /* as the parent of an inetd service has it */
	become_stdio(pair[0], pair[0]);
	before = count_descriptors();
	listener = open_stdio(&connection);
	CHECK(connection.read_fd == connection.write_fd);
	CHECK(connection.read_stream == SFRONT_STREAM_UNIX);
	CHECK(connection.write_stream == SFRONT_STREAM_UNIX);
	CHECK(connection.restore_read && is_nonblocking(shared));
	CHECK(sfront_listener_local(listener, 0, &local) == 0);
	sfront_connection_format(&connection, text, sizeof(text));
	CHECK_CONTAINS(text, "unix(pid=");
	CHECK(carries(pair[1], connection.read_fd) && carries(connection.write_fd, pair[1]));
	finish(listener, &connection);
	CHECK(!is_nonblocking(shared));
	CHECK(count_descriptors() == before);
}

static void tcp_socket(void)
{
	struct sfront_listener *source = must_open("127.0.0.1:0", ""), *listener;
	struct sfront_connection connection;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	int client = connect_to(source, 0);

	CHECK(sfront_listener_accept(source, &connection) == 0);
	sfront_listener_close(source);
	become_stdio(connection.read_fd, connection.read_fd);
	listener = open_stdio(&connection);
	CHECK(connection.read_stream == SFRONT_STREAM_TCP);
	CHECK(socket_option(connection.read_fd, IPPROTO_TCP, TCP_NODELAY) > 0);
	CHECK(socket_option(connection.read_fd, SOL_SOCKET, SO_OOBINLINE) == 1);
	CHECK(!connection.restore_read && !connection.restore_write);
	sfront_connection_format(&connection, text, sizeof(text));
	CHECK_CONTAINS(text, "127.0.0.1:");
	CHECK(carries(client, connection.read_fd));
	finish(listener, &connection);
	close(client);
}

static void two_sockets(void)
{
	struct sfront_connection connection;
	struct sfront_listener *listener;
	int in[2], out[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out) == 0);
	become_stdio(in[0], out[0]);
	listener = open_stdio(&connection);
	CHECK(connection.read_fd != connection.write_fd);
	CHECK(connection.restore_read && connection.restore_write);
	CHECK(carries(in[1], connection.read_fd) && carries(connection.write_fd, out[1]));
	finish(listener, &connection);
}

/* Pipes are opened anew: nobody else sees them non-blocking. */
static void pipes(void)
{
	struct sfront_connection connection;
	struct sfront_listener *listener;
	struct sfront_sockaddr local;
	char text[SFRONT_ADDRESS_TEXT_SIZE], byte;
	int in[2], out[2], shared_in, shared_out;

	CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	shared_in = fcntl(in[0], F_DUPFD_CLOEXEC, 50);
	shared_out = fcntl(out[1], F_DUPFD_CLOEXEC, 50);
	become_stdio(in[0], out[1]);
	listener = open_stdio(&connection);
	CHECK(connection.read_stream == SFRONT_STREAM_PIPE);
	CHECK(connection.write_stream == SFRONT_STREAM_PIPE);
	CHECK(is_nonblocking(connection.read_fd) && is_nonblocking(connection.write_fd));
	CHECK(!is_nonblocking(shared_in) && !is_nonblocking(shared_out));
	CHECK(!connection.restore_read && !connection.restore_write);
	CHECK(sfront_listener_local(listener, 0, &local) == -ENOENT);
	CHECK(connection.peer.len == 0);
	sfront_connection_format(&connection, text, sizeof(text));
	CHECK(strcmp(text, "stdin") == 0);
	CHECK(carries(in[1], connection.read_fd) && carries(connection.write_fd, out[0]));
	close(shared_in);
	close(shared_out);
	close(in[1]);
	CHECK(read(connection.read_fd, &byte, 1) == 0); /* our copies keep no pipe open */
	finish(listener, &connection);
	CHECK(read(out[0], &byte, 1) == 0);
}

/* "< request > response": the position is shared, the mode of files left alone. */
static void files(void)
{
	char name[] = "/tmp/sockfront-test-inetd.XXXXXX", buf[8] = "";
	struct sfront_connection connection;
	struct sfront_listener *listener;
	int in = mkstemp(name), out, shared;

	CHECK(in >= 0 && unlink(name) == 0);
	CHECK(write(in, "skipped, read", 13) == 13 && lseek(in, 9, SEEK_SET) == 9);
	shared = fcntl(in, F_DUPFD_CLOEXEC, 50);
	out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	become_stdio(in, out);
	listener = open_stdio(&connection);
	CHECK(connection.read_stream == SFRONT_STREAM_FILE);
	CHECK(connection.write_stream == SFRONT_STREAM_FILE);
	CHECK(!connection.restore_read && !is_nonblocking(shared));
	CHECK(read(connection.read_fd, buf, sizeof(buf)) == 4 && strcmp(buf, "read") == 0);
	CHECK(lseek(shared, 0, SEEK_CUR) == 13);
	CHECK(write(connection.write_fd, "x", 1) == 1);
	finish(listener, &connection);
}

/* A pseudo-terminal that changes no byte. */
static void open_terminal(int *ret_master, int *ret_slave)
{
	struct termios raw;

	*ret_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(*ret_master >= 0 && grantpt(*ret_master) == 0 && unlockpt(*ret_master) == 0);
	*ret_slave = open(ptsname(*ret_master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(*ret_slave >= 0 && tcgetattr(*ret_slave, &raw) == 0);
	cfmakeraw(&raw);
	CHECK(tcsetattr(*ret_slave, TCSANOW, &raw) == 0);
}

static void terminal(void)
{
	struct sfront_connection connection;
	struct sfront_listener *listener;
	int master, slave;

	open_terminal(&master, &slave);
	become_stdio(slave, slave);
	listener = open_stdio(&connection);
	CHECK(connection.read_stream == SFRONT_STREAM_TERMINAL);
	CHECK(connection.write_stream == SFRONT_STREAM_TERMINAL);
	CHECK(carries(master, connection.read_fd) && carries(connection.write_fd, master));
	finish(listener, &connection);
	close(master);
}

/* As a program that runs us on a terminal of its own making may hand it over by mistake. */
static void master_of_a_terminal(void)
{
	struct sfront_connection connection;
	struct sfront_listener *listener;
	int master, slave, shared;

	open_terminal(&master, &slave);
	shared = fcntl(master, F_DUPFD_CLOEXEC, 50);
	become_stdio(master, master);
	listener = open_stdio(&connection);
	CHECK(connection.read_stream == SFRONT_STREAM_TERMINAL);
	CHECK(carries(slave, connection.read_fd) && carries(connection.write_fd, slave));
	finish(listener, &connection);
	CHECK(!is_nonblocking(shared));
	close(shared);
	close(slave);
}

/* ssh and shells mix them. */
static void socket_and_pipe(void)
{
	struct sfront_connection connection;
	struct sfront_listener *listener;
	int in[2], out[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) == 0);
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	become_stdio(in[0], out[1]);
	listener = open_stdio(&connection);
	CHECK(connection.read_stream == SFRONT_STREAM_UNIX);
	CHECK(connection.write_stream == SFRONT_STREAM_PIPE);
	CHECK(connection.restore_read && !connection.restore_write);
	CHECK(carries(in[1], connection.read_fd) && carries(connection.write_fd, out[0]));
	finish(listener, &connection);
}

/* What cannot be taken is refused, and stdin and stdout stay as they were. */
static void refused(void)
{
	struct sfront_listener *source = must_open("127.0.0.1:0", ""), *listener;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), before, out[2];
	struct stat st;

	CHECK(pipe2(out, O_CLOEXEC) == 0);
	before = count_descriptors();
	CHECK(dup2(sfront_listener_fd(source, 0), 0) == 0);
	CHECK(try_open("-", "", &listener) == -EINVAL);
	CHECK_CONTAINS(why.message, "accept-from-fd:0");
	CHECK(fstat(0, &st) == 0 && S_ISSOCK(st.st_mode));

	CHECK(dup2(socket(AF_INET, SOCK_DGRAM, 0), 0) == 0);
	CHECK(try_open("-", "", &listener) == -EPROTOTYPE);
	CHECK_CONTAINS(why.message, "stdin is a datagram socket");
	CHECK(dup2(open("/", O_RDONLY), 0) == 0);
	CHECK(try_open("-", "", &listener) == -EISDIR);
	CHECK_CONTAINS(why.message, "stdin is a directory");
	CHECK(dup2(out[1], 0) == 0);
	CHECK(try_open("-", "", &listener) == -EBADF);
	CHECK_CONTAINS(why.message, "stdin is not open for reading");
	close(0);
	CHECK(try_open("-", "", &listener) == -EBADF);
	CHECK_CONTAINS(why.message, "stdin is closed");

	CHECK(dup2(null, 0) == 0);
	CHECK(dup2(out[0], 1) == 1);
	CHECK(try_open("-", "", &listener) == -EBADF);
	CHECK_CONTAINS(why.message, "stdout is not open for writing");
	close(1);
	CHECK(try_open("-", "", &listener) == -EBADF);
	CHECK_CONTAINS(why.message, "stdout is closed");
	CHECK(dup2(null, 1) == 1);
	CHECK(count_descriptors() == before + 2); /* the datagram socket and the directory */
	sfront_listener_close(source);
}

static void only_once(void)
{
	struct sfront_listener *listener, *second;
	int in[2], out[2];
	char byte;

	CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	become_stdio(in[0], out[1]);
	listener = must_open("stdio", "tcp-nodelay");
	CHECK_CONTAINS(warnings, "tcp-nodelay has no effect on -");
	CHECK(try_open("-", "", &second) == -EBUSY);
	CHECK_CONTAINS(why.message, "taken already");
	CHECK(try_open("accept-from-fd:0", "", &second) == -EBUSY);
	sfront_listener_close(listener); /* with the connection, which nobody took */
	CHECK(read(out[0], &byte, 1) == 0);
}

#define child_test(name)                      \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		in_child(name);               \
	}

child_test(one_socket) child_test(tcp_socket) child_test(two_sockets) child_test(pipes)
	child_test(files) child_test(terminal) child_test(master_of_a_terminal)
		child_test(socket_and_pipe) child_test(refused) child_test(only_once)

			int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_one_socket),
		counted(test_tcp_socket),
		counted(test_two_sockets),
		counted(test_pipes),
		counted(test_files),
		counted(test_terminal),
		counted(test_master_of_a_terminal),
		counted(test_socket_and_pipe),
		counted(test_refused),
		counted(test_only_once),
	};

	return cmocka_run_group_tests_name("inetd", tests, NULL, NULL);
}
