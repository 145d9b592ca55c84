/* SPDX-License-Identifier: MIT */
/*
 * The line that "systemctl status" shows: how many connections there are, told
 * when it has changed and at most every five seconds; and, during a drain, that
 * the stop may take longer.
 */
#ifndef DAEMON_CONTROL_MANAGER_STATUS_H
#define DAEMON_CONTROL_MANAGER_STATUS_H

struct process;

/* Begins to tell.  Nothing happens where there is no service manager. */
void manager_status_start(struct process *process);

/* The drain has begun: from now on it tells what is left, and asks for time. */
void manager_status_drain(void);

void manager_status_stop(void);

#endif
