/* SPDX-License-Identifier: MIT */
/*
 * The limits per source: asked once it is known who the client is, before a backend is.
 */
#ifndef DAEMON_SESSION_SOURCE_COUNT_H
#define DAEMON_SESSION_SOURCE_COUNT_H

#include <stdbool.h>

struct session;
struct sfront_sockaddr;

#define SOURCE_REASON_SIZE 128

/*
 * Whether the source of @client may have one connection more, which is counted until
 * source_count_end().  Always where no limit is set.
 *
 * @reason: filled where it may not
 */
bool source_count_begin(struct session *session, const struct sfront_sockaddr *client,
			char reason[SOURCE_REASON_SIZE]);

/* The connection has ended, if it was counted. */
void source_count_end(struct session *session);

#endif
