/* SPDX-License-Identifier: MIT */
/*
 * Sockets that outlive a process or a configuration: lib/adopt.c, and what
 * sfront_listener_update() changes.  What was claimed stays so for the life of a
 * process, so that each test is a child of its own, in a directory that has to
 * be empty again afterwards.
 */
#include "sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

#define ME "./app.sock"

static char directory[] = "/tmp/sockfront-test-adopt.XXXXXX";

/* The address that descriptor 0 of a listener has, as it is typed. */
static char typed[SFRONT_ADDRESS_TEXT_SIZE];

/* A socket of an earlier process, as exec() leaves it; typed is its address. */
static int passed_on(const char *text, const char *settings)
{
	struct sfront_listener *listener = must_open(text, settings);
	int fd;

	sfront_listener_format(listener, 0, typed, sizeof(typed));
	fd = sfront_listener_release(listener, 0);
	sfront_listener_close(listener);
	CHECK(fd >= 0 && fcntl(fd, F_SETFD, 0) == 0);
	CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0);
	return fd;
}

static int try_adopt(const char *text, const char *settings, const int *fds, size_t n,
		     struct sfront_listener **ret)
{
	struct sfront_options *options = options_of(settings);
	struct sfront_address address;
	int r;

	why.message[0] = '\0';
	warnings[0] = '\0';
	CHECK(sfront_address_parse(text, &address, &why) == 0);
	r = sfront_listener_adopt(&address, fds, n, options, ret, &why);
	sfront_options_free(options);
	return r;
}

static struct sfront_listener *must_adopt(const char *text, const char *settings, int fd)
{
	struct sfront_listener *listener = NULL;

	if (try_adopt(text, settings, &fd, 1, &listener) < 0) {
		dprintf(STDERR_FILENO, "%s: %s\n", text, why.message);
		abort();
	}
	return listener;
}

/* Refused with that error and reason; the descriptor is as it was, and to be had. */
static void refuses(const char *text, int fd, int error, const char *reason)
{
	struct sfront_listener *untouched = (struct sfront_listener *)&fd, *listener = untouched;
	int status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD);
	int before = count_descriptors();

	for (int i = 0; i < 2; i++) {
		CHECK(try_adopt(text, "", &fd, 1, &listener) == error);
		CHECK(listener == untouched);
		CHECK_CONTAINS(why.message, reason);
		CHECK_CONTAINS(why.message, text);
	}
	CHECK(fcntl(fd, F_GETFL) == status && fcntl(fd, F_GETFD) == flags);
	CHECK(count_descriptors() == before);
}

static unsigned int backlog_of(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	CHECK(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
	return info.tcpi_sacked;
}

static void a_tcp_socket(void)
{
	int fd = passed_on("127.0.0.1:0", "tcp-listen-backlog=7");
	struct sfront_listener *listener, *other;
	char text[SFRONT_ADDRESS_TEXT_SIZE], number[32];

	listener = must_adopt(typed, "tcp-keepalive=30000:: tcp-listen-backlog=9", fd);
	CHECK(warnings[0] == '\0');
	CHECK(sfront_listener_count(listener) == 1 && sfront_listener_fd(listener, 0) == fd);
	CHECK(sfront_listener_kind(listener, 0) == SFRONT_TCP);
	CHECK(sfront_listener_stream(listener, 0) == SFRONT_STREAM_TCP);
	CHECK(!sfront_listener_is_inherited(listener, 0) &&
	      !sfront_listener_is_single(listener, 0));
	sfront_listener_format(listener, 0, text, sizeof(text));
	CHECK(strcmp(text, typed) == 0);
	CHECK(is_nonblocking(fd) && is_close_on_exec(fd));
	CHECK(backlog_of(fd) == 9);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_NODELAY) > 0);
	CHECK(socket_option(fd, SOL_SOCKET, SO_OOBINLINE) == 1);
	CHECK(sfront_listener_check(listener, 0) == 0 &&
	      sfront_listener_check(listener, 1) == -EINVAL);
	CHECK(serves(listener, 0));

	/* Nobody else gets it, now or later. */
	CHECK(try_adopt(typed, "", &fd, 1, &other) == -EBUSY);
	CHECK_CONTAINS(why.message, "only one listener can have it");
	snprintf(number, sizeof(number), "accept-from-fd:%d", fd);
	CHECK(try_open(number, "", &other) == -EBUSY);
	sfront_listener_close(listener);
	CHECK(fcntl(fd, F_GETFD) < 0);
	CHECK(try_open(number, "", &other) == -EBUSY);
}

