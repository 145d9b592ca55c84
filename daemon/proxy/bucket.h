/* SPDX-License-Identifier: MIT */
/*
 * A token bucket for a rate of conf/rate.h, kept as one number: when it would be full again.
 * A zeroed one is full.
 */
#ifndef DAEMON_PROXY_BUCKET_H
#define DAEMON_PROXY_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/rate.h"

struct bucket {
	uint64_t full_ns; /* by clock_exact_ns() */
};

/* How long until there is a token; 0: there is one.  @rate: with a count */
static inline uint64_t bucket_wait_ns(const struct bucket *bucket, const struct rate *rate,
				      uint64_t now_ns)
{
	uint64_t each = rate->period_ns / rate->count;
	uint64_t most = each * (rate->burst - 1); /* missing, where one is left */
	uint64_t missing = bucket->full_ns > now_ns ? bucket->full_ns - now_ns : 0;

	return missing > most ? missing - most : 0;
}

/* Takes a token, which is there. */
static inline void bucket_take(struct bucket *bucket, const struct rate *rate, uint64_t now_ns)
{
	uint64_t from = bucket->full_ns > now_ns ? bucket->full_ns : now_ns;

	bucket->full_ns = from + rate->period_ns / rate->count;
}

static inline bool bucket_is_full(const struct bucket *bucket, uint64_t now_ns)
{
	return bucket->full_ns <= now_ns;
}

#endif
