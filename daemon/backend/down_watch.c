/* SPDX-License-Identifier: MIT */
/*
 * Tells of servers that go down: see down_watch.h.
 */
#include "daemon/backend/down_watch.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list */
static LIST_HEAD(, down_watch) watches = LIST_HEAD_INITIALIZER(watches);

void down_watch_begin(struct down_watch *watch, struct mailbox *mailbox,
		      void (*deliver)(struct message *message))
{
	watch->mailbox = mailbox;
	watch->message.deliver = deliver;
	atomic_init(&watch->is_told, false);
	pthread_mutex_lock(&lock);
	LIST_INSERT_HEAD(&watches, watch, link);
	pthread_mutex_unlock(&lock);
}

void down_watch_end(struct down_watch *watch)
{
	pthread_mutex_lock(&lock);
	LIST_REMOVE(watch, link);
	pthread_mutex_unlock(&lock);
}

void down_watch_heard(struct down_watch *watch)
{
	atomic_store(&watch->is_told, false);
}

void down_watch_tell(void)
{
	struct down_watch *watch;

	pthread_mutex_lock(&lock);
	LIST_FOREACH (watch, &watches, link)
		if (!atomic_exchange(&watch->is_told, true))
			mailbox_post(watch->mailbox, &watch->message);
	pthread_mutex_unlock(&lock);
}