static void the_default_backlog(void)
{
	int fd = passed_on("127.0.0.1:0", "tcp-listen-backlog=7");
	struct sfront_listener *listener = must_adopt("127.0.0.1:0", "", fd);

	CHECK(backlog_of(fd) > 7);
	sfront_listener_close(listener);
}

static void a_host_and_port_that_fit(void)
{
	static const char *const fitting[] = { "127.0.0.1:0", "localhost:0" };
	int fd = passed_on("127.0.0.1:0", "");
	const char *port = strrchr(typed, ':') + 1;
	char text[64];

	refuses("127.0.0.2:0", fd, -EINVAL, typed);
	refuses("127.0.0.1:1", fd, -EINVAL, "another address");
	refuses("localhost:1", fd, -EINVAL, "another address");
	refuses("*:0", fd, -EINVAL, "another address");
	refuses("[::1]:0", fd, -EINVAL, "another address");
	refuses("localhost:no-such-service", fd, -ENOENT, "no TCP service");
	refuses("127.0.0.1:no-such-service", fd, -ENOENT, "no TCP service");
	refuses(ME, fd, -EINVAL, "another address");
	refuses("@sockfront-test-adopt", fd, -EINVAL, "another address");
	refuses("vsock:any:80", fd, -EINVAL, "another address");

	for (size_t i = 0; i < sizeof(fitting) / sizeof(fitting[0]); i++) {
		int copy = fcntl(fd, F_DUPFD, 20 + (int)i);

		sfront_listener_close(must_adopt(fitting[i], "", copy));
	}
	snprintf(text, sizeof(text), "localhost:%s", port);
	sfront_listener_close(must_adopt(text, "", fd));
}

static void every_address(void)
{
	struct sfront_listener *listener;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	int fd = passed_on("*:0", "");

	listener = must_adopt("*:0", "", fd);
	sfront_listener_format(listener, 0, text, sizeof(text));
	CHECK(strcmp(text, typed) == 0);
	sfront_listener_close(listener);

	/* Where there was no IPv6. */
	fd = fcntl(passed_on("0.0.0.0:0", ""), F_DUPFD, 30);
	listener = must_adopt("*:0", "", fd);
	sfront_listener_format(listener, 0, text, sizeof(text));
	CHECK(strcmp(text, typed) == 0);
	sfront_listener_close(listener);
}

static void several_sockets_of_a_host(void)
{
	const int fds[] = { passed_on("127.0.0.1:0", ""), passed_on("127.0.0.2:0", "") };
	struct sfront_listener *listener;
	int pair[2];

	CHECK(pipe(pair) == 0);
	CHECK(try_adopt("localhost:0", "", (int[]){ fds[0], pair[0] }, 2, &listener) == -ENOTSOCK);
	CHECK_CONTAINS(why.message, "is a FIFO; a listening stream socket is needed");
	CHECK(try_adopt("localhost:0", "", (int[]){ fds[0], fds[0] }, 2, &listener) == -EBUSY);
	CHECK(!is_nonblocking(fds[0]) && !is_close_on_exec(fds[0]));

	CHECK(try_adopt("localhost:0", "", fds, 2, &listener) == 0);
	CHECK(sfront_listener_count(listener) == 2);
	CHECK(serves(listener, 0) && serves(listener, 1));
	sfront_listener_close(listener);
	CHECK(fcntl(fds[0], F_GETFD) < 0 && fcntl(fds[1], F_GETFD) < 0);
}

static void a_path(void)
{
	int fd = passed_on(ME, "");
	struct sfront_listener *listener = must_adopt(ME, "unix-listen-chmod=600", fd);
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct stat st;
	dev_t device;
	ino_t inode;

	CHECK(warnings[0] == '\0');
	CHECK(sfront_listener_kind(listener, 0) == SFRONT_UNIX);
	CHECK(!sfront_listener_is_inherited(listener, 0));
	sfront_listener_format(listener, 0, text, sizeof(text));
	CHECK(strcmp(text, ME) == 0);
	CHECK(lstat(ME, &st) == 0 && (st.st_mode & 07777) == 0600);
	CHECK(sfront_listener_path_id(listener, 0, &device, &inode) == 0);
	CHECK(device == st.st_dev && inode == st.st_ino);
	CHECK(sfront_listener_path_id(listener, 1, &device, &inode) == -ENOENT);
	CHECK(sfront_listener_check(listener, 0) == 0);
	CHECK(serves(listener, 0));
	sfront_listener_close(listener);
	CHECK(lstat(ME, &st) < 0 && fcntl(fd, F_GETFD) < 0);
}

