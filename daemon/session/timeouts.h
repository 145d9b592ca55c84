/* SPDX-License-Identifier: MIT */
/*
 * What of a session is timed while it relays: the timeouts of the configuration.
 * Between timers.c, which knows deadlines by their names only, and session.c, which
 * acts on what is over.
 */
#ifndef DAEMON_SESSION_TIMEOUTS_H
#define DAEMON_SESSION_TIMEOUTS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/session/timers.h"

struct session;
struct session_timing;

/* How soon to try again what memory was missing for. */
#define RETRY_MS 100

/*
 * What is timed of the session, made if need be.  NULL: out of memory; the session is stuck
 * then, and will be tried again.
 */
struct session_timing *session_timing(struct session *session);

/* @which is over in @ms.  False: as above. */
bool session_deadline(struct session *session, enum deadline which, uint64_t ms);

/* The same, but one that is set already stays as it is. */
bool session_deadline_by(struct session *session, enum deadline which, uint64_t ms);

/* Sets the timeouts that the session should have and does not. */
void timeouts_set(struct session *session);

/* Something has happened: what is timed since then begins anew. */
void timeouts_note_activity(struct session *session);

/*
 * The deadline of a timeout is over.  Returns why the session is too, in words; NULL: it
 * is not, since bytes still move.
 */
const char *timeouts_over(struct session *session, enum deadline which);

/* Nothing is timed any more but the connection-timeout. */
void timeouts_clear(struct session *session);

/* At the end of the session, while its descriptors are open. */
void timeouts_stop(struct session *session);

#endif
