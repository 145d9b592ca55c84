/* SPDX-License-Identifier: MIT */
/*
 * The bytes of bulk streams: see pattern.h.  Used by both sides of bulk.c.
 */
#include "tests/bench/pattern.h"

#include <string.h>

/* A prime: a lost piece of any round size shifts what follows. */
#define PERIOD ((size_t)65521)

#define LOOKED_AT ((size_t)64)

static unsigned char bytes[PERIOD + PATTERN_CHUNK];

void pattern_init(void)
{
	uint32_t state = 2463534242;

	for (size_t i = 0; i < PERIOD; i++) {
		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		bytes[i] = (unsigned char)(state >> 24);
	}
	for (size_t i = PERIOD; i < sizeof(bytes); i++)
		bytes[i] = bytes[i - PERIOD];
}

const unsigned char *pattern_at(uint64_t offset)
{
	return bytes + offset % PERIOD;
}

bool pattern_matches(const unsigned char *data, size_t size, uint64_t offset)
{
	size_t part = size < LOOKED_AT ? size : LOOKED_AT;

	return memcmp(data, pattern_at(offset), part) == 0 &&
	       memcmp(data + size - part, pattern_at(offset + size - part), part) == 0;
}
