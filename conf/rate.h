/* SPDX-License-Identifier: MIT */
/*
 * How many connections may begin in a time: "20/s", "600/min 50".
 */
#ifndef CONF_RATE_H
#define CONF_RATE_H

#include <stdint.h>

#include <sockfront/error.h>

struct rate {
	uint32_t count; /* connections in a period; 0: no limit */
	uint32_t burst; /* that may begin at once after a pause, at least 1 */
	uint64_t period_ns;
};

/*
 * Reads "N/s" or "N/min", and behind a blank how many may begin at once (N by default).
 * Returns 0, or a negative errno with @err saying what is taken.
 */
int rate_parse(const char *text, struct rate *ret, struct sfront_error *err);

#endif
