/* SPDX-License-Identifier: MIT */
/*
 * What the two processes of an upgrade write to each other, over a socket that
 * keeps messages apart: see upgrade.h for the order.
 */
#ifndef DAEMON_UPGRADE_NOTE_H
#define DAEMON_UPGRADE_NOTE_H

/* In the environment of the new process: "CONTROL FD:NAME FD:NAME ...", with names of store.h. */
#define UPGRADE_VARIABLE "SOCKFRONT_UPGRADE"

enum note_kind {
	NOTE_STARTED = 1, /* with the process id, before exec() */
	NOTE_EXEC_FAILED, /* with the errno */
	NOTE_TAKEN,       /* with the number of a socket in the variable, from 0 */
	NOTE_READY,
	NOTE_GO,
	NOTE_ACCEPTING,
	NOTE_YOURS
};

struct note {
	int kind;
	int value;
};

#endif
