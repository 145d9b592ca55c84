/* SPDX-License-Identifier: MIT */
/*
 * Bulk streams to the backend, from it, and both ways at once on the same
 * connections.  What counts is what arrived, at whichever side receives.
 *
 * Afterwards everything under way must still arrive: both sides stop sending,
 * agree on how much it was, and wait for the last byte of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "tests/bench/child.h"
#include "tests/bench/meter.h"
#include "tests/bench/pattern.h"
#include "tests/bench/service.h"

#define EVENTS 64

/* How often the backend is asked, at the end, whether all has come. */
#define ASK_MS 2

struct stream {
	int fd;
	uint64_t sent;
	uint64_t received;
};

struct bulk {
	int epoll_fd;
	struct stream *streams;
	unsigned int n;
	uint32_t events;
	uint64_t sent; /* of all streams */
	uint64_t received;
};

static unsigned char buffer[262144];

static void watch(struct bulk *bulk, struct stream *stream, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = stream };

	if (epoll_ctl(bulk->epoll_fd, operation, stream->fd, &event) < 0)
		fatal("epoll_ctl: %s", strerror(errno));
}

static void open_streams(struct bulk *bulk, const struct plan *plan, char service)
{
	bulk->n = plan->connections;
	bulk->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	bulk->streams = calloc(bulk->n, sizeof(*bulk->streams));
	if (bulk->epoll_fd < 0 || bulk->streams == NULL)
		fatal("no memory or no epoll descriptor");
	for (unsigned int i = 0; i < bulk->n; i++) {
		struct stream *stream = &bulk->streams[i];

		stream->fd = plan_connect(plan);
		plan_choose(stream->fd, service);
		watch(bulk, stream, EPOLL_CTL_ADD, bulk->events);
	}
}

static void stream_readable(struct bulk *bulk, struct stream *stream)
{
	ssize_t n = recv(stream->fd, buffer, sizeof(buffer), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fatal("a stream was cut after %" PRIu64 " bytes up and %" PRIu64 " down: %s",
		      stream->sent, stream->received, n < 0 ? strerror(errno) : "end of file");
	if (!pattern_matches(buffer, (size_t)n, stream->received))
		fatal("wrong bytes came down after %" PRIu64, stream->received);
	stream->received += (uint64_t)n;
	bulk->received += (uint64_t)n;
}

static void stream_writable(struct bulk *bulk, struct stream *stream)
{
	ssize_t n = send(stream->fd, pattern_at(stream->sent), PATTERN_CHUNK, MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0)
		fatal("a stream was cut after %" PRIu64 " bytes up and %" PRIu64 " down: %s",
		      stream->sent, stream->received, strerror(errno));
	stream->sent += (uint64_t)n;
	bulk->sent += (uint64_t)n;
}

/* One move for each direction that is ready.  Returns whether there was any. */
static bool move(struct bulk *bulk, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(bulk->epoll_fd, events, EVENTS, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct stream *stream = events[i].data.ptr;

		if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
			stream_readable(bulk, stream);
		if ((events[i].events & EPOLLOUT) != 0)
			stream_writable(bulk, stream);
	}
	return n > 0;
}

/* Sends nothing more, and waits for everything that is on its way. */
static void settle(struct bulk *bulk, struct meter *meter)
{
	struct counters now, last;

	for (unsigned int i = 0; i < bulk->n; i++)
		watch(bulk, &bulk->streams[i], EPOLL_CTL_MOD, EPOLLIN);
	last = control_ask(COMMAND_STOP);
	for (;;) {
		bool moved = move(bulk, ASK_MS);

		now = control_ask(COMMAND_COUNT);
		if (now.sunk == bulk->sent && now.sourced == bulk->received)
			break;
		if (now.sunk > bulk->sent || bulk->received > now.sourced)
			fatal("more bytes arrived than were sent");
		if (!moved && now.sunk == last.sunk && clock_ns() > meter->progress_ns + STALL_NS)
			fatal("%" PRIu64 " bytes up and %" PRIu64 " down never arrived",
			      bulk->sent - now.sunk, now.sourced - bulk->received);
		if (moved || now.sunk != last.sunk)
			meter->progress_ns = clock_ns();
		last = now;
	}
	if (now.faults > 0)
		fatal("wrong bytes came up");
}

void bulk_hold(const struct plan *plan)
{
	struct bulk bulk = { .events = EPOLLOUT };
	struct plan streams = *plan;

	if (plan->streams == 0)
		return;
	streams.connections = plan->streams;
	open_streams(&bulk, &streams, SERVICE_SINK);
	if (child_fork() == 0)
		for (;;)
			(void)move(&bulk, -1);
	free(bulk.streams);
}

static void run(const struct plan *plan, char service, uint32_t events)
{
	struct bulk bulk = { .events = events };
	uint64_t arrived = 0, before = 0;
	struct meter meter;

	control_begin();
	open_streams(&bulk, plan, service);
	meter_start(&meter, plan);
	while (meter.phase != PHASE_OVER) {
		bool moved = move(&bulk, 10);
		uint64_t now = clock_ns();

		meter_watch(&meter, now, moved);
		if (now < meter.due_ns)
			continue;
		before = arrived;
		arrived = control_sunk() + bulk.received;
		meter_turns(&meter, now);
	}
	settle(&bulk, &meter);
	meter_print(&meter, "bytes", arrived - before, NULL);
	free(bulk.streams);
}

void bulk_up(const struct plan *plan)
{
	run(plan, SERVICE_SINK, EPOLLOUT);
}

void bulk_down(const struct plan *plan)
{
	run(plan, SERVICE_SOURCE, EPOLLIN);
}

void bulk_both(const struct plan *plan)
{
	run(plan, SERVICE_BOTH, EPOLLIN | EPOLLOUT);
}
