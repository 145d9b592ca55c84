/* SPDX-License-Identifier: MIT */
/*
 * Starts the new process of an upgrade, with every socket that it may take over.
 */
#ifndef DAEMON_HANDOVER_UPGRADE_EXEC_H
#define DAEMON_HANDOVER_UPGRADE_EXEC_H

#include <stddef.h>

struct generation;
struct listener;

/* Remembers where the program is and how it was called.  @argv: borrowed */
void upgrade_exec_remember(char **argv);

/* What will be started; NULL if that could not be told. */
const char *upgrade_exec_program(void);

/* Whose sockets were passed, in the order of UPGRADE_VARIABLE. */
struct passed {
	struct listener **listeners; /* owned array of borrowed ones; of one with two, twice */
	size_t n;
};

/*
 * Starts it as a child of whoever adopts orphans: the service manager is to notice
 * its end.
 *
 * @control: the socket for notes, which stays the caller's too
 * @passed:  filled; what it had is overwritten
 *
 * Returns 0 once it is on its way to exec(), of which a note tells, or -errno.
 */
int upgrade_exec(struct generation *generation, int control, struct passed *passed);

#endif
