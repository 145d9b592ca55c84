/* SPDX-License-Identifier: MIT */
/*
 * From the open listeners to the exit status: start the workers, wait for what
 * ends the process, drain.
 */
#ifndef DAEMON_CONTROL_LIFECYCLE_H
#define DAEMON_CONTROL_LIFECYCLE_H

struct process;

/*
 * Runs until a signal stops the process or its only connections have ended.
 * The proxies are open before and closed by the caller after.
 *
 * Returns the exit status.
 */
int lifecycle_run(struct process *process);

#endif
