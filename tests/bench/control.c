/* SPDX-License-Identifier: MIT */
/*
 * Asks the backend's control socket: see service.h.  Used by the workloads.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/load.h"
#include "tests/bench/service.h"

/* How long a proxy may take to close what an earlier client has left. */
#define LEFTOVER_NS (3 * NS_PER_S)

static int control_fd = -1;

void control_open(const struct address *control)
{
	control_fd = address_connect(control);
	if (control_fd < 0)
		fatal("the backend's control socket does not answer: %s", strerror(-control_fd));
	if (fcntl(control_fd, F_SETFL, fcntl(control_fd, F_GETFL) & ~O_NONBLOCK) < 0)
		fatal("the backend's control socket cannot be made blocking");
}

static void ask(enum command command, void *answer, size_t size)
{
	char byte = (char)command;

	if (send(control_fd, &byte, 1, MSG_NOSIGNAL) != 1 ||
	    recv(control_fd, answer, size, MSG_WAITALL) != (ssize_t)size)
		fatal("the backend has ended");
}

struct counters control_ask(enum command command)
{
	struct counters counters;

	ask(command, &counters, sizeof(counters));
	return counters;
}

uint64_t control_sunk(void)
{
	struct counters counters = control_ask(COMMAND_COUNT);

	if (counters.faults > 0)
		fatal("wrong bytes came up");
	return counters.sunk;
}

void control_delays(struct histogram *ret_delays)
{
	ask(COMMAND_DELAYS, ret_delays, sizeof(*ret_delays));
}

void control_begin(void)
{
	uint64_t due = clock_ns() + LEFTOVER_NS;
	struct counters counters;

	while ((counters = control_ask(COMMAND_COUNT)).connections > 0) {
		if (clock_ns() > due)
			fatal("%" PRIu64 " connection(s) of clients that have gone are still open "
			      "at the backend",
			      counters.connections);
		usleep(1000);
	}
	control_ask(COMMAND_CLEAR);
}
