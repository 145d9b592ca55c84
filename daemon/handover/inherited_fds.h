/* SPDX-License-Identifier: MIT */
/*
 * Which descriptors the process was started with: a listener that goes by a number may
 * only take one of those, and an upgrade passes them on.
 */
#ifndef DAEMON_HANDOVER_INHERITED_FDS_H
#define DAEMON_HANDOVER_INHERITED_FDS_H

#include <stdbool.h>
#include <stddef.h>

struct config;
struct problems;

/* Remembers which descriptors are open.  Before anything is opened. */
void inherited_fds_note(void);

/*
 * Sees to it that descriptors 0, 1 and 2 are open, so that no socket becomes stderr: a
 * client would read the log.
 *
 * @inetd: 0 and 1 are the connection, and a closed one is for the listener to
 *         complain about
 *
 * Returns 0, or -errno: one of them is closed, and /dev/null cannot be opened.
 */
int inherited_fds_fill_standard(bool inetd);

/*
 * Reports every listener that is a descriptor which was not open then: any number that
 * is open now could be another listener's, or a client's.
 */
void inherited_fds_check(const struct config *config, struct problems *problems);

/* The numbers that were remembered, in ascending order; -1 after the last. */
int inherited_fds_at(size_t index);

#endif
