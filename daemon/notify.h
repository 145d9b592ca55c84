/* SPDX-License-Identifier: MIT */
/*
 * What the service manager is told.  Nothing happens where there is none.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/* Every listener is bound and polled. */
void notify_ready(void);

/* No new client is accepted any more. */
void notify_stopping(void);

#endif
