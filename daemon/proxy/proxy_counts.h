/* SPDX-License-Identifier: MIT */
/*
 * What is counted of a proxy and of its listeners: see counters.h.
 */
#ifndef DAEMON_PROXY_PROXY_COUNTS_H
#define DAEMON_PROXY_PROXY_COUNTS_H

#include "daemon/base/histogram.h"

/* How a connection ends. */
enum connection_end {
	END_CLOSED,       /* by both sides */
	END_CLIENT_LEFT,  /* while the backend was awaited */
	END_CLIENT_BROKE, /* a reset, mostly */
	END_BACKEND_BROKE,
	END_IDLE_TIMEOUT,
	END_HALF_CLOSE_TIMEOUT,
	END_CONNECTION_TIMEOUT,
	END_NO_BACKEND, /* none has answered */
	END_BACKEND_DOWN,
	END_CUT,
	/* It never was one: the client is sent away before a backend is asked for. */
	END_REFUSED_ACCESS,
	END_REFUSED_HEADER,
	END_REFUSED_SOURCE_CONNECTIONS,
	END_REFUSED_SOURCE_RATE,
	N_ENDS
};

#define FIRST_REFUSED END_REFUSED_ACCESS

/* As a label of a metric: "closed", "idle-timeout". */
const char *connection_end_word(enum connection_end end);

/* How long connections last: 10 ms to a day. */
#define DURATION_BOUNDS 11

enum proxy_count {
	PROXY_ACCEPTED, /* those who are refused as well */
	PROXY_UP,       /* bytes of clients that a backend took */
	PROXY_DOWN,     /* bytes of a backend that clients took */
	PROXY_HELD,     /* clients that have waited for a server, for however short a time */
	PROXY_HELD_NO_MORE,
	PROXY_RETRIES, /* addresses that were tried beside the last one */
	PROXY_ENDED,   /* each of enum connection_end */
	PROXY_DURATION = PROXY_ENDED + N_ENDS,
	N_PROXY_COUNTS = PROXY_DURATION + HISTOGRAM_SIZE(DURATION_BOUNDS)
};

enum listener_count { LISTENER_ACCEPTED, LISTENER_UP, LISTENER_DOWN, N_LISTENER_COUNTS };

extern const struct histogram duration_histogram;

/* Those of a proxy, and of a socket by what it listens on; the caller's; NULL: not counted. */
struct counters *proxy_counts_get(const char *name);
struct counters *listener_counts_get(const char *text);

#endif