/* Relative and absolute text of one place, and of two. */
static void a_path_in_other_words(void)
{
	char absolute[256], elsewhere[300];
	int fd = passed_on(ME, "");

	CHECK(getcwd(absolute, 200) && mkdir("./dir", 0700) == 0);
	snprintf(elsewhere, sizeof(elsewhere), "%s/dir/app.sock", absolute);
	strcat(absolute, "/app.sock");
	refuses("./dir/app.sock", fd, -EINVAL, "another address");
	refuses(elsewhere, fd, -EINVAL, "another address");
	refuses("./other.sock", fd, -EINVAL, "another address");
	sfront_listener_close(must_adopt(absolute, "", fd));

	fd = fcntl(passed_on(ME, ""), F_DUPFD, 20);
	CHECK(chdir("./dir") == 0);
	refuses("./app.sock", fd, -EINVAL, "another address");
	sfront_listener_close(must_adopt("../app.sock", "", fd));
	CHECK(chdir("..") == 0 && rmdir("./dir") == 0);
}

/* Everywhere a listening socket, but not where it was. */
static void a_path_that_is_lost(void)
{
	int fd, file;

	CHECK(mkdir("./dir", 0700) == 0);
	fd = passed_on("./dir/app.sock", "");
	refuses(ME, fd, -EINVAL, "/dir/app.sock, another address");
	refuses("@app.sock", fd, -EINVAL, "another address");
	CHECK(unlink("./dir/app.sock") == 0);
	refuses("./dir/app.sock", fd, -ESTALE, "the path is gone");
	file = open("./dir/app.sock", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	refuses("./dir/app.sock", fd, -ESTALE, "a regular file is where");
	CHECK(close(file) == 0 && unlink("./dir/app.sock") == 0);
	CHECK(symlink("../elsewhere", "./dir/app.sock") == 0);
	refuses("./dir/app.sock", fd, -ESTALE, "a symbolic link is where");
	CHECK(unlink("./dir/app.sock") == 0 && rmdir("./dir") == 0);
	refuses("./dir/app.sock", fd, -ESTALE, "directory ./dir does not exist");
}

static void an_abstract_name(void)
{
	int fd = passed_on("@sockfront-test-adopt", ""), unnamed = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sfront_listener *listener;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	dev_t device;
	ino_t inode;

	refuses("@sockfront-test-adop", fd, -EINVAL, "another address");
	CHECK(listen(unnamed, 5) < 0); /* not bound: no listening socket is without a name */
	refuses("@sockfront-test-adopt", unnamed, -EPROTOTYPE, "neither listens nor is connected");
	listener = must_adopt("@sockfront-test-adopt", "send-buffer-size=30000", fd);
	CHECK(sfront_listener_kind(listener, 0) == SFRONT_ABSTRACT);
	sfront_listener_format(listener, 0, text, sizeof(text));
	CHECK(strcmp(text, "@sockfront-test-adopt") == 0);
	CHECK(sfront_listener_path_id(listener, 0, &device, &inode) == -ENOENT);
	CHECK(sfront_listener_check(listener, 0) == 0);
	CHECK(serves(listener, 0));
	sfront_listener_close(listener);
}

static void no_listening_socket(void)
{
	struct sfront_listener *listener;
	int pair[2], datagram = socket(AF_INET, SOCK_DGRAM, 0), fd = passed_on(ME, "");

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	refuses("127.0.0.1:0", datagram, -EPROTOTYPE, "a datagram socket");
	refuses(ME, pair[0], -EPROTOTYPE, "a socket that is connected");
	refuses(ME, 999, -EBADF, "descriptor 999 is closed");
	refuses("sd-listen", fd, -EINVAL, "only sockets that a process opens itself");
	refuses("accept-from-fd:3", fd, -EINVAL, "not inherited ones");
	refuses("-", fd, -EINVAL, "not inherited ones");
	CHECK(try_adopt(ME, "", &fd, 0, &listener) == -EINVAL);
	CHECK_CONTAINS(why.message, "there is no socket to adopt");
	CHECK(try_adopt(ME, "", (int[]){ fd, fd }, 2, &listener) == -EINVAL);
	CHECK_CONTAINS(why.message, "one socket");
	CHECK(sfront_listener_adopt(&(struct sfront_address){ .kind = SFRONT_KINDS }, &fd, 1, NULL,
				    &listener, &why) == -EINVAL);
	unlink(ME);
}

/* A failure after the checks: options that were set stay, the blocking mode comes back. */
static void an_option_that_is_refused(void)
{
	int fd = passed_on("127.0.0.1:0", "");
	struct sfront_listener *listener;

	CHECK(try_adopt(typed, "tcp-congestion=no-such", &fd, 1, &listener) == -ENOENT);
	CHECK_CONTAINS(why.message, "tcp-congestion");
	CHECK(!is_nonblocking(fd) && !is_close_on_exec(fd));
	listener = must_adopt(typed, "", fd);
	CHECK(serves(listener, 0));
	sfront_listener_close(listener);
}

static void nothing_is_changed(void)
{
	int fd = passed_on("127.0.0.1:0", "tcp-keepalive=30000:: tcp-listen-backlog=9");
	struct sfront_address address;
	struct sfront_listener *listener;
	int on = 0;
	socklen_t len = sizeof(on);

	CHECK(sfront_address_parse(typed, &address, &why) == 0);
	CHECK(sfront_listener_adopt(&address, &fd, 1, NULL, &listener, &why) == 0);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len) == 0 && on);
	CHECK(backlog_of(fd) == 9);
	sfront_listener_close(listener);
}

