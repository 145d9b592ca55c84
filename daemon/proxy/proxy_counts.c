/* SPDX-License-Identifier: MIT */
/*
 * Counters of a proxy: see proxy_counts.h.
 */
#include "daemon/proxy/proxy_counts.h"

#define SECONDS(n) ((uint64_t)(n)*1000000)

static const uint64_t duration_bounds_us[DURATION_BOUNDS] = {
	10000,        100000,       SECONDS(1),    SECONDS(5),     SECONDS(15),    SECONDS(60),
	SECONDS(300), SECONDS(900), SECONDS(3600), SECONDS(14400), SECONDS(86400),
};

const struct histogram duration_histogram = { duration_bounds_us, DURATION_BOUNDS };

static const char *const words[N_ENDS] = {
	[END_CLOSED] = "closed",
	[END_CLIENT_LEFT] = "client-left",
	[END_CLIENT_BROKE] = "client-failed",
	[END_BACKEND_BROKE] = "backend-failed",
	[END_IDLE_TIMEOUT] = "idle-timeout",
	[END_HALF_CLOSE_TIMEOUT] = "half-close-timeout",
	[END_CONNECTION_TIMEOUT] = "connection-timeout",
	[END_NO_BACKEND] = "no-backend",
	[END_BACKEND_DOWN] = "backend-down",
	[END_CUT] = "cut",
	[END_REFUSED_ACCESS] = "access",
	[END_REFUSED_HEADER] = "proxy-protocol",
	[END_REFUSED_SOURCE_CONNECTIONS] = "max-connections-per-source",
	[END_REFUSED_SOURCE_RATE] = "connection-rate-per-source",
};

const char *connection_end_word(enum connection_end end)
{
	return words[end];
}

struct counters *proxy_counts_get(const char *name)
{
	return counters_get("proxy", name, "", N_PROXY_COUNTS);
}

struct counters *listener_counts_get(const char *text)
{
	return counters_get("listener", "", text, N_LISTENER_COUNTS);
}
