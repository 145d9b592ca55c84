/* SPDX-License-Identifier: MIT */
/*
 * The smallest relay on raw epoll that works as sockfront's does: what its
 * event library and everything else around its relay cost is measured against
 * this.  It does nothing else: no options, no timeouts, no retries, no
 * retreat when descriptors run out, resets become plain ends.
 *
 * The same method: level-triggered, one read and one write an event; recv()
 * and send() through one buffer for all, and after two full buffers in a row
 * splice() through a pooled pipe, until pieces are small again; connect()
 * asked twice; the first bytes tried before waiting for them.
 *
 *	epoll_relay LISTEN BACKEND PIPE_SIZE
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/address.h"

#define EVENTS         64
#define ACCEPTS_A_TURN 16

/* As in daemon/relay/. */
#define COPY_SIZE   ((size_t)65536)
#define BULK_AFTER  2
#define SMALL_AFTER 4
#define THIN_SPLICE 16384

/* Bytes that were read and not yet written: in a pipe, or (pipe[0] < 0) in data. */
struct transit {
	struct transit *next; /* in the pool of empty pipes */
	int pipe[2];
	size_t offset, length;
	unsigned char data[];
};

struct end {
	int fd;
	uint32_t events; /* what epoll watches it for; 0: it is not in there */
	struct end *peer;
	struct pair *pair;
	struct transit *transit; /* read from here */
	bool ended, bulk;
	uint8_t full_runs, thin_runs;
};

struct pair {
	struct end client, backend;
	struct pair *next_dead; /* until the batch of events is done */
	bool connecting, dead;
};

static int epoll_fd, listen_fd;
static struct address backend_address;
static size_t pipe_size;
static struct transit *pipes;
static struct pair *dead;
static unsigned char buffer[COPY_SIZE];

static void watch(struct end *end, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = end };
	int operation =
		events == 0 ? EPOLL_CTL_DEL : (end->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD);

	if (end->events != events)
		epoll_ctl(epoll_fd, operation, end->fd, &event);
	end->events = events;
}

static void rewatch(struct pair *pair)
{
	struct end *ends[2] = { &pair->client, &pair->backend };

	for (int i = 0; i < 2; i++) {
		struct end *end = ends[i];
		bool reads = !end->ended && end->transit == NULL;
		bool writes = end->peer->transit != NULL;

		watch(end, (reads ? EPOLLIN : 0u) | (writes ? EPOLLOUT : 0u));
	}
}

/* ---- bytes in transit -------------------------------------------------------------------------
 */

static struct transit *transit_new(size_t size)
{
	struct transit *transit = malloc(sizeof(*transit) + size);

	if (transit == NULL)
		abort();
	*transit = (struct transit){ .pipe = { -1, -1 }, .length = size };
	return transit;
}

static struct transit *pipe_borrow(void)
{
	struct transit *transit = pipes;

