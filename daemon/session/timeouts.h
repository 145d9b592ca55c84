/* SPDX-License-Identifier: MIT */
/*
 * What of a session is timed while it relays: the timeouts of the configuration, and the
 * look after bytes that coalesce.  Between timers.c, which knows deadlines by their names
 * only, and session.c, which acts on what is over.
 */
#ifndef DAEMON_SESSION_TIMEOUTS_H
#define DAEMON_SESSION_TIMEOUTS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/session/timers.h"

struct endpoint;
struct session;

/*
 * @which is over in @ms.  False: out of memory, and it goes untimed until the next
 * occasion.
 */
bool session_deadline(struct session *session, enum deadline which, uint64_t ms);

/* The same, but for one that is set already: it stays as it is. */
bool session_deadline_by(struct session *session, enum deadline which, uint64_t ms);

/* Bytes from @from have moved, or are waiting to. */
void timeouts_note_bytes(struct session *session, struct endpoint *from);

/* Something has happened; with the first end that has ended the half-close timeout begins. */
void timeouts_note_activity(struct session *session);

/* The deadline of a timeout is over: whether the session is too. */
bool timeouts_are_over(struct session *session, enum deadline which);

/* Looks after bytes that coalesce: DEADLINE_COALESCE is over. */
void timeouts_check_coalescing(struct session *session);

/* Nothing of the above is timed any more. */
void timeouts_clear(struct session *session);

/* At the end of the session, while its descriptors are open. */
void timeouts_stop(struct session *session);

#endif