static void what_works_before_bind_alone(void)
{
	int fd = passed_on("127.0.0.1:0", "tcp-reuse-port");
	int copy = fcntl(fd, F_DUPFD, 20), another = fcntl(fd, F_DUPFD, 20);

	sfront_listener_close(must_adopt(typed, "tcp-reuse-port ip-freebind=no", fd));
	CHECK(warnings[0] == '\0');
	sfront_listener_close(must_adopt(typed, "tcp-reuse-port=no ip-freebind", copy));
	CHECK_CONTAINS(warnings, "tcp-reuse-port cannot be changed");
	CHECK_CONTAINS(warnings, "ip-freebind cannot be changed");
	sfront_listener_close(must_adopt(typed, "unix-listen-chmod=600", another));
	CHECK(warnings[0] == '\0');
}

/* Reaching a path */

static void a_path_that_goes_away(void)
{
	struct sfront_listener *listener = must_open(ME, "");
	int file;

	CHECK(sfront_listener_check(listener, 0) == 0);
	CHECK(rename(ME, "./moved") == 0);
	CHECK(sfront_listener_check(listener, 0) == -ENOENT);
	file = open(ME, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK(sfront_listener_check(listener, 0) == -ESTALE);
	CHECK(close(file) == 0 && unlink(ME) == 0);
	CHECK(symlink("./moved", ME) == 0);
	CHECK(sfront_listener_check(listener, 0) == -ESTALE);
	CHECK(rename("./moved", ME) == 0);
	CHECK(sfront_listener_check(listener, 0) == 0);
	close(sfront_listener_release(listener, 0));
	CHECK(sfront_listener_check(listener, 0) == 0);
	sfront_listener_close(listener);
	CHECK(unlink(ME) == 0);
}

/* Other options */

static int update(struct sfront_listener *listener, const char *from, const char *to)
{
	struct sfront_options *old = options_of(from), *new = options_of(to);
	int r;

	why.message[0] = '\0';
	warnings[0] = '\0';
	r = sfront_listener_update(listener, old, new, &why);
	sfront_options_free(old);
	sfront_options_free(new);
	return r;
}

/* Says nothing, or all of @expected. */
static void updates(struct sfront_listener *listener, const char *from, const char *to,
		    const char *expected)
{
	if (update(listener, from, to) < 0) {
		dprintf(STDERR_FILENO, "%s: %s\n", to, why.message);
		abort();
	}
	if (expected)
		CHECK_CONTAINS(warnings, expected);
	else
		CHECK(strcmp(warnings, "") == 0);
}

#define ALL_OF_TCP                                                                     \
	"tcp-nodelay=no tcp-keepalive=30000:4:5000 tcp-user-timeout=7s "               \
	"tcp-defer-accept=3s tcp-listen-backlog=9 type-of-service=16 tcp-fast-open=5 " \
	"tcp-congestion=reno"

static void is_with_all_of_tcp(int fd)
{
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_NODELAY) == 0);
	CHECK(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT) == 4);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 5);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 7000);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) >= 3);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_FASTOPEN) == 5);
	CHECK(socket_option(fd, IPPROTO_IP, IP_TOS) == 16);
	CHECK(backlog_of(fd) == 9);
}

