/* SPDX-License-Identifier: MIT */
/*
 * SIGUSR2: a new process, from the binary and the configuration as they are now,
 * takes over every listening socket; nothing is refused or dropped meanwhile.
 *
 *	old                                   new
 *	 |  fork, fork, exec  ---------------> |  opens, with the sockets it was given
 *	 |                                     |  starts its workers, accepts nobody yet
 *	 |  <------------------------- ready   |
 *	 |  MAINPID=, READY=1 to systemd       |
 *	 |  go  -----------------------------> |  accepts
 *	 |  accepts no more, drains            |
 *
 * Until "go" either may end, and the other goes on, or ends, as if nothing had
 * been tried.
 */
#ifndef DAEMON_UPGRADE_H
#define DAEMON_UPGRADE_H

#include <stdbool.h>
#include <sys/types.h>

struct event_base;
struct service;

/*
 * At the start of main(): where the program is and how it was called, for a later
 * upgrade; and, in the new process, what the old one passed.
 *
 * @argv: borrowed
 */
void upgrade_remember(char **argv);
void upgrade_receive(void);

/* ---- the old process ---- */

/*
 * Starts the new process.
 *
 * @done: called on the main thread once it is ready, with its process id, or with
 *        0 when it has failed, which the log says
 *
 * Returns 0, or -errno, which the log says too.
 */
int upgrade_start(struct service *service, void (*done)(pid_t pid));

/* Whether a new process is under way. */
bool upgrade_pending(void);

/* Lets the new process accept; it is on its own from then on. */
void upgrade_go(void);

/* Ends the new process, which has accepted nobody yet. */
void upgrade_abort(void);

/* ---- the new process ---- */

/* Whether this is one. */
bool upgrade_is_successor(void);

/*
 * Tells the old process that all is open and set up.
 *
 * @go:   called when it lets us accept
 * @lost: called when it has ended or thought better of it
 */
void upgrade_report_ready(struct event_base *base, void (*go)(void), void (*lost)(void));

#endif
