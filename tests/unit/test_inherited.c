/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that were handed over: inherited.c, sd_listen.c and fd.c of lib/kind/.
 * Each test is a child process that puts descriptors at 3, 4, ... and sets the
 * variables as systemd would.
 */
#include "sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

static int listening(int family, int backlog)
{
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa.in) };
	int fd = socket(family, SOCK_STREAM, 0);

	addr.sa.any.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		addr.sa.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (family == AF_INET6)
		addr.len = sizeof(addr.sa.in6); /* every address */
	else
		addr.len = sizeof(sa_family_t); /* a UNIX name of the kernel's choice */
	CHECK(bind(fd, &addr.sa.any, addr.len) == 0 && listen(fd, backlog) == 0);
	return fd;
}

/* Makes @fds the descriptors from 3 on.  They must have been opened in that order. */
static void hand_over(const int *fds, int n, const char *names)
{
	char text[16];
	int high[8];

	for (int i = 0; i < n; i++)
		high[i] = fcntl(fds[i], F_DUPFD, 100 + i);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	for (int i = 0; i < n; i++) {
		CHECK(dup2(high[i], 3 + i) == 3 + i);
		close(high[i]);
	}
	snprintf(text, sizeof(text), "%d", n);
	setenv("LISTEN_FDS", text, 1);
	snprintf(text, sizeof(text), "%d", getpid());
	setenv("LISTEN_PID", text, 1);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
}

