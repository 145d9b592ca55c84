/* SPDX-License-Identifier: MIT */
/*
 * Notes between the two processes of an upgrade: see upgrade_protocol.h.
 */
#include "daemon/handover/upgrade_protocol.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int note_read(int fd, struct note *ret)
{
	ssize_t n = read(fd, ret, sizeof(*ret));

	if (n >= (ssize_t)NOTE_SIZE) {
		size_t length = (size_t)n - NOTE_SIZE;

		ret->text[length < NOTE_TEXT_SIZE ? length : NOTE_TEXT_SIZE - 1] = '\0';
		return 0;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? -EAGAIN : -EPIPE;
}

static void write_note(int fd, const struct note *note, size_t size, int patience_ms)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };

	while (write(fd, note, size) < 0 && errno == EAGAIN)
		if (poll(&room, 1, patience_ms) == 0)
			return;
}

void note_write(int fd, int kind, int value, int patience_ms)
{
	const struct note note = { .kind = kind, .value = value };

	write_note(fd, &note, NOTE_SIZE, patience_ms);
}

void note_write_text(int fd, int kind, const char *text, int patience_ms)
{
	struct note note = { .kind = kind };

	snprintf(note.text, sizeof(note.text), "%s", text);
	write_note(fd, &note, NOTE_SIZE + strlen(note.text), patience_ms);
}

bool note_writer_is_gone(int fd)
{
	struct pollfd hangup = { .fd = fd };

	return poll(&hangup, 1, 0) == 1;
}
