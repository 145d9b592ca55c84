/* SPDX-License-Identifier: MIT */
/*
 * exit-idle-time: the end of a process that nobody has been connected to for that
 * long.  Whoever holds the inherited sockets starts another when the next client
 * comes.
 */
#ifndef DAEMON_CONTROL_IDLE_EXIT_H
#define DAEMON_CONTROL_IDLE_EXIT_H

struct process;

/*
 * Begins to watch, or does so with another time: process->settings.exit_idle_ms.
 *
 * @quiet: called once nobody has been there for that long and nobody waits; by
 *         then nothing is accepted any more
 */
void idle_exit_start(struct process *process, void (*quiet)(void));

void idle_exit_stop(void);

#endif