	if (transit != NULL) {
		pipes = transit->next;
		return transit;
	}
	transit = transit_new(0);
	if (pipe2(transit->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	(void)fcntl(transit->pipe[1], F_SETPIPE_SZ, (int)pipe_size);
	return transit;
}

static void transit_drop(struct transit *transit)
{
	if (transit == NULL)
		return;
	if (transit->pipe[0] >= 0 && transit->length == 0) {
		transit->next = pipes;
		pipes = transit;
		return;
	}
	if (transit->pipe[0] >= 0) {
		close(transit->pipe[0]);
		close(transit->pipe[1]);
	}
	free(transit);
}

static void pair_close(struct pair *pair)
{
	if (pair->dead)
		return;
	transit_drop(pair->client.transit);
	transit_drop(pair->backend.transit);
	close(pair->client.fd);
	close(pair->backend.fd);
	pair->dead = true;
	pair->next_dead = dead;
	dead = pair;
}

static void bury_the_dead(void)
{
	while (dead != NULL) {
		struct pair *pair = dead;

		dead = pair->next_dead;
		free(pair);
	}
}

/* ---- the relay --------------------------------------------------------------------------------
 */

static void finished(struct end *from)
{
	struct end *to = from->peer;

	from->ended = true;
	if (to->ended && to->transit == NULL) {
		pair_close(from->pair);
		return;
	}
	shutdown(to->fd, SHUT_WR);
	rewatch(from->pair);
}

/* n: as recv() and splice() return it.  Returns whether there is something to pass on. */
static bool has_read(struct end *from, ssize_t n)
{
	if (n > 0)
		return true;
	if (n == 0)
		finished(from);
	else if (errno != EAGAIN)
		pair_close(from->pair);
	else
		rewatch(from->pair);
	return false;
}

static void flush(struct end *from)
{
	struct transit *transit = from->transit;
	int to = from->peer->fd;
	ssize_t n;

	if (transit->pipe[0] >= 0)
		n = splice(transit->pipe[0], NULL, to, NULL, transit->length, SPLICE_F_NONBLOCK);
	else
		n = send(to, transit->data + transit->offset, transit->length, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		pair_close(from->pair);
		return;
	}
	if (n > 0) {
		transit->offset += (size_t)n;
		transit->length -= (size_t)n;
	}
	if (transit->length == 0) {
		from->transit = NULL;
		transit_drop(transit);
	}
	rewatch(from->pair);
}

static void turn_by_copy(struct end *from)
{
	ssize_t n = recv(from->fd, buffer, COPY_SIZE, 0), written;

	if (!has_read(from, n))
		return;
	from->full_runs = n == (ssize_t)COPY_SIZE ? (uint8_t)(from->full_runs + 1) : 0;
	from->bulk = from->full_runs >= BULK_AFTER && pipe_size > 0;
	if (from->bulk)
		from->full_runs = from->thin_runs = 0;

	written = send(from->peer->fd, buffer, (size_t)n, MSG_NOSIGNAL);
	if (written < 0 && errno != EAGAIN) {
		pair_close(from->pair);
		return;
	}
	if (written < 0)
		written = 0;
	if (written < n) {
		from->transit = transit_new((size_t)(n - written));
		memcpy(from->transit->data, buffer + written, (size_t)(n - written));
	}
	rewatch(from->pair);
}

static void turn_by_splice(struct end *from)
{
	struct transit *pipe = pipe_borrow();
	ssize_t n = splice(from->fd, NULL, pipe->pipe[1], NULL, pipe_size, SPLICE_F_NONBLOCK);

	if (n <= 0) {
		transit_drop(pipe);
		turn_by_copy(from);
		return;
	}
	from->thin_runs = n < THIN_SPLICE ? (uint8_t)(from->thin_runs + 1) : 0;
	if (from->thin_runs >= SMALL_AFTER)
		from->bulk = false;
	pipe->length = (size_t)n;
	from->transit = pipe;
	flush(from);
}

static void turn(struct end *from)
{
	if (from->bulk)
		turn_by_splice(from);
	else
		turn_by_copy(from);
}

/* ---- connections ------------------------------------------------------------------------------
 */

/* Returns 0, EINPROGRESS or another errno. */
static int connect_step(int fd)
{
	int r = connect(fd, &backend_address.sa.any, backend_address.len);

	if (r < 0 && errno == EINPROGRESS)
		r = connect(fd, &backend_address.sa.any, backend_address.len);
	if (r == 0 || errno == EISCONN)
		return 0;
	return errno == EALREADY ? EINPROGRESS : errno;
}

static void pair_open(int fd)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	int error;

	if (pair == NULL)
		abort();
	pair->client = (struct end){ .fd = fd, .peer = &pair->backend, .pair = pair };
	pair->backend = (struct end){ .peer = &pair->client, .pair = pair };
	pair->backend.fd = address_socket(&backend_address);
	error = connect_step(pair->backend.fd);
	if (error == 0) {
		turn(&pair->client);
	} else if (error == EINPROGRESS) {
		pair->connecting = true;
		watch(&pair->backend, EPOLLOUT);
	} else {
		pair_close(pair);
	}
}

static void accept_some(void)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		pair_open(fd);
	}
}

static void end_stirred(struct end *end, uint32_t events)
{
	struct pair *pair = end->pair;

	if (!pair->dead && pair->connecting) {
		int error = connect_step(end->fd);

		pair->connecting = error == EINPROGRESS;
		if (error == 0)
			turn(&pair->client);
		else if (error != EINPROGRESS)
			pair_close(pair);
		return;
	}
	/* What is waiting to be written goes before what is waiting to be read. */
	if (!pair->dead && end->peer->transit != NULL)
		flush(end->peer);
	if (!pair->dead && end->transit == NULL && !end->ended &&
	    (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		turn(end);
}

static void run(void)
{
	struct epoll_event events[EVENTS], event = { .events = EPOLLIN };

	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event);
	for (;;) {
		int n = epoll_wait(epoll_fd, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				accept_some();
			else
				end_stirred(events[i].data.ptr, events[i].events);
		}
		bury_the_dead();
	}
}

int main(int argc, char **argv)
{
	struct address address;
	struct rlimit limit;

	if (argc != 4 || address_parse(argv[1], &address) < 0 ||
	    address_parse(argv[2], &backend_address) < 0) {
		fputs("usage: epoll_relay LISTEN BACKEND PIPE_SIZE\n", stderr);
		return 2;
	}
	pipe_size = strtoul(argv[3], NULL, 10);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listen_fd = address_listen(&address);
	if (epoll_fd < 0 || listen_fd < 0) {
		fprintf(stderr, "epoll_relay: cannot listen on %s: %s\n", argv[1],
			strerror(listen_fd < 0 ? -listen_fd : errno));
		return 1;
	}
	run();
}
