/* SPDX-License-Identifier: MIT */
/*
 * A log-linear histogram of nanoseconds: see histogram.h.  Filled by the
 * workloads, read by result.c.
 */
#include "tests/bench/histogram.h"

#include <stddef.h>

#define SUBS (UINT64_C(1) << HISTOGRAM_SUB_BITS)

/* Below 2 * SUBS every value has its own bucket; above, the top bits choose it. */
static size_t bucket_of(uint64_t ns)
{
	unsigned int shift;

	if (ns >= UINT64_C(1) << HISTOGRAM_MAX_BITS)
		ns = (UINT64_C(1) << HISTOGRAM_MAX_BITS) - 1;
	if (ns < SUBS)
		return (size_t)ns;
	shift = 63u - (unsigned int)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
	return (size_t)(((uint64_t)shift << HISTOGRAM_SUB_BITS) + (ns >> shift));
}

static uint64_t middle_of(size_t bucket)
{
	uint64_t shift, first;

	if (bucket < 2 * SUBS)
		return bucket;
	shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
	first = (bucket - (shift << HISTOGRAM_SUB_BITS)) << shift;
	return first + (UINT64_C(1) << shift) / 2;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	histogram->buckets[bucket_of(ns)]++;
	histogram->total++;
}

uint64_t histogram_at(const struct histogram *histogram, double share)
{
	uint64_t wanted = (uint64_t)(share * (double)histogram->total + 0.5), seen = 0;

	if (wanted == 0)
		wanted = 1;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen >= wanted)
			return middle_of(i);
	}
	return 0;
}
