/* SPDX-License-Identifier: MIT */
/*
 * Whoever wants to hear of servers that go down: those that have connections to them.
 */
#ifndef DAEMON_BACKEND_DOWN_WATCH_H
#define DAEMON_BACKEND_DOWN_WATCH_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "daemon/base/mailbox.h"

/* Lives in the memory of whoever wants to hear. */
struct down_watch {
	LIST_ENTRY(down_watch) link;
	struct mailbox *mailbox;
	struct message message; /* some server is down now; others may be as well */
	atomic_bool is_told;    /* the message is on its way */
};

/* @deliver: what the message does; it begins with down_watch_heard() */
void down_watch_begin(struct down_watch *watch, struct mailbox *mailbox,
		      void (*deliver)(struct message *message));

/* After the threads that may tell have ended. */
void down_watch_end(struct down_watch *watch);

/* From now on the next server that goes down is told of again. */
void down_watch_heard(struct down_watch *watch);

/* A server has gone down: tells all.  Any thread. */
void down_watch_tell(void);

#endif
