/* SPDX-License-Identifier: MIT */
/*
 * kinds PART=0|1...: whether a build of the library has what it should have, and
 * refuses the rest in words.  tests/switches runs it with every combination.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sockfront/getopt.h>
#include <sockfront/inih.h>
#include <sockfront/listener.h>
#include <sockfront/memory.h>

static struct sfront_error why;

#define CHECK(condition)                                                                   \
	do {                                                                               \
		if (!(condition)) {                                                        \
			dprintf(STDERR_FILENO, "%s:%d: %s (\"%s\")\n", __FILE__, __LINE__, \
				#condition, why.message);                                  \
			exit(1);                                                           \
		}                                                                          \
	} while (0)

/* In the place of the C library's: no test makes a vsock socket. */
int socket(int domain, int type, int protocol)
{
	if (domain == AF_VSOCK) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	return (int)syscall(SYS_socket, domain, type, protocol);
}

static bool says(const char *part)
{
	return strstr(why.message, part) != NULL;
}

static int try_open(const char *text, struct sfront_listener **ret)
{
	struct sfront_address address;

	why.message[0] = '\0';
	CHECK(sfront_address_parse(text, &address, &why) == 0);
	return sfront_listener_open(&address, 1, NULL, ret, &why);
}

/* Connects to it, and is heard. */
static void check_serves(struct sfront_listener *listener, bool tcp)
{
	struct sfront_connection connection;
	struct sfront_sockaddr addr;
	int on = 0, fd;
	socklen_t len = sizeof(on);
	char byte = 0;

	CHECK(sfront_listener_local(listener, 0, &addr) == 0);
	fd = socket(addr.sa.any.sa_family, SOCK_STREAM, 0);
	CHECK(connect(fd, &addr.sa.any, addr.len) == 0 && write(fd, "x", 1) == 1);
	CHECK(poll(&(struct pollfd){ .fd = sfront_listener_fd(listener, 0), .events = POLLIN }, 1,
		   5000) == 1);
	CHECK(sfront_listener_accept(listener, &connection) == 0);
	CHECK(poll(&(struct pollfd){ .fd = connection.read_fd, .events = POLLIN }, 1, 5000) == 1);
	CHECK(read(connection.read_fd, &byte, 1) == 1 && byte == 'x');
	if (tcp) /* the default, with the table of options or without */
		CHECK(getsockopt(connection.read_fd, IPPROTO_TCP, TCP_NODELAY, &on, &len) == 0 &&
		      on);
	sfront_connection_close(&connection);
	close(fd);
}

static void check_kind(const char *text, bool there, const char *what)
{
	struct sfront_listener *listener;
	char expected[64];
	int r = try_open(text, &listener);

	if (there) {
		CHECK(r == 0);
		check_serves(listener, strchr(text, ':') != NULL);
		sfront_listener_close(listener);
	} else {
		snprintf(expected, sizeof(expected), "built without %s", what);
		CHECK(r == -EAFNOSUPPORT && says(expected));
	}
}

static void check_vsock(bool there)
{
	struct sfront_listener *listener;

	CHECK(try_open("vsock:any:5000", &listener) == -EAFNOSUPPORT);
	CHECK(says(there ? "this kernel has no vsock" : "built without vsock"));
}

static void check_inherited(bool there)
{
	struct sfront_listener *own, *listener = NULL;
	struct sfront_inherited inherited;
	char text[64];
	int fd;

	CHECK(try_open("127.0.0.1:0", &own) == 0);
	CHECK(sfront_inherited_at(0, &inherited) == -ENOENT);
	CHECK(sfront_inherited_reserve("own-") == 0 && sfront_inherited_reserve("") == -EINVAL);
	fd = dup(sfront_listener_fd(own, 0));
	snprintf(text, sizeof(text), "accept-from-fd:%d", fd);
	check_kind(text, there, "accept-from-fd");
	if (!there) {
		close(fd);
		check_kind("sd-listen:web", false, "sd-listen");
	} else {
		CHECK(try_open("sd-listen", &listener) == -ENOENT && says("LISTEN_FDS"));
	}
	sfront_listener_close(own);
}

/* A socket of another address, for a kind of address that may be absent. */
static void check_adoption(const char *text, int fd, bool there, const char *what)
{
	struct sfront_listener *listener;
	struct sfront_address address;
	int r;

	CHECK(sfront_address_parse(text, &address, &why) == 0);
	r = sfront_listener_adopt(&address, &fd, 1, NULL, &listener, &why);
	CHECK(r == (there ? -EINVAL : -EAFNOSUPPORT));
	CHECK(says(there ? "another address" : what));
}

static void check_adopted(bool unix_, bool vsock)
{
	struct sfront_listener *own, *adopted = NULL;
	struct sfront_address address;
	int fd;

	CHECK(try_open("127.0.0.1:0", &own) == 0);
	/* A number that no later check gets: it stays claimed. */
	fd = fcntl(sfront_listener_fd(own, 0), F_DUPFD, 50);
	sfront_listener_close(own);
	check_adoption("./app.sock", fd, unix_, "built without UNIX sockets");
	check_adoption("@name", fd, unix_, "built without abstract UNIX sockets");
	check_adoption("vsock:any:5000", fd, vsock, "built without vsock");
	sfront_address_parse("127.0.0.1:0", &address, NULL);
	CHECK(sfront_listener_adopt(&address, &fd, 1, NULL, &adopted, &why) == 0);
	sfront_listener_lend(adopted);
	CHECK(sfront_listener_take_back(adopted) == 0);
	CHECK(sfront_listener_check(adopted, 0) == 0);
	check_serves(adopted, true);
	sfront_listener_close(adopted);
	CHECK(fcntl(fd, F_GETFD) < 0);
}

