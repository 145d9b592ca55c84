/* SPDX-License-Identifier: MIT */
/*
 * For the unit tests that open real listeners: to open by text, to connect, to
 * collect warnings, and to run a piece in a child process whose descriptors and
 * environment may be bent.
 */
#ifndef TESTS_SOCKETS_H
#define TESTS_SOCKETS_H

#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sockfront/listener.h>

/* In a child, where cmocka's assertions cannot report: says what failed, and ends. */
#define CHECK(condition)                                                                       \
	do {                                                                                   \
		if (!(condition)) {                                                            \
			dprintf(STDERR_FILENO, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			_exit(99);                                                             \
		}                                                                              \
	} while (0)

#define CHECK_CONTAINS(text, part)                                                               \
	do {                                                                                     \
		if (!strstr(text, part)) {                                                       \
			dprintf(STDERR_FILENO, "%s:%d: \"%s\" is not within \"%s\"\n", __FILE__, \
				__LINE__, part, text);                                           \
			_exit(99);                                                               \
		}                                                                                \
	} while (0)

/* Runs @body in a child of its own, for a minute at most; returns what waitpid() says of it. */
static inline int child_status(void (*body)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(60);
		body();
		exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The same for one that must end well. */
static inline void in_child(void (*body)(void))
{
	assert_int_equal(child_status(body), 0);
}

/* What the last try_open() said. */
static struct sfront_error why;
static char warnings[4096];

static inline void collect_warning(void *data, const char *message)
{
	size_t len = strlen(warnings);

	(void)data;
	snprintf(warnings + len, sizeof(warnings) - len, "%s\n", message);
}

/* "name=value name=value" */
static inline struct sfront_options *options_of(const char *settings)
{
	struct sfront_options *options = sfront_options_new();
	char *copy = strdup(settings), *rest = copy, *setting;

	while ((setting = strsep(&rest, " ")) && *setting) {
		char *value = strchr(setting, '=');

		if (value)
			*value++ = '\0';
		if (sfront_options_set(options, setting, value, &why) < 0) {
			dprintf(STDERR_FILENO, "%s\n", why.message);
			abort();
		}
	}
	free(copy);
	sfront_options_on_warning(options, collect_warning, NULL);
	return options;
}

/* Opens the addresses of @texts (up to NULL) with the options in @settings. */
static inline int try_open_all(const char *const *texts, const char *settings,
			       struct sfront_listener **ret)
{
	struct sfront_options *options = options_of(settings);
	struct sfront_address addresses[8];
	size_t n = 0;
	int r = 0;

	why.message[0] = '\0';
	warnings[0] = '\0';
	for (; texts[n] && r == 0; n++)
		r = sfront_address_parse(texts[n], &addresses[n], &why);
	if (r == 0)
		r = sfront_listener_open(addresses, n, options, ret, &why);
	sfront_options_free(options);
	return r;
}

static inline int try_open(const char *text, const char *settings, struct sfront_listener **ret)
{
	const char *const texts[] = { text, NULL };

	return try_open_all(texts, settings, ret);
}

/* The same where it has to succeed. */
static inline struct sfront_listener *must_open(const char *text, const char *settings)
{
	struct sfront_listener *listener = NULL;

	if (try_open(text, settings, &listener) < 0) {
		dprintf(STDERR_FILENO, "%s: %s\n", text, why.message);
		abort();
	}
	return listener;
}

/* A blocking client of descriptor @index. */
static inline int connect_to(const struct sfront_listener *listener, size_t index)
{
	struct sfront_sockaddr addr;
	int fd = -1;

	if (sfront_listener_local(listener, index, &addr) == 0)
		fd = socket(addr.sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, &addr.sa.any, addr.len) < 0) {
		dprintf(STDERR_FILENO, "cannot connect: %s\n", strerror(errno));
		abort();
	}
	return fd;
}

static inline bool is_readable(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLIN);
}

/* Whether what goes into one descriptor comes out of the other. */
static inline bool carries(int from, int to)
{
	char buf[4];

	return write(from, "ping", 4) == 4 &&
	       poll(&(struct pollfd){ .fd = to, .events = POLLIN }, 1, 5000) == 1 &&
	       read(to, buf, 4) == 4 && memcmp(buf, "ping", 4) == 0;
}

static inline bool is_nonblocking(int fd)
{
	return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

static inline bool is_close_on_exec(int fd)
{
	return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static inline int socket_option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? -errno : value;
}

/* Whether a client of descriptor @index is accepted and heard both ways. */
static inline bool serves(struct sfront_listener *listener, size_t index)
{
	struct sfront_connection connection;
	int client = connect_to(listener, index);
	bool good = is_readable(sfront_listener_fd(listener, index)) &&
		    sfront_listener_accept_at(listener, index, &connection) == 0;

	if (good) {
		good = carries(client, connection.read_fd) &&
		       carries(connection.write_fd, client) && is_nonblocking(connection.read_fd) &&
		       is_close_on_exec(connection.read_fd);
		sfront_connection_close(&connection);
	}
	close(client);
	return good;
}

#endif
