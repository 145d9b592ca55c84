/* SPDX-License-Identifier: MIT */
/*
 * What is counted of a server: see counters.h.
 */
#ifndef DAEMON_BACKEND_SERVER_COUNTS_H
#define DAEMON_BACKEND_SERVER_COUNTS_H

#include "daemon/base/histogram.h"

/* How long connecting takes: 1 ms to 30 s. */
#define CONNECT_BOUNDS 12

enum server_count {
	SERVER_CONNECTED, /* clients that it has answered */
	SERVER_UP,        /* bytes of clients that it took */
	SERVER_DOWN,      /* bytes from it that clients took */
	/* Connections to it that failed, those of checks aside: */
	SERVER_FAILED_REFUSED,
	SERVER_FAILED_TIMEOUT,
	SERVER_FAILED_UNREACHABLE,
	SERVER_FAILED_RESET, /* before a byte had moved */
	SERVER_FAILED_NAME,  /* it has no address */
	SERVER_FAILED_OTHER,
	SERVER_CHECKS_PASSED,
	SERVER_CHECKS_FAILED,
	SERVER_CONNECT_TIME,
	N_SERVER_COUNTS = SERVER_CONNECT_TIME + HISTOGRAM_SIZE(CONNECT_BOUNDS)
};

extern const struct histogram connect_histogram;

/* Those of the server @text of that proxy, the caller's; NULL: not counted. */
struct counters *server_counts_get(const char *proxy, const char *text);

#define SERVER_FAILED_FIRST SERVER_FAILED_REFUSED
#define SERVER_FAILED_LAST  SERVER_FAILED_OTHER

/* One of those as a label of a metric: "refused". */
const char *server_failure_word(enum server_count which);

/* Which of them an errno is. */
enum server_count server_count_of(int error);

#endif
