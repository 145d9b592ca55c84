/* SPDX-License-Identifier: MIT */
/*
 * Connect, one request, its reply, close: again and again, a number of them at
 * a time; beside them, if the plan says so, streams at full speed.  The client
 * closes first, as most do.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/child.h"
#include "tests/bench/meter.h"
#include "tests/bench/request.h"
#include "tests/bench/service.h"

#define EVENTS 64

enum state {
	STATE_RESTING,    /* to be started */
	STATE_CONNECTING, /* waits to be writable */
	STATE_ASKING,     /* waits for the reply */
};

struct visitor {
	enum state state;
	int fd;
	uint64_t number;
	uint64_t began_ns;
	size_t got;
	unsigned char *reply;
};

struct visitors {
	int epoll_fd;
	const struct plan *plan;
	struct visitor *all;
	uint64_t done;
	struct histogram latency;
};

static void watch(struct visitors *visitors, struct visitor *visitor, int operation,
		  uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = visitor };

	if (epoll_ctl(visitors->epoll_fd, operation, visitor->fd, &event) < 0)
		fatal("epoll_ctl: %s", strerror(errno));
}

static void ask(struct visitors *visitors, struct visitor *visitor, int operation)
{
	visitor->state = STATE_ASKING;
	visitor->got = 0;
	request_send(visitor->fd, visitors->plan->size, (uint64_t)(visitor - visitors->all),
		     visitor->number);
	watch(visitors, visitor, operation, EPOLLIN);
}

/* 0, or an errno; on the loopback the second call tells that the handshake is over. */
static int connect_twice(int fd, const struct address *to)
{
	int r = connect(fd, &to->sa.any, to->len);

	if (r < 0 && errno == EINPROGRESS)
		r = connect(fd, &to->sa.any, to->len);
	return r == 0 || errno == EISCONN ? 0 : errno;
}

static void begin(struct visitors *visitors, struct visitor *visitor)
{
	int error;

	visitor->number++;
	visitor->began_ns = clock_ns();
	visitor->fd = address_socket(&visitors->plan->to);
	if (visitor->fd < 0)
		fatal("socket: %s", strerror(-visitor->fd));
	error = connect_twice(visitor->fd, &visitors->plan->to);
	if (error == 0) {
		ask(visitors, visitor, EPOLL_CTL_ADD);
	} else if (error == EALREADY) {
		visitor->state = STATE_CONNECTING;
		watch(visitors, visitor, EPOLL_CTL_ADD, EPOLLOUT);
	} else if (error == EAGAIN || error == EADDRNOTAVAIL) {
		close(visitor->fd); /* a full UNIX backlog, or every port in TIME_WAIT: later */
	} else {
		fatal("connect: %s", strerror(error));
	}
}

/*
 * Behind streams a wait can be longer than what is measured: the one who is still
 * under way at the end counts, too, or else the longest wait would be left out.
 */
static bool counts(const struct plan *plan, const struct meter *meter)
{
	return meter->phase == PHASE_MEASURE || (meter->phase == PHASE_OVER && plan->streams > 0);
}

static void finish(struct visitors *visitors, struct visitor *visitor, const struct meter *meter)
{
	if (!request_matches(visitor->reply, visitors->plan->size,
			     (uint64_t)(visitor - visitors->all), visitor->number))
		fatal("a reply was not the echo of its request");
	close(visitor->fd);
	visitor->state = STATE_RESTING;
	if (counts(visitors->plan, meter)) {
		histogram_add(&visitors->latency, clock_ns() - visitor->began_ns);
		visitors->done++;
	}
}

static void visitor_readable(struct visitors *visitors, struct visitor *visitor,
			     const struct meter *meter)
{
	ssize_t n = recv(visitor->fd, visitor->reply + visitor->got,
			 visitors->plan->size - visitor->got, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fatal("a connection was cut before its reply: %s",
		      n < 0 ? strerror(errno) : "end of file");
	visitor->got += (size_t)n;
	if (visitor->got == visitors->plan->size)
		finish(visitors, visitor, meter);
}

static void visitor_stirred(struct visitors *visitors, struct visitor *visitor,
			    const struct meter *meter)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (visitor->state == STATE_ASKING) {
		visitor_readable(visitors, visitor, meter);
		return;
	}
	if (getsockopt(visitor->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0)
		fatal("connect: %s", strerror(error));
	ask(visitors, visitor, EPOLL_CTL_MOD);
}

/* Starts whoever rests.  Returns how many are under way. */
static unsigned int begin_resting(struct visitors *visitors, const struct meter *meter)
{
	unsigned int busy = 0;

	for (unsigned int i = 0; i < visitors->plan->connections; i++) {
		struct visitor *visitor = &visitors->all[i];

		if (visitor->state == STATE_RESTING && meter->phase != PHASE_OVER)
			begin(visitors, visitor);
		busy += visitor->state != STATE_RESTING;
	}
	return busy;
}

static void init(struct visitors *visitors, const struct plan *plan)
{
	visitors->plan = plan;
	visitors->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	visitors->all = calloc(plan->connections, sizeof(*visitors->all));
	if (visitors->epoll_fd < 0 || visitors->all == NULL)
		fatal("no memory or no epoll descriptor");
	for (unsigned int i = 0; i < plan->connections; i++) {
		visitors->all[i].reply = malloc(plan->size);
		if (visitors->all[i].reply == NULL)
			fatal("no memory");
	}
}

void connect_run(const struct plan *plan)
{
	static struct visitors visitors;
	struct epoll_event events[EVENTS];
	uint64_t sunk = 0, streamed = 0;
	struct meter meter;

	control_begin();
	idle_hold(plan);
	bulk_hold(plan);
	init(&visitors, plan);
	meter_start(&meter, plan);
	for (;;) {
		unsigned int busy = begin_resting(&visitors, &meter);
		uint64_t now;
		int n;

		if (busy == 0 && meter.phase == PHASE_OVER)
			break;
		n = epoll_wait(visitors.epoll_fd, events, EVENTS,
			       busy == plan->connections ? 10 : 1);
		for (int i = 0; i < n; i++)
			visitor_stirred(&visitors, events[i].data.ptr, &meter);
		now = clock_ns();
		meter_watch(&meter, now, n > 0);
		if (meter_turns(&meter, now) && plan->streams > 0) {
			streamed = control_sunk() - sunk;
			sunk += streamed;
		}
	}
	if (child_has_ended())
		exit(1); /* it has said why */
	if (plan->streams > 0)
		meter_note(&meter, "streamed", streamed);
	meter_print(&meter, "connections", visitors.done, &visitors.latency);
}
