/* SPDX-License-Identifier: MIT */
/*
 * WATCHDOG=1 for the service manager, while the loop of every worker turns.
 */
#ifndef DAEMON_CONTROL_WATCHDOG_H
#define DAEMON_CONTROL_WATCHDOG_H

struct process;

/* Begins if the manager asked for it (WATCHDOG_USEC); the workers have been started. */
void watchdog_start(struct process *process);

void watchdog_stop(void);

#endif
