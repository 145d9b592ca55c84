/* SPDX-License-Identifier: MIT */
/*
 * Messages between threads: "call this function, over there".  Each thread that
 * runs an event base owns a mailbox; any thread may post to it.
 */
#ifndef DAEMON_BASE_MAILBOX_H
#define DAEMON_BASE_MAILBOX_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdbool.h>

/*
 * Lives in the poster's memory, so that posting cannot fail; it must stay there
 * until @deliver is called, and is free for another use from then on.
 */
struct message {
	struct message *next;
	void (*deliver)(struct message *message); /* on the mailbox's thread */
	bool posted;
};

struct mailbox {
	int fd; /* eventfd */
	struct event event;
	pthread_mutex_t lock; /* guards the two below and message.posted */
	struct message *first;
	struct message **last;
};

/* Returns 0 or -errno. */
int mailbox_open(struct mailbox *mailbox, struct event_base *base);

/* Messages that were not delivered are dropped. */
void mailbox_close(struct mailbox *mailbox);

/*
 * Has @message delivered by the mailbox's thread, in order of posting.  One that is
 * already on its way is not posted twice.
 */
void mailbox_post(struct mailbox *mailbox, struct message *message);

#endif
