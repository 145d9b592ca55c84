/* SPDX-License-Identifier: MIT */
/*
 * The server behind every proxy: echo, sink and source on one port, told apart
 * by a connection's first byte (service.h).  One thread, one move an event.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/child.h"
#include "tests/bench/load.h"
#include "tests/bench/pattern.h"
#include "tests/bench/piece.h"
#include "tests/bench/service.h"

#define EVENTS         256
#define ACCEPTS_A_TURN 64

/* Time enough for a relay to take each piece by itself. */
#define PACE_NS UINT64_C(50000)

enum kind {
	KIND_UNUSED,
	KIND_LISTENER,
	KIND_CONTROL_LISTENER,
	KIND_CONTROL,
	KIND_STDIN,
	KIND_CLIENT,
};

/* What is behind a descriptor, found by its number. */
struct served {
	enum kind kind;
	char service; /* 0: not chosen yet */
	bool sending; /* EPOLLOUT is on */
	uint64_t received;
	uint64_t sent;
	struct piece piece;
};

struct backend {
	int epoll_fd;
	struct served *served;
	int n_served;
	struct counters counters;
	struct delays delays;
	bool stopped;         /* sources are */
	int paced[PACED_MAX]; /* descriptors that take more */
	unsigned int n_paced;
	uint64_t paced_ns; /* when they were last sent something */
};

static unsigned char buffer[262144];

static void watch(struct backend *backend, int fd, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(backend->epoll_fd, operation, fd, &event) < 0)
		fatal("backend: epoll_ctl: %s", strerror(errno));
}

static void add(struct backend *backend, int fd, enum kind kind)
{
	if (fd >= backend->n_served)
		fatal("backend: descriptor %d is past the limit of %d", fd, backend->n_served);
	backend->served[fd] = (struct served){ .kind = kind };
	watch(backend, fd, EPOLL_CTL_ADD, EPOLLIN);
	if (kind == KIND_CLIENT)
		backend->counters.connections++;
}

static void unpace(struct backend *backend, int fd)
{
	for (unsigned int i = 0; i < backend->n_paced; i++)
		if (backend->paced[i] == fd)
			backend->paced[i--] = backend->paced[--backend->n_paced];
}

static void drop(struct backend *backend, int fd)
{
	unpace(backend, fd);
	if (backend->served[fd].kind == KIND_CLIENT)
		backend->counters.connections--;
	backend->served[fd].kind = KIND_UNUSED;
	if (backend->served[fd].service == SERVICE_GIVE)
		(void)shutdown(fd, SHUT_RDWR); /* the child that sends has it, too */
	close(fd);
}

static void accept_some(struct backend *backend, int listener, enum kind kind)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			add(backend, fd, kind);
		else if (errno == EAGAIN)
			return;
		else if (errno != ECONNABORTED && errno != EINTR)
			fatal("backend: accept: %s", strerror(errno));
	}
}

/* ---- services ---------------------------------------------------------------------------------
 */

static bool is_source(const struct served *served)
{
	return served->service == SERVICE_SOURCE || served->service == SERVICE_BOTH;
}

static bool is_sink(const struct served *served)
{
	return served->service == SERVICE_SINK || served->service == SERVICE_BOTH;
}

static void set_sending(struct backend *backend, int fd, bool sending)
{
	struct served *served = &backend->served[fd];

	if (served->sending == sending)
		return;
	served->sending = sending;
	watch(backend, fd, EPOLL_CTL_MOD, EPOLLIN | (sending ? EPOLLOUT : 0u));
}

static void stop_sources(struct backend *backend)
{
	backend->stopped = true;
	for (int fd = 0; fd < backend->n_served; fd++)
		if (backend->served[fd].kind == KIND_CLIENT)
			set_sending(backend, fd, false);
}

/* Its clients have one request at a time out: what does not fit at once is not an echo of theirs.
 */
static void echo(struct backend *backend, int fd, const unsigned char *data, size_t size)
{
	ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		return; /* the next recv() says so too */
	if (n != (ssize_t)size)
		backend->counters.faults++;
}

static void sink(struct backend *backend, struct served *served, const unsigned char *data,
		 size_t size)
{
	if (size == 0)
		return;
	if (!pattern_matches(data, size, served->received))
		backend->counters.faults++;
	served->received += size;
	backend->counters.sunk += size;
}

static void take(struct backend *backend, struct served *served, const unsigned char *data,
		 size_t size)
{
	if (!piece_take(&served->piece, &backend->delays, data, size))
		backend->counters.faults++;
}

/* In a process of its own: a pace is not kept by one who has other things to do. */
static void give(struct backend *backend, int fd, const unsigned char *data, size_t size)
{
	struct give give = { 0 };

	if (size == sizeof(give))
		memcpy(&give, data, size);
	if (give.size < PIECE_MIN || give.size > PIECE_MAX) {
		backend->counters.faults++;
	} else if (child_fork() == 0) {
		/* The connections of others must not stay open here. */
		(void)close_range(STDERR_FILENO + 1, (unsigned int)fd - 1, 0);
		(void)close_range((unsigned int)fd + 1, ~0U, 0);
		(void)pieces_send(fd, give.rate, (size_t)give.size, UINT64_MAX);
		_exit(0);
	}
}

static void choose(struct backend *backend, int fd, char service)
{
	static const char others[] = { SERVICE_ECHO, SERVICE_TAKE, SERVICE_GIVE };
	struct served *served = &backend->served[fd];

	served->service = service;
	if (is_source(served) && !backend->stopped)
		set_sending(backend, fd, true);
	else if (service == SERVICE_PACED && backend->n_paced < PACED_MAX)
		backend->paced[backend->n_paced++] = fd;
	else if (!is_source(served) && !is_sink(served) &&
		 memchr(others, service, sizeof(others)) == NULL)
		backend->counters.faults++;
}