static void is_with_defaults(int fd)
{
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_NODELAY) > 0);
	CHECK(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE) == 0);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 0);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) == 0);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_FASTOPEN) == 0);
	CHECK(socket_option(fd, IPPROTO_IP, IP_TOS) == 0);
	CHECK(backlog_of(fd) > 9);
}

static const char *congestion_of(int fd)
{
	static char name[16];
	socklen_t len = sizeof(name);

	CHECK(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len) == 0);
	return name;
}

static void there_and_back(void)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	int fd = sfront_listener_fd(listener, 0);
	char congestion[16];

	is_with_defaults(fd);
	snprintf(congestion, sizeof(congestion), "%s", congestion_of(fd));
	CHECK(update(listener, "", ALL_OF_TCP) == 0);
	CHECK(!strstr(warnings, "restart"));
	is_with_all_of_tcp(fd);
	updates(listener, ALL_OF_TCP, ALL_OF_TCP, NULL);
	CHECK(strcmp(congestion_of(fd), "reno") == 0);
	updates(listener, ALL_OF_TCP, "", NULL);
	CHECK(strcmp(congestion_of(fd), congestion) == 0);
	is_with_defaults(fd);
	CHECK(serves(listener, 0));
	CHECK(sfront_listener_update(listener, NULL, NULL, &why) == 0);
	sfront_listener_close(listener);
}

static int system_keepalive_time(void)
{
	struct sfront_listener *fresh = must_open("127.0.0.1:0", "");
	int time = socket_option(sfront_listener_fd(fresh, 0), IPPROTO_TCP, TCP_KEEPIDLE);

	sfront_listener_close(fresh);
	return time;
}

static void parts_of_keepalive(void)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "tcp-keepalive=30000:4:5000");
	int fd = sfront_listener_fd(listener, 0);

	updates(listener, "tcp-keepalive=30000:4:5000", "tcp-keepalive=:3:", NULL);
	CHECK(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == system_keepalive_time());
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT) == 3);
	updates(listener, "tcp-keepalive=:3:", "tcp-keepalive=no", NULL);
	CHECK(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE) == 0);
	updates(listener, "tcp-keepalive=no", "tcp-keepalive=:3:7000", NULL);
	updates(listener, "tcp-keepalive=:3:7000", "", NULL);
	updates(listener, "", "tcp-keepalive=", NULL);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT) != 3);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL) != 7);
	sfront_listener_close(listener);
}

static void what_cannot_be_changed(void)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	static const char *const fixed[] = { "mptcp", "bind-to-device=lo", "tcp-reuse-port",
					     "ip-freebind", "ip-transparent" };
	const size_t n_unknown = 2; /* of which the socket cannot be asked */
	char expected[128], address[SFRONT_ADDRESS_TEXT_SIZE / 4];

	sfront_listener_format(listener, 0, address, sizeof(address));
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		snprintf(expected, sizeof(expected), "%s: %.*s cannot be changed", address,
			 (int)strcspn(fixed[i], "="), fixed[i]);
		updates(listener, "", fixed[i], expected);
		updates(listener, fixed[i], "", i < n_unknown ? expected : NULL);
		updates(listener, fixed[i], fixed[i], NULL);
	}
	CHECK(socket_option(sfront_listener_fd(listener, 0), SOL_SOCKET, SO_REUSEPORT) == 0);
	/* Of no effect on such a socket, or only while it is opened. */
	updates(listener, "", "tcp-only-v6 unix-listen-chmod=600 sd-accept-ignore-environment",
		NULL);
	updates(listener, "tcp-congestion=reno recv-buffer-size=30000", "tcp-reuse-port=no",
		"tcp-congestion stays as it was while the socket is open");
	CHECK_CONTAINS(warnings, "recv-buffer-size stays as it was");
	CHECK(!strstr(warnings, "tcp-reuse-port"));
	sfront_listener_close(listener);

	/* What it was opened with it has. */
	listener = must_open("127.0.0.1:0", "tcp-reuse-port");
	updates(listener, "tcp-reuse-port", "", "tcp-reuse-port cannot be changed");
	updates(listener, "", "tcp-reuse-port", NULL);
	sfront_listener_close(listener);
}

