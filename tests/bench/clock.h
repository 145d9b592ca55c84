/* SPDX-License-Identifier: MIT */
/*
 * The clock that everything in the bench reads: all processes share it, in
 * whichever network they are.
 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

uint64_t clock_ns(void);

void clock_sleep_until(uint64_t due_ns);

#endif