static void check_inetd(bool there)
{
	struct sfront_listener *listener;
	struct sfront_connection connection;
	int pair[2], r;
	char byte = 0;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(dup2(pair[0], 0) == 0 && dup2(pair[0], 1) == 1);
	close(pair[0]);
	r = try_open("-", &listener);
	if (!there) {
		CHECK(r == -EAFNOSUPPORT && says("built without inetd"));
		return;
	}
	CHECK(r == 0 && sfront_listener_accept(listener, &connection) == 0);
	CHECK(write(connection.write_fd, "x", 1) == 1 && read(pair[1], &byte, 1) == 1);
	CHECK(sfront_listener_accept(listener, &connection) == -ESHUTDOWN);
	sfront_connection_close(&connection);
	sfront_listener_close(listener);
}

static void check_several(bool there)
{
	struct sfront_listener *listener, *each[2] = { NULL };
	struct sfront_address address[2];
	int r;

	sfront_address_parse("127.0.0.1:0", &address[0], NULL);
	address[1] = address[0];
	CHECK(sfront_listener_open_each(address, 1, NULL, each, &why) == 0);
	r = sfront_listener_open_each(address, 2, NULL, each, &why);
	CHECK(there ? r == 0 && each[1] : r == -ENOTSUP && says("2 addresses") && !each[1]);
	sfront_listener_close(each[0]);
	sfront_listener_close(each[1]);
	r = sfront_listener_open(address, 2, NULL, &listener, &why);
	if (there) {
		CHECK(r == 0 && sfront_listener_count(listener) == 2);
		check_serves(listener, true);
		sfront_listener_close(listener);
	} else {
		CHECK(r == -ENOTSUP && says("2 addresses") && says("built without"));
	}
}

static void check_options(bool there)
{
	struct sfront_options *options = sfront_options_new();
	struct sfront_ini ini = { .options = options };
	struct sfront_address address;
	struct sfront_listener *listener;
	struct option rows[64];
	int r = sfront_options_set(options, "tcp-nodelay", "no", &why);

	CHECK(r == (there ? 0 : -ENOENT) && says("built without listener options") == !there);
	CHECK((sfront_getopt_fill(rows, 64, 256) > 1) == there);
	CHECK((sfront_ini_handler(&ini, "", "tcp-reuse-port", "yes") != 0) == there);
	CHECK((sfront_options_format(options, why.message, sizeof(why.message)) > 0) == there);
	sfront_address_parse("127.0.0.1:0", &address, NULL);
	CHECK(sfront_listener_open(&address, 1, options, &listener, &why) == 0);
	CHECK(sfront_options_equal(options, NULL) == !there);
	CHECK(sfront_listener_update(listener, options, NULL, &why) == 0);
	check_serves(listener, true);
	sfront_listener_close(listener);
	sfront_options_free(options);
}

static void check_memory(void)
{
	struct sfront_listener *listener;
	struct sfront_connection connection;
	int fd;

	CHECK(sfront_memory_listener_new(&listener, &why) == 0);
	fd = sfront_memory_connect(listener);
	CHECK(fd >= 0);
	CHECK(sfront_listener_accept(listener, &connection) == 0);
	sfront_connection_close(&connection);
	close(fd);
	sfront_listener_close(listener);
}

int main(int argc, char **argv)
{
	char directory[] = "/tmp/sockfront-kinds.XXXXXX", name[64];
	bool unix_ = true, vsock = true, systemd = true, inetd = true, options = true, multi = true;
	const struct {
		const char *part;
		bool *there;
	} parts[] = { { "UNIX", &unix_ },  { "VSOCK", &vsock },     { "SYSTEMD", &systemd },
		      { "INETD", &inetd }, { "OPTIONS", &options }, { "MULTI", &multi } };

	for (int i = 1; i < argc; i++)
		for (size_t j = 0; j < sizeof(parts) / sizeof(parts[0]); j++)
			if (strncmp(argv[i], parts[j].part, strlen(parts[j].part)) == 0)
				*parts[j].there = strstr(argv[i], "=1") != NULL;

	if (!mkdtemp(directory) || chdir(directory) < 0)
		return 1;
	snprintf(name, sizeof(name), "@sockfront-kinds-%d", (int)getpid());
	check_kind("127.0.0.1:0", true, "");
	check_kind("./app.sock", unix_, "UNIX sockets");
	check_kind(name, unix_, "abstract UNIX sockets");
	check_vsock(vsock);
	check_adopted(unix_, vsock);
	check_inherited(systemd);
	check_several(multi);
	check_options(options);
	check_memory();
	check_inetd(inetd);
	CHECK(rmdir(directory) == 0);
	return 0;
}
