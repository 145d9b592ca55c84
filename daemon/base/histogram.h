/* SPDX-License-Identifier: MIT */
/*
 * How long something took, counted in a set of counters: one for each bound, one for what is
 * past the last, and the sum.
 */
#ifndef DAEMON_BASE_HISTOGRAM_H
#define DAEMON_BASE_HISTOGRAM_H

#include <stdint.h>

#include "daemon/base/counters.h"

struct histogram {
	const uint64_t *bounds_us; /* rising; what takes as long as one belongs to it */
	unsigned int n;
};

/* Counters that it takes: those of the bounds, that past the last, the sum in microseconds. */
#define HISTOGRAM_SIZE(n_bounds) ((n_bounds) + 2)

/* @first: of its counters in the set */
static inline void histogram_add(const struct histogram *histogram, struct counters *set,
				 unsigned int first, uint64_t us)
{
	unsigned int i = 0;

	while (i < histogram->n && us > histogram->bounds_us[i])
		i++;
	counters_add(set, first + i, 1);
	counters_add(set, first + histogram->n + 1, us);
}

#endif
