/* SPDX-License-Identifier: MIT */
/*
 * SIGHUP: reading the configuration again and opening what is new in it, all or
 * nothing, while the running one goes on.  lifecycle.c decides when, and puts the
 * result to work.
 */
#ifndef DAEMON_CONTROL_RELOAD_H
#define DAEMON_CONTROL_RELOAD_H

#include <stdbool.h>

struct generation;
struct process;

/* The command line, which is read again each time.  Borrowed. */
void reload_remember(int argc, char **argv);

/*
 * Reads and opens, in a thread of its own, since host names may have to be
 * resolved: the main thread must not wait for that.
 *
 * @done: called on the main thread; @next is the new generation, a reference, or
 *        NULL if the reload failed, which the log says.  Either reload_commit() or
 *        reload_discard() has to follow for a generation.
 *
 * Returns 0 or -errno.
 */
int reload_start(struct process *process, void (*done)(struct generation *next));

/* Whether its thread is still at work, which uses the service. */
bool reload_pending(void);

/*
 * The new generation is in use: says what has changed.  Process settings are in force from
 * now on.
 *
 * @is_over: nobody accepts from what the old one alone has, which is closed; otherwise
 *           reload_retire() has to follow
 */
void reload_commit(struct process *process, struct generation *next, bool is_over);

/* Closes what @older alone has, and frees it: nobody accepts from that any more. */
void reload_retire(struct process *process, struct generation *older);

/* Nothing has happened: closes what was opened. */
void reload_discard(struct process *process, struct generation *next);

#endif
