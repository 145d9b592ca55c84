/* SPDX-License-Identifier: MIT */
/*
 * What the operator hears of a session: its line in the access log, and a failure even
 * without one.
 */
#ifndef DAEMON_SESSION_REPORT_H
#define DAEMON_SESSION_REPORT_H

#include <stdbool.h>
#include <stddef.h>

struct outcome;
struct proxy;
struct session;

/* A server has answered: what the access log has to know of that. */
void report_connected(const struct session *session, const struct outcome *outcome);

/*
 * The access log's line, if there is one; the descriptors are still open.
 *
 * @reset: what is on its way will not arrive, and does not count
 */
void report_end(const struct session *session, bool reset, const char *reason);

/*
 * Something other than the client's own doing ended it: said at most once a second; one
 * that serves a single connection says so with its exit status too.
 */
void report_failure(const struct session *session, const char *reason);

/*
 * A client is sent away before a backend was asked for.  The access log has each; a log
 * without one hears of it once a second, and how many others there were.
 */
void report_turned_away(const struct proxy *proxy, size_t socket, const char *client,
			const char *reason);

/* The same of a session; one that serves a single connection says so as above. */
void report_refusal(const struct session *session, const char *reason);

#endif
