/* SPDX-License-Identifier: MIT */
/*
 * Starts the new process of an upgrade, with every socket that it may take over.
 */
#ifndef DAEMON_HANDOVER_UPGRADE_EXEC_H
#define DAEMON_HANDOVER_UPGRADE_EXEC_H

struct generation;
struct passed;

/* Remembers where the program is and how it was called.  @argv: borrowed */
void upgrade_exec_remember(char **argv);

/* What will be started; NULL if that could not be told. */
const char *upgrade_exec_program(void);

/*
 * Starts it as a child of whoever adopts orphans: the service manager is to notice
 * its end.
 *
 * @units:  what the new process has to know of units
 * @passed: see upgrade_plan.h; what it had is overwritten
 *
 * Returns the socket for notes, non-blocking, which the caller closes: the new process
 * is on its way to exec(), of which a note tells.  Or -errno.
 */
int upgrade_exec(struct generation *generation, const char *units, struct passed *passed);

#endif
