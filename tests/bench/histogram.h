/* SPDX-License-Identifier: MIT */
/*
 * Durations, counted in buckets whose width grows with the value: 64 to each
 * power of two, so that a percentile is off by less than 1 %.  Nothing is
 * allocated and nothing is sorted while the measurement runs.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_MAX_BITS 40 /* 2^40 ns are 18 minutes; what is longer counts as that */
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 2) << HISTOGRAM_SUB_BITS)

struct histogram {
	uint64_t total;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t ns);

/* The value that @share (0 to 1) of all are not above; 0 without any. */
uint64_t histogram_at(const struct histogram *histogram, double share);

#endif