static void sd_listen_first(void)
{
	const int fds[] = { listening(AF_INET, 77), listening(AF_INET, 77) };
	struct sfront_listener *listener;
	struct sfront_inherited inherited;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct tcp_info info;
	socklen_t len = sizeof(info);

	hand_over(fds, 2, NULL);
	listener = must_open("sd_listen", "tcp-keepalive=30000::");
	CHECK(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID") && !getenv("LISTEN_FDNAMES"));
	CHECK(sfront_listener_count(listener) == 1);
	CHECK(sfront_listener_fd(listener, 0) == 3);
	CHECK(is_nonblocking(3) && is_close_on_exec(3) && is_close_on_exec(4));
	CHECK(sfront_listener_is_inherited(listener, 0));
	CHECK(!sfront_listener_is_single(listener, 0));
	sfront_listener_format(listener, 0, text, sizeof(text));
	CHECK_CONTAINS(text, "127.0.0.1:");
	CHECK(socket_option(3, IPPROTO_TCP, TCP_NODELAY) > 0);
	CHECK(socket_option(3, SOL_SOCKET, SO_OOBINLINE) == 1);
	CHECK(socket_option(3, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
	CHECK(getsockopt(3, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
	CHECK(info.tcpi_sacked == 77); /* the backlog, untouched */
	CHECK(serves(listener, 0));

	CHECK(sfront_inherited_at(0, &inherited) == 0);
	CHECK(inherited.fd == 3 && inherited.taken && strcmp(inherited.name, "unknown") == 0);
	CHECK(sfront_inherited_at(1, &inherited) == 0);
	CHECK(inherited.fd == 4 && !inherited.taken);
	CHECK(sfront_inherited_at(2, &inherited) == -ENOENT);
	sfront_listener_close(listener);
	CHECK(fcntl(3, F_GETFD) < 0 && fcntl(4, F_GETFD) >= 0);
	CHECK(sfront_inherited_at(0, &inherited) == 0 && inherited.taken);
}

static void sd_listen_names(void)
{
	const int fds[] = { listening(AF_INET, 5), listening(AF_UNIX, 5), listening(AF_INET, 5) };
	struct sfront_listener *web, *other;

	hand_over(fds, 3, "web:api:web");
	CHECK(try_open("sd-listen:Web", "", &web) == -ENOENT);
	CHECK_CONTAINS(why.message, "there is \"web\", \"api\" (");
	web = must_open("sd-listen:web", "");
	CHECK(sfront_listener_count(web) == 2);
	CHECK(sfront_listener_fd(web, 0) == 3 && sfront_listener_fd(web, 1) == 5);
	CHECK(serves(web, 0) && serves(web, 1));

	CHECK(try_open("sd-listen:web", "", &other) == -EBUSY);
	CHECK_CONTAINS(why.message, "descriptor 3 (name \"web\")");
	CHECK(try_open("sd-listen", "", &other) == -EBUSY);
	CHECK(try_open("accept-from-fd:5", "", &other) == -EBUSY);
	CHECK_CONTAINS(why.message, "descriptor 5");
	CHECK(try_open("sd-listen:*", "", &other) == -EBUSY);

	other = must_open("sd-listen:api", "send-buffer-size=30000 tcp-nodelay");
	CHECK_CONTAINS(warnings, "tcp-nodelay has no effect on sd-listen:api");
	CHECK(serves(other, 0));
	sfront_listener_close(other);
	sfront_listener_close(web);
}

static void sd_listen_all(void)
{
	const int fds[] = { listening(AF_INET, 5), listening(AF_UNIX, 5) };
	struct sfront_connection connection;
	struct sfront_listener *listener;
	int client;

	hand_over(fds, 2, "a:b");
	listener = must_open("sd-listen:*", "send-buffer-size=30000 tcp-listen-backlog=6");
	CHECK(warnings[0] == '\0');
	CHECK(sfront_listener_count(listener) == 2);
	CHECK(serves(listener, 0) && serves(listener, 1));
	client = connect_to(listener, 1);
	CHECK(sfront_listener_accept(listener, &connection) == 0);
	CHECK(connection.read_stream == SFRONT_STREAM_UNIX);
	CHECK(socket_option(connection.write_fd, SOL_SOCKET, SO_SNDBUF) == 60000);
	sfront_connection_close(&connection);
	close(client);
	sfront_listener_close(listener);
}

/* An own address that fails must not cost the sockets that came from outside. */
static void failure_keeps_inherited(void)
{
	const int fds[] = { listening(AF_INET, 5) };
	const char *const texts[] = { "sd-listen", "./no-such-directory/x", NULL };
	struct sfront_inherited inherited;
	struct sfront_listener *listener;

	hand_over(fds, 1, "web");
	CHECK(try_open_all(texts, "", &listener) == -ENOENT);
	CHECK(sfront_inherited_at(0, &inherited) == 0 && !inherited.taken);
	listener = must_open("sd-listen:web", "");
	CHECK(serves(listener, 0));
	sfront_listener_close(listener);
}

static void connected_unix(void)
{
	struct sfront_connection connection;
	struct sfront_listener *listener;
	struct pollfd pollfd = { .events = POLLIN };
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	pair[1] = fcntl(pair[1], F_DUPFD, 50);
	hand_over(pair, 1, "connection");
	listener = must_open("sd-listen", "unix-listen-chmod=owner");
	CHECK_CONTAINS(warnings, "unix-listen-chmod has no effect");
	CHECK(sfront_listener_is_single(listener, 0) && sfront_listener_is_inherited(listener, 0));
	pollfd.fd = sfront_listener_fd(listener, 0);
	CHECK(pollfd.fd != 3 && is_readable(pollfd.fd));
	CHECK(sfront_listener_accept(listener, &connection) == 0);
	CHECK(connection.read_fd == 3 && connection.write_fd == 3);
	CHECK(connection.restore_read && is_nonblocking(3));
	CHECK(carries(pair[1], connection.read_fd) && carries(connection.write_fd, pair[1]));
	CHECK(!is_readable(pollfd.fd));
	CHECK(sfront_listener_accept(listener, &connection) == -ESHUTDOWN);
	CHECK(sfront_listener_accept_at(listener, 0, &connection) == -ESHUTDOWN);
	connection.read_fd = connection.write_fd = 3;
	sfront_connection_close(&connection);
	sfront_listener_close(listener);
}

static void connected_tcp(void)
{
	struct sfront_listener *source = must_open("127.0.0.1:0", ""), *listener;
	int client = connect_to(source, 0), fd;
	struct sfront_connection connection;
	char text[SFRONT_ADDRESS_TEXT_SIZE], address[32];

	CHECK(sfront_listener_accept(source, &connection) == 0);
	fd = connection.read_fd;
	sfront_listener_close(source);
	snprintf(address, sizeof(address), "accept-from-fd:%d", fd);
	listener = must_open(address, "tcp-nodelay=no tcp-keepalive=");
	CHECK(warnings[0] == '\0');
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_NODELAY) == 0);
	CHECK(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
	sfront_listener_format(listener, 0, text, sizeof(text));
	CHECK_CONTAINS(text, "127.0.0.1:");
	CHECK(sfront_listener_accept(listener, &connection) == 0);
	CHECK(!connection.restore_read); /* it was not blocking when we got it */
	sfront_connection_format(&connection, text, sizeof(text));
	CHECK_CONTAINS(text, "127.0.0.1:");
	CHECK(carries(client, fd));
	sfront_connection_close(&connection);
	close(client);
	sfront_listener_close(listener);
}

/* One of a kind and one that goes on: exhausted is only who has nothing to wait for. */
static void single_beside_listening(void)
{
	const char *const texts[] = { "accept-from-fd:3", "@sockfront-test-beside", NULL };
	struct sfront_connection connection;
	struct sfront_listener *listener;
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	pair[1] = fcntl(pair[1], F_DUPFD, 50);
	hand_over(pair, 1, NULL);
	CHECK(try_open_all(texts, "", &listener) == 0);
	CHECK(sfront_listener_accept(listener, &connection) == 0);
	sfront_connection_close(&connection);
	CHECK(sfront_listener_accept(listener, &connection) == -EAGAIN);
	CHECK(serves(listener, 1));
	sfront_listener_close(listener);
}

/* A connection that nobody took is closed with the listener. */
static void single_not_taken(void)
{
	struct sfront_listener *listener;
	int pair[2];
	char byte;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	pair[1] = fcntl(pair[1], F_DUPFD, 50);
	hand_over(pair, 1, NULL);
	listener = must_open("sd-listen", "");
	sfront_listener_close(listener);
	CHECK(read(pair[1], &byte, 1) == 0);
}

static void refuse_at(int number, const char *what)
{
	struct sfront_listener *listener;
	char address[32], label[64];

	snprintf(address, sizeof(address), "accept-from-fd:%d", number);
	snprintf(label, sizeof(label), "descriptor %d is %s;", number, what);
	CHECK(try_open(address, "", &listener) < 0);
	CHECK_CONTAINS(why.message, label);
	CHECK_CONTAINS(why.message, address);
}

static void not_a_stream(void)
{
	int fifo[2], unconnected = socket(AF_INET, SOCK_STREAM, 0);
	int datagram = socket(AF_INET, SOCK_DGRAM, 0), packets[2];
	int file = open("/proc/self/exe", O_RDONLY), dir = open("/", O_RDONLY);
	int null = open("/dev/null", O_RDWR), closed = dup(null);

	CHECK(pipe(fifo) == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets) == 0);
	close(closed);
	refuse_at(fifo[0], "a FIFO");
	refuse_at(unconnected, "a stream socket that neither listens nor is connected");
	refuse_at(datagram, "a datagram socket");
	refuse_at(packets[0], "a sequential-packet socket");
	refuse_at(file, "a regular file");
	refuse_at(dir, "a directory");
	refuse_at(null, "a terminal or another character device");
	refuse_at(2147483647, "closed");
	if (closed > STDERR_FILENO && fcntl(closed, F_GETFD) < 0)
		refuse_at(closed, "closed");
	refuse_at(fifo[0], "a FIFO"); /* refused, it is not taken */
}

static void refused_names_the_name(void)
{
	struct sfront_listener *listener;
	int fds[2];

	CHECK(pipe(fds) == 0);
	hand_over(fds, 2, "foo:bar");
	CHECK(try_open("sd-listen:bar", "", &listener) == -ENOTSOCK);
	CHECK_CONTAINS(why.message, "descriptor 4 (name \"bar\") is a FIFO");
}

static void nothing_passed(void)
{
	struct sfront_inherited inherited;
	struct sfront_listener *listener;

	unsetenv("LISTEN_FDS");
	CHECK(sfront_inherited_at(0, &inherited) == -ENOENT);
	CHECK(sfront_inherited_reserve("own-") == 0);
	CHECK(try_open("sd-listen", "", &listener) == -ENOENT);
	CHECK_CONTAINS(why.message, "LISTEN_FDS is not set");
	CHECK_CONTAINS(why.message, "systemd-socket-activate");
	CHECK_CONTAINS(why.message, "sd-accept-ignore-environment");
	CHECK(try_open("sd-listen:*", "", &listener) == -ENOENT);
	CHECK(try_open("sd-listen:web", "sd-accept-ignore-environment", &listener) == -ENOENT);
}

static void passed_to_another(void)
{
	const int fds[] = { listening(AF_INET, 5) };
	struct sfront_listener *listener;

	hand_over(fds, 1, NULL);
	setenv("LISTEN_PID", "1", 1);
	CHECK(try_open("sd-listen", "", &listener) == -ENOENT);
	CHECK_CONTAINS(why.message, "LISTEN_PID is 1, another process");
	CHECK(!getenv("LISTEN_FDS"));

	listener = must_open("sd-listen", "sd-accept-ignore-environment");
	CHECK(warnings[0] == '\0');
	CHECK(serves(listener, 0) && is_close_on_exec(3));
	sfront_listener_close(listener);
}

/* By name, by number: whatever LISTEN_PID says, or without it. */
static void passed_without_a_process(void)
{
	const int fds[] = { listening(AF_INET, 5), listening(AF_UNIX, 5) };
	static const char option[] = "sd-accept-ignore-environment";
	struct sfront_listener *listener;

	hand_over(fds, 2, "web:api");
	unsetenv("LISTEN_PID");
	CHECK(try_open("sd-listen:api", "", &listener) == -ENOENT);
	CHECK_CONTAINS(why.message, "LISTEN_PID is not set");
	CHECK_CONTAINS(why.message, "give sd-accept-ignore-environment to ignore LISTEN_PID");
	CHECK(try_open("sd-listen:*", "", &listener) == -ENOENT);
	CHECK_CONTAINS(why.message, "give sd-accept-ignore-environment to ignore LISTEN_PID");

	CHECK(try_open("sd-listen:ap", option, &listener) == -ENOENT);
	CHECK_CONTAINS(why.message,
		       "no inherited descriptor has that name; there is \"web\", \"api\"");
	listener = must_open("sd-listen:api", option);
	CHECK(warnings[0] == '\0');
	CHECK(sfront_listener_count(listener) == 1 && sfront_listener_fd(listener, 0) == 4);
	CHECK(serves(listener, 0) && is_close_on_exec(4));
	sfront_listener_lend(listener);
	sfront_listener_close(listener);

	listener = must_open("sd-listen:*", option);
	CHECK(sfront_listener_count(listener) == 2);
	CHECK(serves(listener, 0) && serves(listener, 1));
	sfront_listener_close(listener);
}

/* What the variables count is not there. */
static void counted_and_not_there(void)
{
	const int fds[] = { listening(AF_INET, 5) };
	struct sfront_listener *listener;

	hand_over(fds, 1, "web:gone");
	close(4);
	setenv("LISTEN_FDS", "2", 1);
	CHECK(try_open("sd-listen:*", "", &listener) < 0);
	CHECK_CONTAINS(why.message, "do not fit the descriptors that are open");
	CHECK(try_open("sd-listen:*", "sd-accept-ignore-environment", &listener) == -EBADF);
	CHECK_CONTAINS(why.message, "descriptor 4 is closed");
	CHECK(try_open("sd-listen:gone", "sd-accept-ignore-environment", &listener) == -EBADF);
	listener = must_open("sd-listen:web", "sd-accept-ignore-environment");
	CHECK(serves(listener, 0));
	sfront_listener_close(listener);
}

/* A colon in a name, or names for some of them: nobody can tell whose they are. */
static void names_that_do_not_count_up(void)
{
	const int fds[] = { listening(AF_INET, 5), listening(AF_INET, 5) };
	struct sfront_inherited inherited;
	struct sfront_listener *listener;

	hand_over(fds, 2, "sockfront@127.0.0.1:8080.socket:web");
	CHECK(sfront_inherited_reserve("web") == 0);
	CHECK(sfront_inherited_at(1, &inherited) == 0);
	CHECK(inherited.fd == 4 && strcmp(inherited.name, "unknown") == 0);
	CHECK(try_open("sd-listen:web", "", &listener) == -ENOENT);
	CHECK_CONTAINS(why.message, "LISTEN_FDNAMES has 3 names for 2 descriptors");
	CHECK_CONTAINS(why.message, "a name with a colon counts as two");

	/* As it says. */
	listener = must_open("sd-listen", "");
	CHECK(sfront_listener_fd(listener, 0) == 3 && serves(listener, 0));
	sfront_listener_lend(listener);
	sfront_listener_close(listener);
	listener = must_open("sd-listen:*", "");
	CHECK(sfront_listener_count(listener) == 2 && serves(listener, 1));
	sfront_listener_close(listener);
}

static void no_names(void)
{
	const int fds[] = { listening(AF_INET, 5) };
	struct sfront_listener *listener;

	hand_over(fds, 1, NULL);
	CHECK(try_open("sd-listen:web", "", &listener) == -ENOENT);
	CHECK_CONTAINS(why.message, "LISTEN_FDNAMES is not set");
	CHECK(try_open("sd-listen:web", "sd-accept-ignore-environment", &listener) == -ENOENT);
	CHECK_CONTAINS(why.message, "sd-listen takes the first");
	listener = must_open("sd-listen", ""); /* as it says */
	sfront_listener_close(listener);
}

/* Accept=yes of systemd before version 257: a name that nobody has given. */
static void name_of_every_connection(void)
{
	struct sfront_listener *listener;
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	pair[1] = fcntl(pair[1], F_DUPFD, 50);
	hand_over(pair, 1, "connection");
	CHECK(try_open("sd-listen:web", "", &listener) == -ENOENT);
	CHECK_CONTAINS(why.message, "systemd before version 257 passes \"connection\"");
	CHECK_CONTAINS(why.message, "sd-listen takes it");
	listener = must_open("sd-listen", ""); /* as it says */
	sfront_listener_close(listener);
}

/* What was started by inetd, or with StandardInput=socket. */
static void a_socket_as_stdin(void)
{
	struct sfront_listener *listener;
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(dup2(pair[0], 0) == 0 && dup2(pair[0], 1) == 1);
	unsetenv("LISTEN_FDS");
	CHECK(try_open("sd-listen", "", &listener) == -ENOENT);
	CHECK_CONTAINS(why.message, "its stdin is a socket, which the address - takes");
	listener = must_open("-", ""); /* as it says */
	sfront_listener_close(listener);
}

static void a_listening_socket_as_stdin(void)
{
	struct sfront_listener *listener;

	CHECK(dup2(listening(AF_INET, 5), 0) == 0);
	unsetenv("LISTEN_FDS");
	CHECK(try_open("sd-listen:*", "", &listener) == -ENOENT);
	CHECK_CONTAINS(why.message, "which the address accept-from-fd:0 takes");
	listener = must_open("accept-from-fd:0", ""); /* as it says */
	CHECK(serves(listener, 0));
	sfront_listener_close(listener);
}

/* The first socket that is opened here gets the number that nobody has passed. */
static void number_of_our_own(void)
{
	static const char *const by_number[] = { "127.0.0.1:0", "accept-from-fd:3", NULL };
	static const char *const by_place[] = { "127.0.0.1:0", "sd-listen", NULL };
	struct sfront_listener *listener;
	int before;

	close(3);
	before = count_descriptors();
	CHECK(try_open_all(by_number, "", &listener) == -EBADF);
	CHECK_CONTAINS(why.message, "descriptor 3 is closed");
	CHECK(try_open_all(by_place, "sd-accept-ignore-environment", &listener) == -EBADF);
	CHECK_CONTAINS(why.message, "sd-listen: descriptor 3 is closed");
	CHECK(count_descriptors() == before);
}

/* Its owner goes on with it. */
static void options_of_one_that_was_refused(void)
{
	const int fds[] = { listening(AF_INET, 5) };
	struct sfront_listener *listener;

	hand_over(fds, 1, NULL);
	CHECK(try_open("sd-listen", "tcp-user-timeout=5s type-of-service=16 tcp-congestion=no-such",
		       &listener) < 0);
	CHECK_CONTAINS(why.message, "tcp-congestion");
	CHECK(socket_option(3, IPPROTO_TCP, TCP_USER_TIMEOUT) == 0);
	CHECK(socket_option(3, IPPROTO_IP, IP_TOS) == 0);
	CHECK(!is_nonblocking(3));
	listener = must_open("sd-listen", "");
	CHECK(serves(listener, 0));
	sfront_listener_close(listener);
}

/* It was connected: what became of it is told to whoever reads. */
static void connection_that_was_reset(void)
{
	const struct linger reset = { .l_onoff = 1 };
	struct sfront_listener *source = must_open("127.0.0.1:0", ""), *listener;
	struct sfront_connection connection;
	int client = connect_to(source, 0), fd;
	char byte;

	fd = accept(sfront_listener_fd(source, 0), NULL, NULL);
	sfront_listener_close(source);
	CHECK(dup2(fd, 3) == 3 && (fd == 3 || close(fd) == 0));
	CHECK(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0);
	close(client);
	listener = must_open("accept-from-fd:3", "");
	CHECK(sfront_listener_is_single(listener, 0));
	CHECK(sfront_listener_accept(listener, &connection) == 0);
	CHECK(read(connection.read_fd, &byte, 1) < 0 && errno == ECONNRESET);
	sfront_connection_close(&connection);
	sfront_listener_close(listener);
}

/* What of a listening socket is given back: each as text, from the kernel. */
static void describe(int fd, char *buf, size_t size)
{
	static const struct {
		int level, name;
	} asked[] = {
		{ SOL_SOCKET, SO_OOBINLINE },
		{ SOL_SOCKET, 83 /* SO_PASSRIGHTS */ },
		{ SOL_SOCKET, SO_KEEPALIVE },
		{ SOL_SOCKET, SO_MARK },
		{ SOL_SOCKET, SO_RCVBUF },
		{ SOL_SOCKET, SO_SNDBUF },
		{ SOL_SOCKET, 72 /* SO_BUF_LOCK */ },
		{ IPPROTO_TCP, TCP_NODELAY },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT },
		{ IPPROTO_TCP, TCP_FASTOPEN },
		{ IPPROTO_TCP, TCP_DEFER_ACCEPT },
		{ IPPROTO_TCP, TCP_KEEPIDLE },
		{ IPPROTO_TCP, TCP_KEEPCNT },
		{ IPPROTO_TCP, TCP_KEEPINTVL },
		{ IPPROTO_IP, IP_TOS },
		{ IPPROTO_IPV6, IPV6_TCLASS },
	};
	char congestion[16] = "";
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(congestion);
	size_t n = 0;

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		int value = -1;
		socklen_t value_len = sizeof(value);

		if (getsockopt(fd, asked[i].level, asked[i].name, &value, &value_len) == 0)
			n += (size_t)snprintf(buf + n, size - n, "%d.%d=%d ", asked[i].level,
					      asked[i].name, value);
	}
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, &len);
	len = sizeof(info);
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	snprintf(buf + n, size - n, "%s, backlog %u, %s", congestion, info.tcpi_sacked,
		 is_nonblocking(fd) ? "non-blocking" : "blocking");
}

