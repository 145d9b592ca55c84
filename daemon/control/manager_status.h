/* SPDX-License-Identifier: MIT */
/*
 * The line that "systemctl status" shows: how many connections there are, told
 * when it has changed and at most every five seconds; and, during a drain, that
 * the stop may take longer.  And when the last reload failed, and why.
 */
#ifndef DAEMON_CONTROL_MANAGER_STATUS_H
#define DAEMON_CONTROL_MANAGER_STATUS_H

struct process;

/* Begins to tell.  Nothing happens where there is no service manager. */
void manager_status_start(struct process *process);

/* The drain has begun: from now on it tells what is left, and asks for time. */
void manager_status_drain(void);

/*
 * A reload has failed, which is told, with the time, until one succeeds.
 *
 * @why: copied; NULL: it has succeeded
 */
void manager_status_note_reload(const char *why);

void manager_status_stop(void);

#endif
