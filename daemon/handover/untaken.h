/* SPDX-License-Identifier: MIT */
/*
 * Sockets of LISTEN_FDS that no proxy has: their clients wait for nobody.
 */
#ifndef DAEMON_HANDOVER_UNTAKEN_H
#define DAEMON_HANDOVER_UNTAKEN_H

/* Says in the log which they are, and what would serve each. */
void untaken_warn(void);

#endif