#define EVERY_OPTION                                                                           \
	"tcp-keepalive=5000:3:5000 tcp-user-timeout=20s tcp-fast-open=7 tcp-defer-accept=30s " \
	"type-of-service=16 recv-buffer-size=8192 send-buffer-size=9000 tcp-listen-backlog=9 " \
	"tcp-congestion=reno"

/* As somebody else opened it, with values of their own. */
static int set_up(int family)
{
	int fd = listening(family, 77), off = 0, seconds = 600;

	if (family != AF_UNIX) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &off, sizeof(off));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
	}
	return fd;
}

static void given_back(void)
{
	const int fds[] = { set_up(AF_INET), set_up(AF_UNIX), set_up(AF_INET6) };
	static const char *const named[] = { "sd-listen:a", "sd-listen:b", "sd-listen:c" };
	char before[3][512], with[512], after[512];
	struct sfront_listener *listener;

	hand_over(fds, 3, "a:b:c");
	for (int i = 0; i < 3; i++)
		describe(3 + i, before[i], sizeof(before[i]));
	for (int i = 0; i < 3; i++) {
		int copy = dup(3 + i); /* whoever passed it has it too */

		listener = must_open(named[i], i == 1 ? "send-buffer-size=9000" : EVERY_OPTION);
		describe(copy, with, sizeof(with));
		CHECK(strcmp(before[i], with) != 0);
		CHECK(sfront_listener_restore(listener) == 0);
		sfront_listener_close(listener);
		describe(copy, after, sizeof(after));
		if (strcmp(before[i], after) != 0)
			dprintf(STDERR_FILENO, "%s\n%s\n%s\n", before[i], with, after);
		CHECK(strcmp(before[i], after) == 0);
		close(copy);
	}
}

