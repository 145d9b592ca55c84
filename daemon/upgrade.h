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
 *	 |  "yours"  ------------------------> |  speaks to systemd from now on
 *	 |  accepts no more, drains            |
 *	 |  ends  ---------------------------> |  may end, too
 *
 * Until "yours" the new one may end at any moment, and the old one goes on as if
 * nothing had been tried.
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
 * @done: called on the main thread once it accepts, with its process id, or with
 *        0 when it has failed, which the log says
 *
 * Returns 0, or -errno, which the log says too.
 */
int upgrade_start(struct service *service, void (*done)(pid_t pid));

/* Whether the new process is still there. */
bool upgrade_is_alive(void);

/*
 * It is on its own from now on.  The listeners that it has taken over are marked as
 * shared, the others as this process's own.
 */
void upgrade_finish(void);

/* Asks the new process to end, which has no say in anything yet. */
void upgrade_abort(void);

/* ---- the new process ---- */

/* What happens to it, on the main thread. */
struct succession {
	void (*go)(void);    /* the old process lets it accept: upgrade_report_accepting() */
	void (*yours)(void); /* it is the service from now on */
	void (*lost)(void);  /* instead of go: the old one has ended or thought better of it */
	void (*alone)(void); /* the old one has ended, after yours */
};

/* Whether this is one, and not the service yet. */
bool upgrade_is_successor(void);

/* Whether the process that it took over from has connections left. */
bool upgrade_has_predecessor(void);

/* Tells the old process that all is open and set up. */
void upgrade_report_ready(struct event_base *base, const struct succession *succession);

void upgrade_report_accepting(void);

#endif
