/* SPDX-License-Identifier: MIT */
/*
 * A session of which one side broke: how far the other has got with what had been sent
 * before.  A reset would throw away what is still on its way.
 */
#ifndef DAEMON_SESSION_ABORT_H
#define DAEMON_SESSION_ABORT_H

#include <stdbool.h>

struct session;

/* Whether everything is delivered. */
bool abort_is_done(const struct session *session);

/* Whether the other side has read nothing for too long.  If not, DEADLINE_DELIVERY is set. */
bool abort_has_stalled(struct session *session);

#endif
