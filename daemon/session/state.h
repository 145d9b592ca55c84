/* SPDX-License-Identifier: MIT */
/*
 * What a session is: one client, its backend, and the way from accept to close.  It
 * knows its host, its proxy and its two ends; it does not know what kind of
 * listener the client came through.
 */
#ifndef DAEMON_SESSION_STATE_H
#define DAEMON_SESSION_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/base/log.h"
#include "daemon/proxy/proxy.h"
#include "daemon/relay/coalesce.h"
#include "daemon/relay/endpoint.h"
#include "daemon/session/delivery.h"
#include "daemon/session/timers.h"

struct access_note;
struct attempt;
struct proxy;
struct source_entry;
struct server;
struct session_host;

/*
 *	       none is owed
 *	NEW ------------------------------------------------------.
 *	 |                                                        |
 *	 | a header is owed         it was read, the client may   v
 *	 '------> AWAITING_HEADER -------------------------> CONNECTING
 *	             |                                       |       |
 *	             | none comes,               no backend, |       | connected
 *	             | may not connect           client gone |       v
 *	             |                                       |    RELAYING
 *	             |                                       |     |     |
 *	             |              ABORTING <---------------|-----'     | end of stream
 *	             |                 | what the broken     | one side  | both ways
 *	             |                 | side had sent       | broke     |
 *	             v                 v is delivered        v           v
 *	           CLOSED <----------------------------------------------'
 *
 * A timeout or a cut goes from any state straight to CLOSED, with a reset of both sides.
 * Only session_enter() goes from one to another.
 */
enum session_state {
	SESSION_NEW,             /* accepted; nothing was done yet */
	SESSION_AWAITING_HEADER, /* of the PROXY protocol, from the client */
	SESSION_CONNECTING,
	SESSION_RELAYING,
	SESSION_ABORTING,
	SESSION_CLOSED
};

/* What only a session has that waits for a certain time: most never do. */
struct session_timing {
	struct timers timers;
	uint64_t unsent;             /* in the sockets, as was seen when a timeout was over */
	struct delivery delivery;    /* while ABORTING */
	struct coalesce coalesce[2]; /* the client's, the backend's */
	struct session *session;
	LIST_ENTRY(session_timing) link; /* among those that are looked after */
	bool is_looked_after;
};

/* There are thousands of them, most of them idle: each byte here counts. */
struct session {
	struct session_host *host;
	struct proxy *proxy;    /* a reference */
	struct server *server;  /* counted there, its backend kept; NULL: none has answered */
	struct endpoint client; /* the backend stands behind it: see end_peer() */
	struct endpoint backend;
	union {
		struct attempt *attempt; /* while CONNECTING; may be NULL */
		const char *reason;      /* while ABORTING; static */
	};
	struct session_timing *timing; /* NULL until something is timed */
	struct access_note *note;      /* for the access log and the debug log; NULL without */
	uint64_t began_us;             /* by the exact clock; 0 where nobody wants to know */
	struct source_entry *source;   /* counts it; NULL while nothing is limited per source */
	uint32_t socket;               /* which descriptor of the proxy's listener */
	uint8_t state;                 /* enum session_state */
	bool single : 1;               /* the process serves this one connection */
	bool watch_gone : 1;   /* an end has not been read for a while: watch for its reset */
	bool starved : 1;      /* memory was short: no byte moves until the next try */
	bool stuck : 1;        /* there was not even any for a deadline: see session_host.rescue */
	bool client_broke : 1; /* while ABORTING: else the backend did */
	bool is_held : 1;      /* it has a place among those: see not_held() of the host */
	bool came_back : 1;    /* the client is a connection of our own */
};

_Static_assert(sizeof(((struct session *)0)->socket) >= sizeof(uint32_t),
	       "a proxy may have more than 65,535 sockets");
_Static_assert(offsetof(struct session, backend) ==
		       offsetof(struct session, client) + sizeof(struct endpoint),
	       "end_peer() wants the two ends side by side");

/* Whether somebody wants to know how long what takes. */
static inline bool session_wants_times(const struct session *session)
{
	return session->proxy->access_log != ACCESS_LOG_NO || session->proxy->counts ||
	       log_wants(LOG_DEBUG);
}

static inline struct session *session_of(struct endpoint *end)
{
	return end->is_backend ? (struct session *)((char *)end - offsetof(struct session, backend))
			       : (struct session *)((char *)end - offsetof(struct session, client));
}

#endif
