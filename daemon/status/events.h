/* SPDX-License-Identifier: MIT */
/*
 * /events: what the page shows, once a second for as long as somebody looks.
 */
#ifndef DAEMON_STATUS_EVENTS_H
#define DAEMON_STATUS_EVENTS_H

#include "daemon/status/answer.h"

extern const struct answer_route events_route;

/* At the end, when no stream is open and the workers' threads have ended. */
void events_clear(void);

#endif