/* One listener after the other, and what an update sets: it is what the first one found. */
static void given_back_by_the_last(void)
{
	const int fds[] = { set_up(AF_INET) };
	struct sfront_options *options = options_of("tcp-user-timeout=20s mptcp");
	struct sfront_listener *old, *new;
	char before[512], after[512];
	int copy;

	hand_over(fds, 1, NULL);
	copy = dup(3);
	describe(3, before, sizeof(before));
	old = must_open("sd-listen", "");
	CHECK(sfront_listener_update(old, NULL, options, &why) == 0);
	sfront_listener_lend(old);
	CHECK(sfront_listener_restore(old) == 0); /* another listener may have it */
	CHECK(socket_option(3, IPPROTO_TCP, TCP_USER_TIMEOUT) == 20000);
	new = must_open("accept-from-fd:3", EVERY_OPTION);
	sfront_listener_close(old);
	CHECK(sfront_listener_restore(new) == 0);
	describe(copy, after, sizeof(after));
	CHECK(strcmp(before, after) == 0);
	CHECK(sfront_listener_restore(new) == 0); /* once is enough */
	sfront_listener_close(new);
	CHECK(sfront_former_format(3, after, sizeof(after)) == 0);
	sfront_options_free(options);
	close(copy);
}

/* One process after the other. */
static void given_back_by_another_process(void)
{
	const int fds[] = { set_up(AF_INET) };
	struct sfront_listener *listener;
	char before[512], after[512], former[640], again[640];
	int copy;

	hand_over(fds, 1, NULL);
	copy = dup(3);
	describe(3, before, sizeof(before));
	CHECK(sfront_former_format(3, former, sizeof(former)) == 0 && former[0] == '\0');
	listener = must_open("accept-from-fd:3", EVERY_OPTION);
	CHECK(sfront_former_format(3, former, sizeof(former)) == strlen(former));
	CHECK(strlen(former) > 50);
	CHECK(sfront_former_format(3, again, 20) == strlen(former) && strlen(again) == 19);
	CHECK(sfront_former_parse(3, former) == -EBUSY);

	/* In the other one, that of whoever hands it over has another number. */
	CHECK(dup2(3, 20) == 20);
	CHECK(sfront_former_parse(20, "x.y=1") == -EINVAL);
	CHECK(sfront_former_parse(20, "1.2=") == -EINVAL);
	CHECK(sfront_former_parse(20, "1.2=-3") == -EINVAL);
	CHECK(sfront_former_parse(20, "a-name-that-is-too-long") == -EINVAL);
	strcat(former, " 77.99=5"); /* of a later version */
	CHECK(sfront_former_parse(20, former) == 0);
	sfront_listener_close(listener);
	listener = must_open("accept-from-fd:20", "tcp-user-timeout=5s");
	CHECK(sfront_former_format(20, again, sizeof(again)) > 50);
	CHECK(strncmp(again, former, strlen(again)) == 0);
	CHECK(sfront_listener_restore(listener) == 0);
	sfront_listener_close(listener);
	describe(copy, after, sizeof(after));
	CHECK(strcmp(before, after) == 0);
	close(copy);
}

