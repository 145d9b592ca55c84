/* SPDX-License-Identifier: MIT */
/*
 * The limits per source: asked once it is known who the client is, before a backend is.
 */
#ifndef DAEMON_SESSION_SOURCE_COUNT_H
#define DAEMON_SESSION_SOURCE_COUNT_H

#include <stdbool.h>

struct refusal;
struct session;
struct sfront_proxy_header;
struct sfront_sockaddr;

/*
 * Whether the source of @client may have one connection more, which is counted until
 * source_count_end().  Always where no limit is set.
 *
 * @refusal: filled where it may not
 */
bool source_count_begin(struct session *session, const struct sfront_sockaddr *client,
			struct refusal *refusal);

/*
 * The same of a client that a header tells of: a UNIX client is a source by a believed
 * TLV alone, and so is one of vsock; without that, nobody is counted.
 */
bool source_count_begin_claimed(struct session *session, const struct sfront_proxy_header *header,
				struct refusal *refusal);

/* The connection has ended, if it was counted. */
void source_count_end(struct session *session);

#endif
