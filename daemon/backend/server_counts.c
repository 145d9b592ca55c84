/* SPDX-License-Identifier: MIT */
/*
 * Counters of a server: see server_counts.h.
 */
#include "daemon/backend/server_counts.h"

#include <errno.h>

static const uint64_t connect_bounds_us[CONNECT_BOUNDS] = {
	1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 2500000, 5000000, 30000000,
};

const struct histogram connect_histogram = { connect_bounds_us, CONNECT_BOUNDS };

struct counters *server_counts_get(const char *proxy, const char *text)
{
	return counters_get("server", proxy, text, N_SERVER_COUNTS);
}

enum server_count server_count_of(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case ENOENT: /* of a UNIX path */
		return SERVER_FAILED_REFUSED;
	case ETIMEDOUT:
		return SERVER_FAILED_TIMEOUT;
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
		return SERVER_FAILED_UNREACHABLE;
	case ECONNRESET:
	case EPIPE:
		return SERVER_FAILED_RESET;
	default:
		return SERVER_FAILED_OTHER;
	}
}

const char *server_failure_word(enum server_count which)
{
	static const char *const words[] = {
		[SERVER_FAILED_REFUSED] = "refused",
		[SERVER_FAILED_TIMEOUT] = "timeout",
		[SERVER_FAILED_UNREACHABLE] = "unreachable",
		[SERVER_FAILED_RESET] = "reset",
		[SERVER_FAILED_NAME] = "name",
		[SERVER_FAILED_OTHER] = "other",
	};

	return words[which];
}
