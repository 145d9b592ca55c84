/* SPDX-License-Identifier: MIT */
/*
 * One line per connection, at its end: who, through what, to whom, how much,
 * how long, and why it ended.
 */
#ifndef DAEMON_SESSION_ACCESS_LOG_H
#define DAEMON_SESSION_ACCESS_LOG_H

#include <stddef.h>
#include <stdint.h>

struct session;
struct sfront_connection;

/* What only the beginning of a session can tell. */
struct access_note {
	uint64_t started_ms; /* by the exact clock */
	char client[];
};

/* Makes the note, for the session to free; NULL while the access log is off. */
struct access_note *access_log_begin(const struct session *session,
				     const struct sfront_connection *connection);

/* Writes the line; the session's descriptors are still open. */
void access_log_session(const struct session *session, const char *reason);

/* Who the client is, asking the kernel if need be. */
void access_log_format_client(const struct session *session, char *buf, size_t size);

#endif
