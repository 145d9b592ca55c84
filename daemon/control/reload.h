/* SPDX-License-Identifier: MIT */
/*
 * SIGHUP: reading the configuration again and opening what is new in it, all or
 * nothing, while the running one goes on.  lifecycle.c decides when.
 */
#ifndef DAEMON_CONTROL_RELOAD_H
#define DAEMON_CONTROL_RELOAD_H

#include <stdbool.h>

struct message;
struct process;

/* The command line, which is read again each time.  Borrowed. */
void reload_remember(int argc, char **argv);

/* Called on the main thread. */
struct reload_handlers {
	bool (*is_wanted)(void); /* whether the process still runs, and may change */
	/* process->generation is another one; what it lacks is about to be closed. */
	void (*changed)(void);
	void (*ended)(void); /* done, or failed, which the log says */
};

/*
 * Reads and opens, in a thread of its own, since host names may have to be resolved:
 * the main thread must not wait for that.  Then the acceptor goes over to the new
 * listeners, the old ones are closed, and the process's settings are in force.
 *
 * @handlers: copied
 *
 * Returns 0, or -errno, which the log says too; @handlers are not called then.
 */
int reload_start(struct process *process, const struct reload_handlers *handlers);

/* Whether its thread is still at work, which uses the process. */
bool reload_pending(void);

/*
 * The end of a roster that is not the current one (see roster_new()): its generation is
 * freed, and what no newer one has is closed.
 */
void reload_roster_over(struct message *message);

/* At the end of the process, without threads: closes what is not the current generation's. */
void reload_clear(struct process *process);

#endif
