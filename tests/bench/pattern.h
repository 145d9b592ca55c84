/* SPDX-License-Identifier: MIT */
/*
 * What bulk streams are made of: bytes that follow from their place in the
 * stream, so that the receiver sees at once when one is missing, doubled or
 * from another stream.
 */
#ifndef BENCH_PATTERN_H
#define BENCH_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one send() offers at most. */
#define PATTERN_CHUNK ((size_t)131072)

void pattern_init(void);

/* PATTERN_CHUNK bytes, as they stand at @offset of a stream. */
const unsigned char *pattern_at(uint64_t offset);

/* Whether @data can be what stands at @offset: its first and its last bytes are looked at. */
bool pattern_matches(const unsigned char *data, size_t size, uint64_t offset);

#endif
