/* SPDX-License-Identifier: MIT */
/*
 * Tells of servers that go down or are replaced: see server_watch.h.
 */
#include "daemon/backend/server_watch.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list */
static LIST_HEAD(, server_watch) watches = LIST_HEAD_INITIALIZER(watches);

void server_watch_begin(struct server_watch *watch, struct mailbox *mailbox,
			void (*deliver)(struct message *message))
{
	watch->mailbox = mailbox;
	watch->message.deliver = deliver;
	atomic_init(&watch->is_told, false);
	pthread_mutex_lock(&lock);
	LIST_INSERT_HEAD(&watches, watch, link);
	pthread_mutex_unlock(&lock);
}

void server_watch_end(struct server_watch *watch)
{
	pthread_mutex_lock(&lock);
	LIST_REMOVE(watch, link);
	pthread_mutex_unlock(&lock);
}

void server_watch_heard(struct server_watch *watch)
{
	atomic_store(&watch->is_told, false);
}

void server_watch_tell(void)
{
	struct server_watch *watch;

	pthread_mutex_lock(&lock);
	LIST_FOREACH (watch, &watches, link)
		if (!atomic_exchange(&watch->is_told, true))
			mailbox_post(watch->mailbox, &watch->message);
	pthread_mutex_unlock(&lock);
}
