/* SPDX-License-Identifier: MIT */
/*
 * The PROXY protocol headers of a session: the one that its client owes, read before a backend
 * is asked for, and the one that the backend gets before the client's first byte.  What of the
 * first has come, and all of the second, is pending at the client's end.
 */
#ifndef DAEMON_SESSION_HEADER_H
#define DAEMON_SESSION_HEADER_H

#include <stdbool.h>
#include <stddef.h>

struct refusal;
struct session;

enum header_result {
	HEADER_READ,      /* and the one for the backend is ready, if it gets one */
	HEADER_AWAITED,   /* it has not come yet, or not all of it: the client is to be watched */
	HEADER_NO_MEMORY, /* nothing is lost: try again later */
	HEADER_REFUSED    /* there is none, or the client of which it tells may not connect */
};

/*
 * Takes what has come of the header that the client owes, and not one byte more.
 *
 * @refusal: filled with HEADER_REFUSED
 */
enum header_result header_take(struct session *session, struct refusal *refusal);

/* What has come instead of a header, when the time for it is over. */
void header_format_missing(const struct session *session, const char *within,
			   struct refusal *refusal);

/*
 * Makes the header for the backend of a client that owes none, unless it is there or none is
 * sent.  False: out of memory, try again later.
 */
bool header_prepare(struct session *session);

#endif
