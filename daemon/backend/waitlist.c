/* SPDX-License-Identifier: MIT */
/*
 * A queue of clients: see waitlist.h.
 */
#include "daemon/backend/waitlist.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct waitlist {
	atomic_uint refs;
	atomic_uint n;
	pthread_mutex_t lock;                /* guards what follows */
	TAILQ_HEAD(waiters, waiter) waiters; /* in the order of arrival */
	struct waiter
		*told; /* whose message is on its way; one at a time, so that none overtakes */
};

struct waitlist *waitlist_new(void)
{
	struct waitlist *list = calloc(1, sizeof(*list));

	if (!list)
		return NULL;
	atomic_init(&list->refs, 1);
	pthread_mutex_init(&list->lock, NULL);
	TAILQ_INIT(&list->waiters);
	return list;
}

struct waitlist *waitlist_ref(struct waitlist *list)
{
	atomic_fetch_add(&list->refs, 1);
	return list;
}

void waitlist_unref(struct waitlist *list)
{
	if (!list || atomic_fetch_sub(&list->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&list->lock);
	free(list);
}

bool waitlist_is_empty(struct waitlist *list)
{
	return atomic_load(&list->n) == 0;
}

/* The first one for whom there is room. */
static void tell_next(struct waitlist *list)
{
	struct waiter *waiter;

	if (list->told)
		return;
	TAILQ_FOREACH (waiter, &list->waiters, link) {
		if (!waiter->has_room(waiter->data))
			continue;
		list->told = waiter;
		mailbox_post(waiter->mailbox, &waiter->message);
		return;
	}
}

static void insert(struct waitlist *list, struct waiter *waiter)
{
	struct waiter *before = TAILQ_LAST(&list->waiters, waiters);

	while (before && before->arrived > waiter->arrived)
		before = TAILQ_PREV(before, waiters, link);
	if (before)
		TAILQ_INSERT_AFTER(&list->waiters, before, waiter, link);
	else
		TAILQ_INSERT_HEAD(&list->waiters, waiter, link);
}

void waitlist_join(struct waitlist *list, struct waiter *waiter)
{
	pthread_mutex_lock(&list->lock);
	insert(list, waiter);
	/* First: whoever makes room from now on sees that somebody waits for it. */
	atomic_fetch_add(&list->n, 1);
	tell_next(list);
	pthread_mutex_unlock(&list->lock);
}

void waitlist_stay(struct waitlist *list)
{
	pthread_mutex_lock(&list->lock);
	list->told = NULL;
	tell_next(list);
	pthread_mutex_unlock(&list->lock);
}

bool waitlist_leave(struct waitlist *list, struct waiter *waiter)
{
	bool was_told;

	pthread_mutex_lock(&list->lock);
	was_told = list->told == waiter;
	if (was_told)
		list->told = NULL;
	TAILQ_REMOVE(&list->waiters, waiter, link);
	atomic_fetch_sub(&list->n, 1);
	tell_next(list);
	pthread_mutex_unlock(&list->lock);
	return !was_told;
}

void waitlist_wake(struct waitlist *list)
{
	if (waitlist_is_empty(list))
		return;
	pthread_mutex_lock(&list->lock);
	tell_next(list);
	pthread_mutex_unlock(&list->lock);
}
