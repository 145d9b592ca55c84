/* SPDX-License-Identifier: MIT */
/*
 * SIGUSR2: a new process, from the binary and the configuration as they are now,
 * takes over every listening socket; nothing is refused or dropped meanwhile.
 *
 *	old                                   new
 *	 |  fork, fork, exec  ---------------> |  opens, with the sockets it was given
 *	 |                                     |  starts its workers, accepts nobody yet
 *	 |  <--------- what it took, "ready"   |
 *	 |  "go"  ---------------------------> |
 *	 |  <-------------------- "accepting"  |  accepts, beside the old one
 *	 |  MAINPID=, READY=1 to systemd       |
 *	 |  accepts no more, closes            |
 *	 |  "yours"  ------------------------> |  speaks to systemd, reloads, from now on
 *	 |  drains                             |
 *	 |  ends  ---------------------------> |  may end, too
 *
 * Until MAINPID= the new one may end at any moment, and the old one goes on; options
 * of sockets that both have are as they were, unless it was ended by force.
 */
#ifndef DAEMON_UPGRADE_H
#define DAEMON_UPGRADE_H

#include <stdbool.h>
#include <sys/types.h>

struct service;

/*
 * Starts the new process.
 *
 * @done: called on the main thread once it accepts, with its process id, or with
 *        0 when it has failed, which the log says
 *
 * Returns 0, or -errno, which the log says too.
 */
int upgrade_start(struct service *service, void (*done)(pid_t pid));

/* Whether the new process is still there. */
bool upgrade_is_alive(void);

/*
 * There is no way back any more.  The listeners that the new process has taken over
 * are marked as shared, the others as this process's own.
 */
void upgrade_finish(void);

/*
 * After that, when the listeners are closed here: the new process is on its own, and
 * may open what it has not taken over.  Nothing without an upgrade.
 */
void upgrade_release(void);

/* Asks the new process to end, which has no say in anything yet. */
void upgrade_abort(void);

#endif
