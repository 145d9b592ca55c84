/* SPDX-License-Identifier: MIT */
/*
 * How the process's descriptors are shared out between connections, pipes and everything
 * else.
 */
#ifndef DAEMON_CONTROL_DESCRIPTORS_H
#define DAEMON_CONTROL_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>

struct config;
struct problems;
struct process_config;

struct descriptor_plan {
	unsigned long limit;          /* RLIMIT_NOFILE, raised as far as allowed */
	unsigned int max_connections; /* two descriptors each; at least 1 */
	unsigned int pipes_a_worker;  /* two descriptors each */
};

/*
 * Sees to it that descriptors 0, 1 and 2 are open, so that no socket becomes
 * stderr.
 *
 * @inetd: 0 and 1 are the connection, and a closed one is for the listener to
 *         complain of
 */
void descriptors_fill_standard(bool inetd);

/* Remembers which descriptors are open: they were inherited.  Before anything is opened. */
void descriptors_note_inherited(void);

/*
 * Reports every listener that is a descriptor which was not open then: any number that
 * is open now could be another listener's, or a client's.
 */
void descriptors_check(const struct config *config, struct problems *problems);

/* The numbers that were remembered, in no order; -1 behind the last. */
int descriptors_inherited_at(size_t index);

/*
 * Raises the limit of open files to what is allowed.  To be called when the listeners
 * are open.
 *
 * False: too few are left to start the workers and to serve a single
 * connection; the log says so.  libevent would end the process without a word
 * of advice, and with its UNIX paths left behind.
 */
bool descriptors_suffice(const struct process_config *config);

/*
 * Shares out the limit of open files.  To be called
 * when everything but the workers is open.
 */
struct descriptor_plan descriptors_plan(const struct process_config *config);

/*
 * How many connections there may be at once under other settings, by the plan that
 * was made at the start.  At least 1.
 */
unsigned int descriptors_max_connections(const struct process_config *config);

#endif