/* A listener that could not be opened leaves nothing of what is always set. */
static void given_back_by_one_that_failed(void)
{
	const int fds[] = { set_up(AF_INET) };
	const char *const texts[] = { "sd-listen", "./no-such-directory/x", NULL };
	struct sfront_listener *listener;
	char before[512], after[512];

	hand_over(fds, 1, NULL);
	describe(3, before, sizeof(before));
	CHECK(try_open_all(texts, EVERY_OPTION, &listener) == -ENOENT);
	describe(3, after, sizeof(after));
	CHECK(strcmp(before, after) == 0);
	CHECK(try_open("sd-listen", "tcp-congestion=no-such", &listener) == -ENOENT);
	describe(3, after, sizeof(after));
	CHECK(strcmp(before, after) == 0);
}

static int pass_descriptor(int client)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memset(CMSG_DATA(header), 0, sizeof(int)); /* stdin */
	return sendmsg(client, &message, 0) < 0 ? -errno : 0;
}

/* Nobody passes descriptors to whoever accepts, on a kernel that knows how to refuse that. */
static void no_descriptors_by_unix(void)
{
	const int fds[] = { listening(AF_UNIX, 5) };
	struct sfront_listener *listeners[2], *own;
	struct sfront_connection connection;
	int early, on = -1, client;
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa) };
	socklen_t len = sizeof(on);
	char byte[4];

	if (getsockopt(fds[0], SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &on, &len) < 0) {
		CHECK(errno == ENOPROTOOPT); /* before Linux 6.16 */
		return;
	}
	CHECK(on == 1);
	hand_over(fds, 1, NULL);
	CHECK(getsockname(3, &addr.sa.any, &addr.len) == 0);
	early = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(connect(early, &addr.sa.any, addr.len) == 0);
	listeners[0] = must_open("sd-listen", "");
	listeners[1] = own = must_open("@sockfront-test-rights", "");

	CHECK(sfront_listener_accept(listeners[0], &connection) == 0);
	CHECK(connection.fds_may_come);
	CHECK(pass_descriptor(early) == -EPERM);
	sfront_connection_close(&connection);
	close(early);
	CHECK(sfront_listener_accept(listeners[0], &connection) == -EAGAIN);

	for (int i = 0; i < 2; i++) {
		client = connect_to(listeners[i], 0);
		CHECK(pass_descriptor(client) == -EPERM);
		CHECK(sfront_listener_accept(listeners[i], &connection) == 0);
		CHECK(!connection.fds_may_come);
		CHECK(pass_descriptor(client) == -EPERM);
		CHECK(write(client, "y", 1) == 1 && read(connection.read_fd, byte, 4) == 1);
		sfront_connection_close(&connection);
		close(client);
	}
	sfront_listener_close(own);
	sfront_listener_close(listeners[0]);
}

