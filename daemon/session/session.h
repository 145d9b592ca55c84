/* SPDX-License-Identifier: MIT */
/*
 * A session: one client, its backend, and the way from accept to close.  It
 * knows its host, its proxy and its two ends; it does not know what kind of
 * listener the client came through.
 */
#ifndef DAEMON_SESSION_SESSION_H
#define DAEMON_SESSION_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/relay/relay.h"

struct access_note;
struct attempt;
struct proxy;
struct session_timer;
struct sfront_connection;
struct session_host;

/*
 *	             connected                   end of stream both ways
 *	CONNECTING -------------> RELAYING --------------------------------> closed
 *	    |                        |
 *	    | no backend,            | one side broke
 *	    | client gone            v
 *	    |                    ABORTING --> what it had sent is delivered --> reset
 *	    '--> reset
 *
 * A timeout or a cut goes from any state straight to the reset of both sides.
 */
enum session_state { SESSION_CONNECTING, SESSION_RELAYING, SESSION_ABORTING };

/* There are thousands of them, most of them idle: each byte here counts. */
struct session {
	struct session_host *host;
	struct proxy *proxy;    /* a reference */
	struct endpoint client; /* the backend stands behind it: see end_peer() */
	struct endpoint backend;
	union {
		struct attempt *attempt; /* while CONNECTING; may be NULL */
		const char *reason;      /* while ABORTING; static */
	};
	struct session_timer *timer; /* NULL until something is timed */
	struct access_note *note;    /* for the access log; NULL without */
	uint16_t socket;             /* which descriptor of the proxy's listener */
	uint8_t state;               /* enum session_state */
	bool single : 1;             /* the process serves this one connection */
	bool watch_gone : 1;         /* an end has not been read for a while: watch for its reset */
	bool starved : 1;            /* memory was short; the timer tries again */
	bool client_broke : 1;       /* while ABORTING: else the backend did */
};

/*
 * Serves a client that was just accepted and for which a slot is taken.  Takes
 * the connection, its slot and a reference to the proxy.  There must be memory for a
 * session: see session_host_is_ready().
 */
void session_start(struct session_host *host, struct proxy *proxy, size_t socket,
		   const struct sfront_connection *connection);

static inline struct session *session_of(struct endpoint *end)
{
	return end->is_backend ? (struct session *)((char *)end - offsetof(struct session, backend))
			       : (struct session *)((char *)end - offsetof(struct session, client));
}

/*
 * What has happened; each may free the session.  At an end that was watched for
 * that; to the peer of an end, which takes more of what is pending; to the timer.
 */
void session_end_ready(struct endpoint *end, enum watch watch);
void session_flush(struct endpoint *from);
void session_timer_fired(struct session *session);

/* Ends the session now, both sides with a reset: the drain is over. */
void session_cut(struct session *session);

#endif
