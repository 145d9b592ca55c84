/* SPDX-License-Identifier: MIT */
/*
 * Connections that do nothing.  Each is proved with one byte there and back,
 * so that the proxy has a backend for it; then the program says so on standard
 * output, and whoever started it measures the proxy until standard input ends.
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

void idle_run(const struct plan *plan)
{
	int *fds = calloc(plan->connections, sizeof(*fds));

	if (fds == NULL)
		fatal("no memory");
	control_begin();
	for (unsigned int i = 0; i < plan->connections; i++) {
		fds[i] = plan_connect(plan);
		exchange_byte(fds[i], i);
	}
	printf("{\"open\": %u}\n", plan->connections);
	fflush(stdout);
	await_end_of_stdin();
	for (unsigned int i = 0; i < plan->connections; i++)
		exchange_byte(fds[i], i);
	free(fds);
}
