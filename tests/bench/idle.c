/* SPDX-License-Identifier: MIT */
/*
 * Connections that do nothing.  Each is proved with one byte there and back,
 * so that the proxy has a backend for it.  As a workload of their own, the
 * program then says so on standard output, and whoever started it measures the
 * proxy until standard input ends; beside another, they are just there.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/load.h"
#include "tests/bench/service.h"

static void exchange_byte(int fd, unsigned int number)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char byte = 0;

	plan_choose(fd, SERVICE_ECHO);
	if (poll(&pfd, 1, (int)(STALL_NS / NS_PER_MS)) != 1)
		fatal("connection %u gives no answer", number);
	if (recv(fd, &byte, 1, 0) != 1 || byte != SERVICE_ECHO)
		fatal("connection %u was cut", number);
}

static void await_end_of_stdin(void)
{
	char byte;
	ssize_t n;

	do {
		n = read(STDIN_FILENO, &byte, 1);
	} while (n > 0 || (n < 0 && errno == EINTR));
}

static int open_proved(const struct plan *plan, unsigned int number)
{
	int fd = plan_connect(plan);

	exchange_byte(fd, number);
	return fd;
}

void idle_hold(const struct plan *plan)
{
	for (unsigned int i = 0; i < plan->open; i++)
		(void)open_proved(plan, i);
}

void idle_run(const struct plan *plan)
{
	int *fds = calloc(plan->connections, sizeof(*fds));

	if (fds == NULL)
		fatal("no memory");
	control_begin();
	for (unsigned int i = 0; i < plan->connections; i++)
		fds[i] = open_proved(plan, i);
	printf("{\"open\": %u}\n", plan->connections);
	fflush(stdout);
	await_end_of_stdin();
	for (unsigned int i = 0; i < plan->connections; i++)
		exchange_byte(fds[i], i);
	free(fds);
}
