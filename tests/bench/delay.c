/* SPDX-License-Identifier: MIT */
/*
 * Streams of stamped pieces that keep a pace together, to the backend or from
 * it, and how long each piece is on the way.  Each sender is a process of its
 * own; what is received is received here, or by the backend.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/child.h"
#include "tests/bench/meter.h"
#include "tests/bench/piece.h"
#include "tests/bench/service.h"

#define EVENTS 64

struct taker {
	int fd;
	struct piece piece;
};

static void print(const struct meter *meter, const struct histogram *delays)
{
	if (control_ask(COMMAND_COUNT).faults > 0)
		fatal("what came up are not the pieces that were sent");
	meter_print(meter, "pieces", delays->total, delays);
}

/* ---- up ---- */

static void start_sender(const struct plan *plan)
{
	int fd = plan_connect(plan), r;

	plan_choose(fd, SERVICE_TAKE);
	if (child_fork() == 0) {
		r = pieces_send(fd, plan->rate / plan->connections, plan->size, UINT64_MAX);
		fatal("a stream was cut: %s", strerror(-r));
	}
	close(fd);
}

void delay_up(const struct plan *plan)
{
	static struct histogram delays;
	struct meter meter;

	control_begin();
	for (unsigned int i = 0; i < plan->connections; i++)
		start_sender(plan);
	meter_start(&meter, plan);
	clock_sleep_until(meter.due_ns);
	control_ask(COMMAND_CLEAR);
	meter_turns(&meter, clock_ns());
	clock_sleep_until(meter.due_ns);
	meter_turns(&meter, clock_ns());
	control_delays(&delays);
	if (child_has_ended())
		exit(1); /* it has said why */
	print(&meter, &delays);
}

/* ---- down ---- */

static void open_takers(const struct plan *plan, struct taker *takers, int epoll_fd)
{
	const struct give give = {
		.service = SERVICE_GIVE,
		.rate = plan->rate / plan->connections,
		.size = plan->size,
	};

	for (unsigned int i = 0; i < plan->connections; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &takers[i] };

		takers[i].fd = plan_connect(plan);
		if (send(takers[i].fd, &give, sizeof(give), MSG_NOSIGNAL) != sizeof(give))
			fatal("a connection was closed at once: %s", strerror(errno));
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, takers[i].fd, &event) < 0)
			fatal("epoll_ctl: %s", strerror(errno));
	}
}

static void taker_readable(struct taker *taker, struct delays *delays)
{
	static unsigned char buffer[PIECE_BUFFER];
	ssize_t n = recv(taker->fd, buffer, sizeof(buffer), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fatal("a stream was cut: %s", n < 0 ? strerror(errno) : "end of file");
	if (!piece_take(&taker->piece, delays, buffer, (size_t)n))
		fatal("what came down are not pieces");
}

void delay_down(const struct plan *plan)
{
	static struct delays delays = { .counted_from_ns = UINT64_MAX };
	struct taker *takers = calloc(plan->connections, sizeof(*takers));
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[EVENTS];
	struct meter meter;

	if (takers == NULL || epoll_fd < 0)
		fatal("no memory or no epoll descriptor");
	control_begin();
	open_takers(plan, takers, epoll_fd);
	meter_start(&meter, plan);
	while (meter.phase != PHASE_OVER) {
		int n = epoll_wait(epoll_fd, events, EVENTS, 10);

		for (int i = 0; i < n; i++)
			taker_readable(events[i].data.ptr, &delays);
		meter_watch(&meter, clock_ns(), n > 0);
		if (meter_turns(&meter, clock_ns()) && meter.phase == PHASE_MEASURE)
			delays.counted_from_ns = meter.began_ns;
	}
	free(takers);
	print(&meter, &delays.histogram);
}
