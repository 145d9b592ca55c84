/* SPDX-License-Identifier: MIT */
/*
 * Whoever wants to hear of servers that go down or are replaced: those that have connections to
 * them, or wait for one.
 */
#ifndef DAEMON_BACKEND_SERVER_WATCH_H
#define DAEMON_BACKEND_SERVER_WATCH_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "daemon/base/mailbox.h"

/* Lives in the memory of whoever wants to hear. */
struct server_watch {
	LIST_ENTRY(server_watch) link;
	struct mailbox *mailbox;
	struct message message; /* some servers are down now, or have been replaced */
	atomic_bool is_told;    /* the message is on its way */
};

/* @deliver: what the message does; it begins with server_watch_heard() */
void server_watch_begin(struct server_watch *watch, struct mailbox *mailbox,
			void (*deliver)(struct message *message));

/* After the threads that may tell have ended. */
void server_watch_end(struct server_watch *watch);

/* From now on the next change is told of again. */
void server_watch_heard(struct server_watch *watch);

/* A server has gone down, or a backend was replaced: tells all.  Any thread. */
void server_watch_tell(void);

#endif
