/* SPDX-License-Identifier: MIT */
/*
 * What the new process of an upgrade gets: its environment and its descriptors.  Made
 * before fork(), behind which only little may be called.
 */
#ifndef DAEMON_HANDOVER_UPGRADE_PLAN_H
#define DAEMON_HANDOVER_UPGRADE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct generation;
struct listener;

/* Whose sockets are passed, in the order of the list. */
struct passed {
	struct listener **listeners; /* owned array of borrowed ones; of one with two, twice */
	size_t n, size;
};

/* Numbers of descriptors. */
struct numbers {
	int *values; /* owned array */
	size_t n, size;
};

struct upgrade_plan {
	struct passed *passed; /* borrowed */
	char **environment;    /* owned array of owned strings */
	size_t n_variables;
	struct numbers passed_fds;       /* not to be closed by exec() */
	struct numbers open_fds;         /* ascending: those, and what else stays open */
	int list;                        /* owned: see passed_sockets.h; -1: there is none */
	char *listen_pid, *watchdog_pid; /* within the environment: the new process's number */
	bool out_of_memory;
};

/*
 * Makes a plan.  Inherited descriptors keep their numbers and go by LISTEN_FDS as they
 * came; sockets of our own go by the list.
 *
 * @units:   what it has to know of units
 * @control: the new process's end of the socket for notes; borrowed
 * @passed:  filled; what it had is overwritten.  Borrowed
 *
 * Returns 0 for upgrade_plan_clear(), or -errno.
 */
int upgrade_plan_make(struct upgrade_plan *plan, struct generation *generation, const char *units,
		      int control, struct passed *passed);

void upgrade_plan_clear(struct upgrade_plan *plan);

/* In the new process, before exec(): fills in the variables that name it.  Async-signal-safe. */
void upgrade_plan_fill_pid(const struct upgrade_plan *plan, pid_t pid);

#endif
