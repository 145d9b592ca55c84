/* SPDX-License-Identifier: MIT */
/*
 * The time that timeouts are measured in: milliseconds since boot, undisturbed
 * by changes of the wall clock.
 */
#ifndef DAEMON_CLOCK_H
#define DAEMON_CLOCK_H

#include <stdint.h>
#include <sys/time.h>
#include <time.h>

/*
 * The coarse clock is read without a system call and is a few milliseconds
 * behind at most.
 */
static inline uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* For libevent, which takes its timeouts as a struct timeval. */
static inline struct timeval timeval_from_ms(uint64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000),
				 .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}

#endif
