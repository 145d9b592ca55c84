/* SPDX-License-Identifier: MIT */
/*
 * Which events a session's two ends wait for.  That follows from the session's
 * state alone, so that no transition has to remember to turn something on or off.
 */
#ifndef DAEMON_SESSION_WATCH_H
#define DAEMON_SESSION_WATCH_H

#include <stdbool.h>

struct session;

/*
 * Brings the events in line with the state.  Whatever leaves the session alive ends
 * with it.
 */
void session_watch(struct session *session);

/* At the end of the session: nothing is waited for any more. */
void session_unwatch(struct session *session);

/* Whether an end is not read at present: it has ended, or its peer takes no more. */
bool session_is_unread(const struct session *session);

#endif
