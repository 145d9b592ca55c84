/* SPDX-License-Identifier: MIT */
/*
 * Whether a client may connect, and whether a PROXY protocol header is owed before that can
 * be told.  Asked before a backend is touched: on the accepting thread, and, of those that owe
 * a header, again by the session once that is read.  Costs nothing where a proxy has no rules.
 */
#ifndef DAEMON_SESSION_ADMISSION_H
#define DAEMON_SESSION_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>

struct endpoint;
struct proxy;
struct refusal;
struct session;
struct sfront_connection;
struct sfront_sockaddr;

/*
 * Whether a client that was just accepted goes on: it may connect, or comes from a source
 * that is trusted to say who the client is.  @connection->header_due is set then, and it is
 * asked about nothing else yet.
 *
 * One that does not has been reset (where the transport knows no reset: closed), and the logs
 * have it; its slot is the caller's to give back.
 */
bool admission_grant(const struct proxy *proxy, size_t socket,
		     struct sfront_connection *connection);

/*
 * Whether the client of which a header tells may connect.
 *
 * @sender:  whoever sent the header
 * @claimed: who the client is by the header; NULL: it does not tell
 * @refusal: filled where it may not
 */
bool admission_grant_claimed(const struct proxy *proxy, const struct endpoint *sender,
			     const struct sfront_sockaddr *claimed, struct refusal *refusal);

/*
 * Tells the log, at level debug, which rule decides of a session's client.  The rules are asked
 * once more for it, and at other levels nothing is.
 *
 * @claimed: as above
 */
void admission_tell(const struct session *session, const struct sfront_sockaddr *claimed);

/* Whether what the sender of a header says of UNIX and vsock clients is passed on. */
bool admission_trusts_tlvs(const struct proxy *proxy, const struct endpoint *sender);

#endif
