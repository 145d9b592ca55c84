/* SPDX-License-Identifier: MIT */
/*
 * What the two processes of an upgrade write to each other, over a socket that
 * keeps messages apart: see upgrade.h for the order.
 */
#ifndef DAEMON_HANDOVER_UPGRADE_PROTOCOL_H
#define DAEMON_HANDOVER_UPGRADE_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>

/* In the environment of the new process: "CONTROL LIST", see passed_sockets.h. */
#define UPGRADE_VARIABLE "SOCKFRONT_UPGRADE"

enum note_kind {
	NOTE_STARTED = 1, /* with the process id, before exec() */
	NOTE_EXEC_FAILED, /* with the errno */
	NOTE_TAKEN,       /* with the number of a passed socket, from 0 */
	NOTE_READY,
	NOTE_GO,
	NOTE_ACCEPTING,
	NOTE_STOP,   /* what the manager has asked the old process for, before it */
	NOTE_RELOAD, /* could know whom to ask */
	NOTE_YOURS,
	NOTE_CALLED_OFF,
	NOTE_REOPEN, /* the access log's file; to either of them */
	NOTE_UNIT    /* with the name of one that the old process has started since the plan */
};

#define NOTE_TEXT_SIZE 256

/* Only as much of the text is written as there is. */
struct note {
	int kind;
	int value;
	char text[NOTE_TEXT_SIZE];
};

/* Of one without a text. */
#define NOTE_SIZE offsetof(struct note, text)

/*
 * Takes the next note from a non-blocking socket.  Returns 0, -EAGAIN if there is
 * none yet, or -EPIPE: the other process has ended.
 */
int note_read(int fd, struct note *ret);

/*
 * Writes a note.  If the other process has ended, reading says so.
 *
 * @patience_ms: how long the other one may take to make room
 */
void note_write(int fd, int kind, int value, int patience_ms);

/* The same with a text, of which a version that expects none hears nothing. */
void note_write_text(int fd, int kind, const char *text, int patience_ms);

/* Whether the other process has ended; it may have left notes. */
bool note_writer_is_gone(int fd);

#endif