/* Others have the same socket, and its flags with it; nobody waits there. */
static void made_blocking_by_another(void)
{
	const int fds[] = { listening(AF_INET, 5) };
	struct sfront_connection connection;
	struct sfront_listener *listener;

	hand_over(fds, 1, NULL);
	listener = must_open("sd-listen", "");
	CHECK(fcntl(3, F_SETFL, fcntl(3, F_GETFL) & ~O_NONBLOCK) == 0);
	alarm(30); /* it would wait for ever */
	CHECK(sfront_listener_accept(listener, &connection) == -EAGAIN);
	alarm(0);
	CHECK(is_nonblocking(3));
	CHECK(serves(listener, 0));
	sfront_listener_close(listener);
}

/* Who has started us waits already, without the options that only the listener has. */
static void queued_before(void)
{
	const int fds[] = { listening(AF_INET, 5) };
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa) };
	struct sfront_connection connections[3];
	struct sfront_listener *listener;
	int clients[3];

	CHECK(getsockname(fds[0], &addr.sa.any, &addr.len) == 0);
	for (int i = 0; i < 2; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM, 0);
		CHECK(connect(clients[i], &addr.sa.any, addr.len) == 0);
	}
	CHECK(fcntl(clients[0], F_DUPFD, 50) >= 0 && fcntl(clients[1], F_DUPFD, 50) >= 0);
	hand_over(fds, 1, NULL);
	listener = must_open("sd-listen", "tcp-user-timeout=5s tcp-keepalive=30000::");
	clients[2] = connect_to(listener, 0);
	for (int i = 0; i < 3; i++) {
		int fd;

		CHECK(sfront_listener_accept(listener, &connections[i]) == 0);
		fd = connections[i].read_fd;
		CHECK(socket_option(fd, IPPROTO_TCP, TCP_NODELAY) > 0);
		CHECK(socket_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 5000);
		CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
		CHECK(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
		CHECK(socket_option(fd, SOL_SOCKET, SO_OOBINLINE) == 1);
		sfront_connection_close(&connections[i]);
	}
	sfront_listener_close(listener);
}

static void malformed(void)
{
	struct sfront_listener *listener;
	struct sfront_inherited inherited;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "lots", 1);
	CHECK(try_open("sd-listen", "", &listener) < 0);
	CHECK_CONTAINS(why.message, "LISTEN_FDS is \"lots\"");
	CHECK(sfront_inherited_at(0, &inherited) < 0);
	CHECK(sfront_inherited_reserve("own-") < 0);
}

static void path_is_not_removed(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sfront_listener *listener;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/sockfront-test-inherited.%d", getpid());
	CHECK(bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(fd, 5) == 0);
	hand_over(&fd, 1, NULL);
	listener = must_open("accept-from-fd:3", "unix-listen-unlink");
	CHECK_CONTAINS(warnings, "unix-listen-unlink has no effect on accept-from-fd:3");
	sfront_listener_format(listener, 0, text, sizeof(text));
	CHECK(strcmp(text, un.sun_path) == 0);
	CHECK(serves(listener, 0));
	sfront_listener_close(listener);
	CHECK(stat(un.sun_path, &st) == 0);
	CHECK(unlink(un.sun_path) == 0);
}

