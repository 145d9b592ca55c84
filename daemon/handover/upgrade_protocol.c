/* SPDX-License-Identifier: MIT */
/*
 * Notes between the two processes of an upgrade: see upgrade_protocol.h.
 */
#include "daemon/handover/upgrade_protocol.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

int note_read(int fd, struct note *ret)
{
	ssize_t n = read(fd, ret, sizeof(*ret));

	if (n == sizeof(*ret))
		return 0;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? -EAGAIN : -EPIPE;
}

void note_write(int fd, int kind, int value, int patience_ms)
{
	const struct note note = { kind, value };
	struct pollfd room = { .fd = fd, .events = POLLOUT };

	while (write(fd, &note, sizeof(note)) < 0 && errno == EAGAIN)
		if (poll(&room, 1, patience_ms) == 0)
			return;
}

bool note_writer_is_gone(int fd)
{
	struct pollfd hangup = { .fd = fd };

	return poll(&hangup, 1, 0) == 1;
}