static void client_readable(struct backend *backend, int fd)
{
	struct served *served = &backend->served[fd];
	ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
	size_t first = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(backend, fd);
		return;
	}
	if (served->service == 0) {
		choose(backend, fd, (char)buffer[0]);
		first = 1;
	}
	if (is_sink(served))
		sink(backend, served, buffer + first, (size_t)n - first);
	else if (served->service == SERVICE_ECHO)
		echo(backend, fd, buffer, (size_t)n);
	else if (served->service == SERVICE_TAKE)
		take(backend, served, buffer + first, (size_t)n - first);
	else if (served->service == SERVICE_GIVE)
		give(backend, fd, buffer, (size_t)n);
}

static void client_writable(struct backend *backend, int fd)
{
	struct served *served = &backend->served[fd];
	ssize_t n = send(fd, pattern_at(served->sent), PATTERN_CHUNK, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		drop(backend, fd);
	} else if (n > 0) {
		served->sent += (uint64_t)n;
		backend->counters.sourced += (uint64_t)n;
	}
}

/* Whoever takes no more is stuck, and is not asked again. */
static void send_paced(struct backend *backend)
{
	uint64_t now = clock_ns();

	if (now < backend->paced_ns + PACE_NS)
		return;
	backend->paced_ns = now;
	for (unsigned int i = backend->n_paced; i-- > 0;) {
		int fd = backend->paced[i];
		ssize_t n = send(fd, pattern_at(0), PACED_SIZE, MSG_NOSIGNAL);

		if (n > 0)
			backend->counters.sourced += (uint64_t)n;
		if (n != (ssize_t)PACED_SIZE)
			unpace(backend, fd);
	}
}

static void client_stirred(struct backend *backend, int fd, uint32_t events)
{
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		client_readable(backend, fd);
	if ((events & EPOLLOUT) != 0 && backend->served[fd].kind == KIND_CLIENT &&
	    backend->served[fd].sending)
		client_writable(backend, fd);
}

/* ---- control ----------------------------------------------------------------------------------
 */

static void obey(struct backend *backend, char command)
{
	uint64_t connections = backend->counters.connections;

	switch (command) {
	case COMMAND_CLEAR:
		backend->counters = (struct counters){ .connections = connections };
		backend->delays = (struct delays){ .counted_from_ns = clock_ns() };
		backend->stopped = false;
		break;
	case COMMAND_STOP:
		stop_sources(backend);
		break;
	default:
		break;
	}
}

static void answer(struct backend *backend, int fd, const void *data, size_t size)
{
	if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
		drop(backend, fd);
}

static void control_readable(struct backend *backend, int fd)
{
	char command;
	ssize_t n = recv(fd, &command, 1, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(backend, fd);
		return;
	}
	obey(backend, command);
	if (command == COMMAND_DELAYS)
		answer(backend, fd, &backend->delays.histogram, sizeof(backend->delays.histogram));
	else
		answer(backend, fd, &backend->counters, sizeof(backend->counters));
}

/* ---- the loop ---------------------------------------------------------------------------------
 */

/* Returns whether to go on: whoever started us holds the other end of standard input. */
static bool dispatch(struct backend *backend, const struct epoll_event *event)
{
	int fd = event->data.fd;

	switch (backend->served[fd].kind) {
	case KIND_UNUSED:
		break; /* closed earlier in this batch */
	case KIND_LISTENER:
		accept_some(backend, fd, KIND_CLIENT);
		break;
	case KIND_CONTROL_LISTENER:
		accept_some(backend, fd, KIND_CONTROL);
		break;
	case KIND_CONTROL:
		control_readable(backend, fd);
		break;
	case KIND_CLIENT:
		client_stirred(backend, fd, event->events);
		break;
	case KIND_STDIN:
		return read(fd, buffer, sizeof(buffer)) > 0;
	}
	return true;
}

static void listen_on(struct backend *backend, const struct address *address, enum kind kind)
{
	int fd = address_listen(address);

	if (fd < 0)
		fatal("backend: cannot listen: %s", strerror(-fd));
	add(backend, fd, kind);
}

static void open_all(struct backend *backend, const struct address *address,
		     const struct address *control)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		fatal("backend: getrlimit: %s", strerror(errno));
	backend->n_served = (int)limit.rlim_cur;
	backend->served = calloc((size_t)backend->n_served, sizeof(*backend->served));
	backend->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (backend->served == NULL || backend->epoll_fd < 0)
		fatal("backend: no memory or no epoll descriptor");
	add(backend, STDIN_FILENO, KIND_STDIN);
	listen_on(backend, address, KIND_LISTENER);
	listen_on(backend, control, KIND_CONTROL_LISTENER);
}

int backend_serve(const struct address *address, const struct address *control)
{
	struct epoll_event events[EVENTS];
	struct backend backend = { 0 };
	bool wanted = true;

	signal(SIGCHLD, SIG_IGN); /* those that give end with their client */
	open_all(&backend, address, control);
	while (wanted) {
		int n = epoll_wait(backend.epoll_fd, events, EVENTS, backend.n_paced > 0 ? 0 : -1);

		send_paced(&backend);
		for (int i = 0; i < n && wanted; i++)
			wanted = dispatch(&backend, &events[i]);
	}
	free(backend.served);
	return 0;
}