static bool is_taken(int fd)
{
	struct sfront_inherited inherited;

	CHECK(sfront_inherited_at((size_t)(fd - 3), &inherited) == 0 && inherited.fd == fd);
	return inherited.taken;
}

/* A configuration is read again: the new listener opens while the old one serves. */
static void lent_to_the_next(void)
{
	const int fds[] = { listening(AF_INET, 5), listening(AF_UNIX, 5) };
	struct sfront_listener *old, *new;

	hand_over(fds, 2, "web:web");
	old = must_open("sd-listen:web", "");
	CHECK(try_open("sd-listen:web", "", &new) == -EBUSY);
	sfront_listener_lend(old);
	sfront_listener_lend(old);
	CHECK(!is_taken(3) && !is_taken(4));
	CHECK(serves(old, 0) && serves(old, 1));
	new = must_open("sd-listen:web", "");
	CHECK(serves(old, 0) && serves(new, 0));
	CHECK(sfront_listener_take_back(old) == -EBUSY);
	sfront_listener_close(old);
	CHECK(is_taken(3) && is_taken(4));
	CHECK(serves(new, 0) && serves(new, 1));
	sfront_listener_close(new);
	CHECK(is_taken(3) && fcntl(3, F_GETFD) < 0 && fcntl(4, F_GETFD) < 0);
}

static bool probes_silent_clients(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	CHECK(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len) == 0);
	return on;
}

/* The new one is undone, after it was opened or while; the old one loses nothing. */
static void lent_and_taken_back(void)
{
	const int fds[] = { listening(AF_INET, 5), listening(AF_INET, 5), listening(AF_INET, 5) };
	const char *const fails[] = { "sd-listen:*", "./no-such-directory/x", NULL };
	struct sfront_listener *old, *new, *others[2];

	hand_over(fds, 3, "web:api:web");
	old = must_open("sd-listen:web", "");
	for (int i = 0; i < 3; i++) {
		sfront_listener_lend(old);
		CHECK(try_open_all(fails, "tcp-keepalive= tcp-user-timeout=5s", &new) == -ENOENT);
		CHECK(!probes_silent_clients(3) && !probes_silent_clients(4));
		CHECK(is_nonblocking(3) && is_nonblocking(5));
		new = must_open("sd-listen:web", "");
		sfront_listener_lend(new);
		sfront_listener_close(new);
		CHECK(sfront_listener_take_back(old) == 0);
		CHECK(sfront_listener_take_back(old) == 0); /* nothing is lent */
		CHECK(is_taken(3) && !is_taken(4) && is_taken(5));
		CHECK(is_nonblocking(3) && is_close_on_exec(3));
		CHECK(serves(old, 0) && serves(old, 1));
	}

	/* One of them is somebody else's now: the other comes back all the same. */
	sfront_listener_lend(old);
	others[0] = must_open("accept-from-fd:5", "");
	others[1] = must_open("accept-from-fd:4", "");
	CHECK(sfront_listener_take_back(old) == -EBUSY);
	CHECK(is_taken(3));
	sfront_listener_lend(others[0]);
	sfront_listener_close(others[0]);
	CHECK(sfront_listener_take_back(old) == 0);
	CHECK(try_open("accept-from-fd:3", "", &new) == -EBUSY);
	CHECK(try_open("accept-from-fd:5", "", &new) == -EBUSY);
	sfront_listener_close(old);
	sfront_listener_close(others[1]);
	CHECK(fcntl(3, F_GETFD) < 0 && fcntl(4, F_GETFD) < 0 && fcntl(5, F_GETFD) < 0);
}

static void lent_to_nobody(void)
{
	const int fds[] = { listening(AF_INET, 5), listening(AF_INET, 5) };
	struct sfront_listener *listener;

	hand_over(fds, 2, NULL);
	listener = must_open("sd-listen:*", "");
	sfront_listener_lend(listener);
	CHECK(sfront_listener_release(listener, 1) == 4);
	sfront_listener_lend(listener);
	sfront_listener_close(listener);
	CHECK(!is_taken(3) && is_nonblocking(3) && is_nonblocking(4));
	listener = must_open("sd-listen", "");
	CHECK(serves(listener, 0));
	sfront_listener_close(listener);
	CHECK(close(4) == 0);
}

/* What a listener opened itself, and a single connection, are never lent. */
static void lent_is_what_listens_and_was_inherited(void)
{
	const char *const texts[] = { "accept-from-fd:3", "accept-from-fd:4",
				      "@sockfront-test-lent", NULL };
	struct sfront_listener *listener, *other;
	int pair[2], fds[2] = { listening(AF_INET, 5) };

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	pair[1] = fcntl(pair[1], F_DUPFD, 50);
	fds[1] = pair[0];
	hand_over(fds, 2, NULL);
	CHECK(try_open_all(texts, "", &listener) == 0);
	sfront_listener_lend(listener);
	CHECK(!is_taken(3) && is_taken(4));
	CHECK(try_open("accept-from-fd:4", "", &other) == -EBUSY);
	CHECK(try_open("@sockfront-test-lent", "", &other) == -EADDRINUSE);
	CHECK(serves(listener, 0) && serves(listener, 2));
	sfront_listener_close(listener);
	CHECK(fcntl(3, F_GETFD) >= 0 && fcntl(4, F_GETFD) < 0);
	sfront_listener_close(must_open("@sockfront-test-lent", ""));
	sfront_listener_close(must_open("accept-from-fd:3", ""));
}

