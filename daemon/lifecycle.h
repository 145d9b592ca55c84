/* SPDX-License-Identifier: MIT */
/*
 * From the open listeners to the exit status: start the workers, wait for what
 * ends the process, drain.
 */
#ifndef DAEMON_LIFECYCLE_H
#define DAEMON_LIFECYCLE_H

struct service;

/*
 * Keeps signals waiting until lifecycle_run() can act upon them: by default they
 * would end the process and leave behind what it has opened.
 */
void lifecycle_hold_signals(void);

/*
 * Runs until a signal stops the process or its only connections have ended.
 * The proxies are open before and closed by the caller after.
 *
 * Returns the exit status.
 */
int lifecycle_run(struct service *service);

#endif
