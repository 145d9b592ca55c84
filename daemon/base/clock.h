/* SPDX-License-Identifier: MIT */
/*
 * The time that timeouts are measured in: milliseconds since boot, undisturbed
 * by changes of the wall clock.
 */
#ifndef DAEMON_BASE_CLOCK_H
#define DAEMON_BASE_CLOCK_H

#include <stdint.h>
#include <sys/time.h>
#include <time.h>

static inline uint64_t clock_read_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The coarse clock costs next to nothing, and is a few milliseconds behind at most. */
static inline uint64_t clock_ms(void)
{
	return clock_read_ms(CLOCK_MONOTONIC_COARSE);
}

/* For what people will read. */
static inline uint64_t clock_exact_ms(void)
{
	return clock_read_ms(CLOCK_MONOTONIC);
}

/* For what is counted out over short times. */
static inline uint64_t clock_exact_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* For the service manager, which takes microseconds. */
static inline uint64_t clock_exact_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Times and durations add up, but never to less than one of them: UINT64_MAX is for ever. */
static inline uint64_t clock_sum_ms(uint64_t a, uint64_t b)
{
	return a < UINT64_MAX - b ? a + b : UINT64_MAX;
}

/* For libevent, which takes its timeouts as a struct timeval. */
static inline struct timeval timeval_from_ms(uint64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000),
				 .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}

#endif