/* Names of the program's own are not for sd-listen. */
static void reserved(void)
{
	const int fds[] = { listening(AF_INET, 5), listening(AF_INET, 5), listening(AF_INET, 5),
			    listening(AF_INET, 5) };
	struct sfront_inherited inherited;
	struct sfront_listener *listener;
	char longest[SFRONT_NAME_SIZE + 1];

	hand_over(fds, 4, "own-a:web:own-b:api");
	memset(longest, 'l', sizeof(longest));
	longest[SFRONT_NAME_SIZE] = '\0';
	CHECK(sfront_inherited_reserve("") == -EINVAL);
	CHECK(sfront_inherited_reserve(longest) == -EINVAL);
	CHECK(sfront_inherited_reserve("other") == 0);
	CHECK(sfront_inherited_reserve("own-") == 2);
	CHECK(try_open("sd-listen:own-a", "", &listener) == -ENOENT);
	CHECK_CONTAINS(why.message, "there is \"web\", \"api\" (");
	listener = must_open("sd-listen", "");
	CHECK(sfront_listener_count(listener) == 1 && sfront_listener_fd(listener, 0) == 4);
	sfront_listener_lend(listener);
	sfront_listener_close(listener);
	listener = must_open("sd-listen", "sd-accept-ignore-environment");
	CHECK(sfront_listener_fd(listener, 0) == 4);
	sfront_listener_lend(listener);
	sfront_listener_close(listener);
	listener = must_open("sd-listen:*", "");
	CHECK(sfront_listener_count(listener) == 2);
	CHECK(sfront_listener_fd(listener, 0) == 4 && sfront_listener_fd(listener, 1) == 6);
	sfront_listener_close(listener);

	for (size_t i = 0; i < 4; i++)
		CHECK(sfront_inherited_at(i, &inherited) == 0 && inherited.taken == (i % 2 == 1));
	CHECK(sfront_inherited_at(4, &inherited) == -ENOENT);
	CHECK(sfront_inherited_reserve("we") == -EBUSY);
	CHECK(sfront_inherited_reserve("own-b") == 1); /* in the place of the other */
	listener = must_open("sd-listen:own-a", "");
	CHECK(sfront_listener_fd(listener, 0) == 3);
	sfront_listener_close(listener);
}

static void all_reserved(void)
{
	static const char *const texts[] = { "sd-listen", "sd-listen:*", "sd-listen:own-a" };
	const int fds[] = { listening(AF_INET, 5), listening(AF_INET, 5) };
	struct sfront_listener *listener;

	hand_over(fds, 2, "own-a:own-b");
	CHECK(sfront_inherited_reserve("own-") == 2);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		CHECK(try_open(texts[i], "sd-accept-ignore-environment", &listener) == -ENOENT);
		CHECK_CONTAINS(why.message, "LISTEN_FDS is 2");
	}
	CHECK(!is_taken(3) && !is_taken(4));
}

#define child_test(name)                      \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		in_child(name);               \
	}

/* clang-format off */
child_test(sd_listen_first)
child_test(sd_listen_names)
child_test(sd_listen_all)
child_test(failure_keeps_inherited)
child_test(connected_unix)
child_test(connected_tcp)
child_test(single_beside_listening)
child_test(single_not_taken)
child_test(not_a_stream)
child_test(refused_names_the_name)
child_test(nothing_passed)
child_test(passed_to_another)
child_test(passed_without_a_process)
child_test(counted_and_not_there)
child_test(names_that_do_not_count_up)
child_test(no_names)
child_test(name_of_every_connection)
child_test(a_socket_as_stdin)
child_test(a_listening_socket_as_stdin)
child_test(number_of_our_own)
child_test(options_of_one_that_was_refused)
child_test(given_back)
child_test(given_back_by_the_last)
child_test(given_back_by_another_process)
child_test(given_back_by_one_that_failed)
child_test(no_descriptors_by_unix)
child_test(connection_that_was_reset)
child_test(made_blocking_by_another)
child_test(queued_before)
child_test(malformed)
child_test(path_is_not_removed)
child_test(lent_to_the_next)
child_test(lent_and_taken_back)
child_test(lent_to_nobody)
child_test(lent_is_what_listens_and_was_inherited)
child_test(reserved)
child_test(all_reserved)
	/* clang-format on */

	int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_sd_listen_first),
		counted(test_sd_listen_names),
		counted(test_sd_listen_all),
		counted(test_failure_keeps_inherited),
		counted(test_connected_unix),
		counted(test_connected_tcp),
		counted(test_single_beside_listening),
		counted(test_single_not_taken),
		counted(test_not_a_stream),
		counted(test_refused_names_the_name),
		counted(test_nothing_passed),
		counted(test_passed_to_another),
		counted(test_passed_without_a_process),
		counted(test_counted_and_not_there),
		counted(test_names_that_do_not_count_up),
		counted(test_no_names),
		counted(test_name_of_every_connection),
		counted(test_a_socket_as_stdin),
		counted(test_a_listening_socket_as_stdin),
		counted(test_number_of_our_own),
		counted(test_options_of_one_that_was_refused),
		counted(test_given_back),
		counted(test_given_back_by_the_last),
		counted(test_given_back_by_another_process),
		counted(test_given_back_by_one_that_failed),
		counted(test_no_descriptors_by_unix),
		counted(test_connection_that_was_reset),
		counted(test_made_blocking_by_another),
		counted(test_queued_before),
		counted(test_malformed),
		counted(test_path_is_not_removed),
		counted(test_lent_to_the_next),
		counted(test_lent_and_taken_back),
		counted(test_lent_to_nobody),
		counted(test_lent_is_what_listens_and_was_inherited),
		counted(test_reserved),
		counted(test_all_reserved),
	};

	return cmocka_run_group_tests_name("inherited", tests, NULL, NULL);
}
