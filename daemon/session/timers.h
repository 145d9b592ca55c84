/* SPDX-License-Identifier: MIT */
/*
 * Whatever a session has to wait for: its timeouts, the look after bytes that
 * coalesce, the next try of what memory was missing for.  All share one timer,
 * which is made when the first of them needs it: most sessions never do.
 */
#ifndef DAEMON_SESSION_TIMERS_H
#define DAEMON_SESSION_TIMERS_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/relay/coalesce.h"

struct endpoint;
struct session;

/* How soon to try again what memory was missing for. */
#define STARVED_RETRY_MS 100

struct session_timer {
	struct event event;
	uint64_t due_ms;    /* when it fires; 0: it is not set */
	uint64_t active_ms; /* when bytes last moved; kept only for the timeouts that need it */
	uint64_t unsent;    /* in the sockets, as was seen when the idle timeout was over */
	uint64_t half_closed_ms;     /* when the first side ended; 0: none has */
	uint64_t abort_due_ms;       /* while ABORTING: deliver no longer than that */
	struct coalesce coalesce[2]; /* the client's, the backend's */
};

/*
 * The session's timer, made if need be.  NULL: out of memory, and what would be
 * timed goes untimed until the next occasion.
 */
struct session_timer *session_timer(struct session *session);

/* Sees to it that session_timer_fired() is called in @ms at the latest.  False: out of memory. */
bool session_timer_set(struct session *session, uint64_t ms);

/* At the end of the session, while its descriptors are open. */
void session_timer_stop(struct session *session);

/* Both sides are connected: the idle timeout begins. */
void session_timer_begin(struct session *session);

/* Bytes from @from have moved, or are waiting to. */
void session_note_bytes(struct session *session, struct endpoint *from);

/* The first side has ended: the half-close timeout begins. */
void session_note_half_close(struct session *session);

/*
 * When it has fired while RELAYING: looks after what coalesces, and sets the timer
 * anew.  Returns which timeout is over, in the words of the access log, or NULL.
 */
const char *session_timer_check(struct session *session);

#endif
