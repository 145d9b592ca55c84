/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds that only go forward: see clock.h.
 */
#include "tests/bench/clock.h"

#include <errno.h>
#include <time.h>

uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void clock_sleep_until(uint64_t due_ns)
{
	struct timespec ts = { .tv_sec = (time_t)(due_ns / NS_PER_S),
			       .tv_nsec = (long)(due_ns % NS_PER_S) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}
