/* SPDX-License-Identifier: MIT */
/*
 * One turn of what takes several: it is over after so many bytes, or so long.
 */
#ifndef DAEMON_STATUS_TURN_H
#define DAEMON_STATUS_TURN_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/clock.h"

#define TURN_BYTES  ((size_t)32 * 1024)
#define TURN_MAX_US 500

struct turn {
	size_t before; /* bytes that were in the buffer already */
	uint64_t began_us;
};

static inline struct turn turn_begin(const struct evbuffer *out)
{
	return (struct turn){ .before = evbuffer_get_length(out), .began_us = clock_exact_us() };
}

static inline bool turn_is_over(const struct turn *turn, const struct evbuffer *out)
{
	return evbuffer_get_length(out) - turn->before >= TURN_BYTES ||
	       clock_exact_us() - turn->began_us >= TURN_MAX_US;
}

#endif
