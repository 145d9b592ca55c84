/* SPDX-License-Identifier: MIT */
/*
 * Request and response over lasting connections, each with one request out at
 * a time; beside them, if the plan says so, readers that are stuck.
 */
#include "tests/bench/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/meter.h"
#include "tests/bench/pattern.h"
#include "tests/bench/service.h"

#define EVENTS 256

/* The stuck readers' streams count as stuck once the backend has been unable to send for this. */
#define STUCK_QUIET_NS (50 * NS_PER_MS)

/*
 * How long a proxy takes to accept them all is not what lasting connections
 * show: the measurement waits for each one's first reply, but no longer than
 * this, since some proxies never get there.
 */
#define PROVE_NS (2 * NS_PER_S)

struct caller {
	int fd;
	uint64_t number; /* of the request that is out */
	uint64_t sent_ns;
	uint64_t served; /* replies in the time that is measured */
	size_t got;      /* of its reply */
	unsigned char *reply;
};

struct crowd {
	int epoll_fd;
	struct caller *callers;
	unsigned int n;
	unsigned int out;      /* requests that are not answered yet */
	unsigned int unproved; /* callers without a reply so far */
	uint64_t answered;
	struct histogram latency;
};

static unsigned char scratch[REQUEST_MAX];

static const unsigned char *make_request(size_t size, uint64_t caller, uint64_t number)
{
	memcpy(scratch, pattern_at(0), size);
	scratch[0] = SERVICE_ECHO;
	memcpy(scratch + 8, &caller, sizeof(caller));
	memcpy(scratch + 16, &number, sizeof(number));
	return scratch;
}

void request_send(int fd, size_t size, uint64_t caller, uint64_t number)
{
	ssize_t n = send(fd, make_request(size, caller, number), size, MSG_NOSIGNAL);

	if (n != (ssize_t)size)
		fatal("a request was not taken: %s", n < 0 ? strerror(errno) : "only a part of it");
}

bool request_matches(const unsigned char *reply, size_t size, uint64_t caller, uint64_t number)
{
	return memcmp(reply, make_request(size, caller, number), size) == 0;
}

static void ask(struct crowd *crowd, const struct plan *plan, struct caller *caller)
{
	caller->got = 0;
	caller->number++;
	caller->sent_ns = clock_ns();
	request_send(caller->fd, plan->size, (uint64_t)(caller - crowd->callers), caller->number);
	crowd->out++;
}

static void open_callers(struct crowd *crowd, const struct plan *plan)
{
	crowd->n = crowd->unproved = plan->connections;
	crowd->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	crowd->callers = calloc(crowd->n, sizeof(*crowd->callers));
	if (crowd->epoll_fd < 0 || crowd->callers == NULL)
		fatal("no memory or no epoll descriptor");
	for (unsigned int i = 0; i < crowd->n; i++) {
		struct caller *caller = &crowd->callers[i];
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = caller };

		caller->reply = malloc(plan->size);
		if (caller->reply == NULL)
			fatal("no memory");
		caller->fd = plan_connect(plan);
		if (epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, caller->fd, &event) < 0)
			fatal("epoll_ctl: %s", strerror(errno));
	}
}

static void answered(struct crowd *crowd, const struct plan *plan, struct caller *caller,
		     const struct meter *meter)
{
	crowd->out--;
	crowd->unproved -= caller->number == 1;
	if (meter->phase == PHASE_MEASURE) {
		histogram_add(&crowd->latency, clock_ns() - caller->sent_ns);
		crowd->answered++;
		caller->served++;
	}
	if (!request_matches(caller->reply, plan->size, (uint64_t)(caller - crowd->callers),
			     caller->number))
		fatal("a reply was not the echo of its request");
	if (meter->phase != PHASE_OVER)
		ask(crowd, plan, caller);
}

static void caller_readable(struct crowd *crowd, const struct plan *plan, struct caller *caller,
			    const struct meter *meter)
{
	ssize_t n = recv(caller->fd, caller->reply + caller->got, plan->size - caller->got, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fatal("a connection was cut after %" PRIu64 " replies: %s", caller->number - 1,
		      n < 0 ? strerror(errno) : "end of file");
	caller->got += (size_t)n;
	if (caller->got == plan->size)
		answered(crowd, plan, caller, meter);
}

/* Connections that ask for a stream and never read it; left until the program ends. */
static void open_stuck(const struct plan *plan)
{
	uint64_t sourced = 0, since = clock_ns(), due = since + STALL_NS;

	if (plan->stuck == 0)
		return;
	for (unsigned int i = 0; i < plan->stuck; i++)
		plan_choose(plan_connect(plan), plan->paced ? SERVICE_PACED : SERVICE_SOURCE);
	for (;;) {
		uint64_t now = clock_ns(), n = control_ask(COMMAND_COUNT).sourced;

		if (n != sourced)
			since = now;
		else if (n > 0 && now > since + STUCK_QUIET_NS)
			return;
		if (now > due)
			fatal("a reader that never reads does not hold up its stream");
		sourced = n;
		usleep(1000);
	}
}

/* How evenly they were served: who got the fewest replies, and who the most. */
static void note_extremes(const struct crowd *crowd, struct meter *meter)
{
	uint64_t fewest = UINT64_MAX, most = 0;

	for (unsigned int i = 0; i < crowd->n; i++) {
		uint64_t served = crowd->callers[i].served;

		fewest = served < fewest ? served : fewest;
		most = served > most ? served : most;
	}
	meter_note(meter, "fewest", fewest);
	meter_note(meter, "most", most);
}

void request_run(const struct plan *plan)
{
	static struct crowd crowd;
	struct epoll_event events[EVENTS];
	struct meter meter;
	uint64_t resting_cpu, prove_due;
	bool proved = false;

	control_begin();
	idle_hold(plan);
	open_stuck(plan);
	resting_cpu = plan->stuck > 0 ? meter_resting_cpu(plan) : 0;
	open_callers(&crowd, plan);
	for (unsigned int i = 0; i < crowd.n; i++)
		ask(&crowd, plan, &crowd.callers[i]);

	prove_due = clock_ns() + PROVE_NS;
	meter_start(&meter, plan);
	while (meter.phase != PHASE_OVER || crowd.out > 0) {
		int n = epoll_wait(crowd.epoll_fd, events, EVENTS, 10);
		uint64_t now;

		for (int i = 0; i < n; i++)
			caller_readable(&crowd, plan, events[i].data.ptr, &meter);
		now = clock_ns();
		meter_watch(&meter, now, n > 0);
		if (!proved && (crowd.unproved == 0 || now > prove_due)) {
			proved = true;
			meter_start(&meter, plan);
		}
		if (proved)
			meter_turns(&meter, now);
	}
	meter.resting_cpu_ns = resting_cpu;
	note_extremes(&crowd, &meter);
	meter_print(&meter, "requests", crowd.answered, &crowd.latency);
}
