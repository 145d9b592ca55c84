/* SPDX-License-Identifier: MIT */
/*
 * One operation at a time: a reload, an upgrade, taking over from another process.  What is
 * asked for meanwhile waits, once, however often it was asked for.
 */
#ifndef DAEMON_CONTROL_OPERATION_H
#define DAEMON_CONTROL_OPERATION_H

#include <stdbool.h>

enum operation {
	OPERATION_NONE,
	OPERATION_RELOAD,
	OPERATION_UPGRADE,
	OPERATION_TAKE_OVER, /* from the start of a new process until it is the service */
	OPERATION_COUNT
};

struct operation_queue {
	enum operation current;
	bool waits[OPERATION_COUNT];
};

enum operation_answer {
	OPERATION_BEGINS,
	OPERATION_WAITS,    /* until the current one has ended */
	OPERATION_REPEATED, /* it waits already, or it is the upgrade that is under way */
};

/* @may_begin: the process is running, and not on its way to it or to its end */
enum operation_answer operation_ask(struct operation_queue *queue, enum operation operation,
				    bool may_begin);

/*
 * The current one has ended.  Returns the one that begins now: an upgrade before a reload,
 * which whichever process goes on will do.  OPERATION_NONE: none waits.
 */
enum operation operation_ended(struct operation_queue *queue);

#endif
