/* SPDX-License-Identifier: MIT */
/*
 * One line per connection, at its end: who, through what, to whom, how much,
 * how long, and why it ended.
 */
#ifndef DAEMON_ACCESS_LOG_H
#define DAEMON_ACCESS_LOG_H

#include <stddef.h>

struct session;
struct sfront_connection;

/* Notes what only the beginning can tell.  Does nothing while the access log is off. */
void access_log_begin(struct session *session, const struct sfront_connection *connection);

/* Writes the line; the session's descriptors are still open. */
void access_log_session(const struct session *session, const char *reason);

/* Who the client is, asking the kernel if need be. */
void access_log_format_client(const struct session *session, char *buf, size_t size);

#endif
