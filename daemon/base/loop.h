/* SPDX-License-Identifier: MIT */
/*
 * What a thread of the daemon runs: libevent's loop, and the mailbox by which others
 * reach it.
 */
#ifndef DAEMON_BASE_LOOP_H
#define DAEMON_BASE_LOOP_H

#include <event2/event.h>

#include "daemon/base/mailbox.h"

struct loop {
	struct event_base *base;
	struct mailbox mailbox; /* any thread may post to it */
	int poll_fd;            /* readable when a descriptor of the base is; -1: unknown */
};

/*
 * Opens a zeroed one.
 *
 * @n_priorities: of events
 *
 * Returns 0 or -errno.
 */
int loop_open(struct loop *loop, int n_priorities);

/* Nothing of its events is freed.  One that could not be opened is allowed. */
void loop_close(struct loop *loop);

/* Of events on the main thread's: most are in the middle, and the last is for what can wait. */
#define LOOP_PRIORITIES 3

/* The object that has @message as its member @member. */
#define message_owner(message, type, member) ((type *)((char *)(message)-offsetof(type, member)))

#endif
