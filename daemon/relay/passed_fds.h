/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that a UNIX peer passes with its bytes.  Nobody wants them, and they have to
 * be closed; but the last close of what others made may wait, for a lingering connection or a
 * file system that does not answer, and a worker must not.
 *
 * Since Linux 6.16 the kernel refuses them for us (SO_PASSRIGHTS, which the library turns
 * off for clients), but for what was passed before it was told.  Whatever comes is received
 * and closed in a thread of its own, which exists only while there is some.
 */
#ifndef DAEMON_RELAY_PASSED_FDS_H
#define DAEMON_RELAY_PASSED_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Whether the kernel is one that does not refuse them.  Any thread. */
bool passed_fds_may_come(void);

/* Has the kernel refuse what the other side of a UNIX socket of our own would pass, if it can. */
void passed_fds_refuse(int fd);

/* As recv() from a UNIX socket, but what was passed is not closed here. */
ssize_t passed_fds_recv(int fd, void *data, size_t size);

/* Takes all that is left in a UNIX socket that is about to be closed: closing it closes that, too.
 */
void passed_fds_clear(int fd);

#endif