static void a_change_that_is_refused(void)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	int fd = sfront_listener_fd(listener, 0);
	static const char to[] = "tcp-nodelay=no type-of-service=16 tcp-congestion=no-such";

	CHECK(update(listener, "", to) == -ENOENT);
	CHECK_CONTAINS(why.message, "tcp-congestion cannot be set");
	CHECK_CONTAINS(why.message, "127.0.0.1:");
	CHECK(update(listener, to, "") == 0);
	is_with_defaults(fd);
	CHECK(serves(listener, 0));
	sfront_listener_close(listener);
}

/* What its owner had set comes back, whether an update or the first listener changed it. */
static void an_inherited_socket(void)
{
	static const char owners[] =
		"tcp-keepalive=77000:4: tcp-user-timeout=5s type-of-service=16";
	int fd = passed_on("127.0.0.1:0", owners);
	struct sfront_listener *listener;
	char number[32];

	snprintf(number, sizeof(number), "accept-from-fd:%d", fd);
	listener = must_open(number, "tcp-nodelay=no tcp-keepalive=no");
	CHECK(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE) == 0);
	updates(listener, "tcp-nodelay=no tcp-keepalive=no",
		"tcp-keepalive=30000:: tcp-user-timeout=7s", NULL);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_NODELAY) > 0);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 7000);
	updates(listener, "tcp-keepalive=30000:: tcp-user-timeout=7s", "type-of-service=8", NULL);
	CHECK(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT) == 4);
	CHECK(socket_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 5000);
	CHECK(socket_option(fd, IPPROTO_IP, IP_TOS) == 8);
	updates(listener, "type-of-service=8", "", NULL);
	CHECK(socket_option(fd, IPPROTO_IP, IP_TOS) == 16);

	updates(listener, "", "tcp-listen-backlog=9 recv-buffer-size=30000", NULL);
	CHECK(backlog_of(fd) == 9);
	updates(listener, "tcp-listen-backlog=9 recv-buffer-size=30000", "tcp-reuse-port",
		"tcp-listen-backlog stays as it was: what the inherited socket had");
	CHECK_CONTAINS(warnings, "recv-buffer-size stays as it was");
	CHECK(!strstr(warnings, "tcp-reuse-port"));
	CHECK(backlog_of(fd) == 9 && serves(listener, 0));
	sfront_listener_close(listener);
}

static void nothing_to_change(void)
{
	struct sfront_listener *listener;
	char number[32];
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	snprintf(number, sizeof(number), "accept-from-fd:%d", pair[0]);
	listener = must_open(number, "");
	updates(listener, "", "send-buffer-size=30000 tcp-listen-backlog=9", NULL);
	sfront_listener_close(listener);

	listener = must_open("127.0.0.1:0", "");
	close(sfront_listener_release(listener, 0));
	updates(listener, "", "tcp-nodelay=no tcp-reuse-port", NULL);
	sfront_listener_close(listener);
}

static bool has_access(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	struct stat st;

	return lstat(path, &st) == 0 && (st.st_mode & 07777) == mode && st.st_uid == uid &&
	       st.st_gid == gid;
}

static int send_buffer_of_a_connection(struct sfront_listener *listener)
{
	struct sfront_connection connection;
	int client = connect_to(listener, 0), size;

	CHECK(sfront_listener_accept(listener, &connection) == 0);
	size = socket_option(connection.write_fd, SOL_SOCKET, SO_SNDBUF);
	sfront_connection_close(&connection);
	close(client);
	return size;
}

static void mode_of_a_path(void)
{
	struct sfront_listener *listener = must_open(ME, "");
	uid_t me = getuid();
	gid_t us = getgid();
	int size = send_buffer_of_a_connection(listener);

	CHECK(has_access(ME, 0755, me, us));
	updates(listener, "", "unix-listen-chmod=600 send-buffer-size=30000", NULL);
	CHECK(has_access(ME, 0600, me, us));
	CHECK(send_buffer_of_a_connection(listener) == 60000);
	updates(listener, "unix-listen-chmod=600 send-buffer-size=30000", "", NULL);
	CHECK(has_access(ME, 0755, me, us));
	CHECK(send_buffer_of_a_connection(listener) == size);
	sfront_listener_close(listener);

	/* What it would have been without is not known then. */
	listener = must_open(ME, "unix-listen-chmod=600");
	updates(listener, "unix-listen-chmod=600", "unix-listen-unlink",
		"what the path had without unix-listen-chmod is not known");
	CHECK(has_access(ME, 0600, me, us));
	updates(listener, "", "unix-listen-chmod=640", NULL);
	CHECK(has_access(ME, 0640, me, us));
	sfront_listener_close(listener);
}

