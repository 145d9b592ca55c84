/* SPDX-License-Identifier: MIT */
/*
 * What the two processes of an upgrade write to each other, over a socket that
 * keeps messages apart: see upgrade.h for the order.
 */
#ifndef DAEMON_HANDOVER_UPGRADE_PROTOCOL_H
#define DAEMON_HANDOVER_UPGRADE_PROTOCOL_H

#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

/* In the environment of the new process: "CONTROL FD:NAME FD:NAME ...", with names of
 * socket_name.h. */
#define UPGRADE_VARIABLE "SOCKFRONT_UPGRADE"

enum note_kind {
	NOTE_STARTED = 1, /* with the process id, before exec() */
	NOTE_EXEC_FAILED, /* with the errno */
	NOTE_TAKEN,       /* with the number of a socket in the variable, from 0 */
	NOTE_READY,
	NOTE_GO,
	NOTE_ACCEPTING,
	NOTE_STOP,   /* what the manager has asked the old process for, before it */
	NOTE_RELOAD, /* could know whom to ask */
	NOTE_YOURS,
	NOTE_CALLED_OFF
};

struct note {
	int kind;
	int value;
};

/*
 * Takes the next note from a non-blocking socket.  Returns 0, -EAGAIN if there is
 * none yet, or -EPIPE: the other process has ended.
 */
static inline int note_read(int fd, struct note *ret)
{
	ssize_t n = read(fd, ret, sizeof(*ret));

	if (n == sizeof(*ret))
		return 0;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? -EAGAIN : -EPIPE;
}

#endif