static void owner_of_a_path(void)
{
	struct sfront_listener *listener;

	if (getuid() != 0)
		return;
	listener = must_open(ME, "");
	updates(listener, "", "unix-listen-uid=1234 unix-listen-gid=4321", NULL);
	CHECK(has_access(ME, 0755, 1234, 4321));
	updates(listener, "unix-listen-uid=1234 unix-listen-gid=4321", "unix-listen-gid=4321",
		NULL);
	CHECK(has_access(ME, 0755, 0, 4321));
	CHECK(setegid(65534) == 0 && seteuid(65534) == 0);
	CHECK(update(listener, "", "unix-listen-uid=5") == -EPERM);
	CHECK_CONTAINS(why.message, "unix-listen-uid cannot be set");
	updates(listener, "", "unix-listen-uid=0", NULL); /* as it is already */
	CHECK(seteuid(0) == 0 && setegid(0) == 0);
	sfront_listener_close(listener);
}

/* Somebody else's file keeps its mode, whatever it is. */
static void mode_of_another(void)
{
	struct sfront_listener *listener = must_open(ME, "");
	int file;

	CHECK(unlink(ME) == 0);
	updates(listener, "", "unix-listen-chmod=600", "mode and owner stay: the path is gone");
	file = open("./precious", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	CHECK(close(file) == 0 && symlink("./precious", ME) == 0);
	updates(listener, "", "unix-listen-chmod=600", "something else is at the path now");
	CHECK(has_access("./precious", 0644, getuid(), getgid()));
	CHECK(unlink(ME) == 0 && rename("./precious", ME) == 0);
	updates(listener, "", "unix-listen-chmod=600", "something else is at the path now");
	CHECK(has_access(ME, 0644, getuid(), getgid()));
	CHECK(unlink(ME) == 0);
	sfront_listener_close(listener);
}

static const struct promise {
	const char *name;
	void (*keep)(void);
} promises[] = {
#define PROMISE(function)           \
	{                           \
#function, function \
	}
	PROMISE(a_tcp_socket),
	PROMISE(the_default_backlog),
	PROMISE(a_host_and_port_that_fit),
	PROMISE(every_address),
	PROMISE(several_sockets_of_a_host),
	PROMISE(a_path),
	PROMISE(a_path_in_other_words),
	PROMISE(a_path_that_is_lost),
	PROMISE(an_abstract_name),
	PROMISE(no_listening_socket),
	PROMISE(an_option_that_is_refused),
	PROMISE(nothing_is_changed),
	PROMISE(what_works_before_bind_alone),
	PROMISE(a_path_that_goes_away),
	PROMISE(there_and_back),
	PROMISE(parts_of_keepalive),
	PROMISE(what_cannot_be_changed),
	PROMISE(a_change_that_is_refused),
	PROMISE(an_inherited_socket),
	PROMISE(nothing_to_change),
	PROMISE(mode_of_a_path),
	PROMISE(owner_of_a_path),
	PROMISE(mode_of_another),
};

#define PROMISES (sizeof(promises) / sizeof(promises[0]))

static void test_promise(void **state)
{
	const struct promise *promise = *state;

	in_child(promise->keep);
}

static int teardown(void **state)
{
	/* Which fails unless it is empty. */
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(mkdir(directory, 0777), 0);
	assert_int_equal(chdir(directory), 0);
	return descriptors_teardown(state);
}

int main(void)
{
	struct CMUnitTest tests[PROMISES];
	int failed;

	umask(022);
	if (!mkdtemp(directory) || chdir(directory) < 0)
		return 1;
	for (size_t i = 0; i < PROMISES; i++)
		tests[i] = (struct CMUnitTest){ promises[i].name, test_promise, descriptors_setup,
						teardown, (void *)&promises[i] };
	failed = cmocka_run_group_tests_name("adopt", tests, NULL, NULL);
	if (chdir("/") < 0 || rmdir(directory) < 0)
		return 1;
	return failed;
}
