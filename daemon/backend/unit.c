/* SPDX-License-Identifier: MIT */
/*
 * What the threads share of a systemd unit: see unit.h.
 */
#include "daemon/backend/unit.h"

#include <pthread.h>
#include <search.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/loop.h"

struct unit {
	char *name;       /* owned; first: units are compared by it */
	atomic_uint refs; /* 0: about to be freed, under the lock of the units */
	struct loop *home;
	void *keeper; /* the main thread's */
	_Atomic enum unit_state state;
	atomic_uint n_clients;
	_Atomic uint64_t quiet_since_ms;
	atomic_uint failures;
	_Atomic uint64_t retry_ms; /* while it has failed */
	atomic_bool is_wanted;     /* the message is on its way, with a reference */
	struct message wanted;
	pthread_mutex_t lock; /* guards what follows */
	char reason[UNIT_REASON_SIZE];
	TAILQ_HEAD(, unit_queue) queues;
};

/* All of them: a reload finds those that there are. */
static struct {
	pthread_mutex_t lock;
	void *by_name; /* tsearch's */
} units = { .lock = PTHREAD_MUTEX_INITIALIZER };

static unit_wanted *tell;

/* ---- its life ---- */

static void wanted_delivered(struct message *message)
{
	struct unit *unit = message_owner(message, struct unit, wanted);

	atomic_store(&unit->is_wanted, false);
	if (tell)
		tell(unit);
	unit_unref(unit);
}

static int compare(const void *a, const void *b)
{
	const char *const *one = a, *const *other = b;

	return strcmp(*one, *other);
}

static struct unit *unit_new(const char *name, struct loop *home)
{
	struct unit *unit = calloc(1, sizeof(*unit));

	if (!unit)
		return NULL;
	unit->name = strdup(name);
	if (!unit->name || !tsearch(unit, &units.by_name, compare)) {
		free(unit->name);
		free(unit);
		return NULL;
	}
	atomic_init(&unit->refs, 1);
	atomic_init(&unit->quiet_since_ms, clock_ms());
	unit->home = home;
	unit->wanted.deliver = wanted_delivered;
	pthread_mutex_init(&unit->lock, NULL);
	TAILQ_INIT(&unit->queues);
	return unit;
}

/* With the lock held. */
static struct unit *find(const char *name)
{
	void *node = tfind(&name, &units.by_name, compare);

	return node ? unit_ref(*(struct unit **)node) : NULL;
}

struct unit *unit_find(const char *name)
{
	struct unit *unit;

	pthread_mutex_lock(&units.lock);
	unit = find(name);
	pthread_mutex_unlock(&units.lock);
	return unit;
}

struct unit *unit_get(const char *name, struct loop *home)
{
	struct unit *unit;

	pthread_mutex_lock(&units.lock);
	unit = find(name);
	if (!unit)
		unit = unit_new(name, home);
	pthread_mutex_unlock(&units.lock);
	return unit;
}

struct unit *unit_ref(struct unit *unit)
{
	atomic_fetch_add(&unit->refs, 1);
	return unit;
}

static void unlink_and_free(struct unit *unit)
{
	tdelete(unit, &units.by_name, compare);
	pthread_mutex_destroy(&unit->lock);
	free(unit->name);
	free(unit);
}

void unit_unref(struct unit *unit)
{
	if (!unit)
		return;
	/* Under the lock: nobody finds one that is about to be freed. */
	pthread_mutex_lock(&units.lock);
	if (atomic_fetch_sub(&unit->refs, 1) == 1)
		unlink_and_free(unit);
	pthread_mutex_unlock(&units.lock);
}

const char *unit_name(const struct unit *unit)
{
	return unit->name;
}

/* ---- its clients ---- */

void unit_client_comes(struct unit *unit)
{
	atomic_fetch_add(&unit->n_clients, 1);
}

void unit_client_goes(struct unit *unit)
{
	/* First: whoever finds nobody there finds out since when. */
	atomic_store(&unit->quiet_since_ms, clock_ms());
	atomic_fetch_sub(&unit->n_clients, 1);
}

bool unit_is_up(struct unit *unit)
{
	return atomic_load(&unit->state) == UNIT_UP;
}

bool unit_is_up_for_client(struct unit *unit)
{
	if (unit_is_up(unit))
		return true;
	if (!atomic_exchange(&unit->is_wanted, true)) {
		unit_ref(unit);
		mailbox_post(&unit->home->mailbox, &unit->wanted);
	}
	return false;
}

unsigned int unit_failures(struct unit *unit)
{
	return atomic_load(&unit->failures);
}

bool unit_is_hopeless_until(struct unit *unit, uint64_t ms)
{
	return atomic_load(&unit->state) == UNIT_FAILED && atomic_load(&unit->retry_ms) >= ms;
}

void unit_format_failure(struct unit *unit, char *buf, size_t size)
{
	pthread_mutex_lock(&unit->lock);
	snprintf(buf, size, "unit %s failed: %s", unit->name, unit->reason);
	pthread_mutex_unlock(&unit->lock);
}

void unit_add_queue(struct unit *unit, struct unit_queue *queue, struct waitlist *waitlist)
{
	queue->waitlist = waitlist;
	pthread_mutex_lock(&unit->lock);
	TAILQ_INSERT_TAIL(&unit->queues, queue, link);
	pthread_mutex_unlock(&unit->lock);
}

void unit_remove_queue(struct unit *unit, struct unit_queue *queue)
{
	pthread_mutex_lock(&unit->lock);
	TAILQ_REMOVE(&unit->queues, queue, link);
	pthread_mutex_unlock(&unit->lock);
}

/* ---- the main thread ---- */

void unit_on_wanted(unit_wanted *handler)
{
	tell = handler;
}

void unit_set_keeper(struct unit *unit, void *keeper)
{
	unit->keeper = keeper;
}

void *unit_keeper(const struct unit *unit)
{
	return unit->keeper;
}

enum unit_state unit_state(const struct unit *unit)
{
	return atomic_load(&unit->state);
}

static void wake(struct unit *unit)
{
	struct unit_queue *queue;

	TAILQ_FOREACH (queue, &unit->queues, link)
		waitlist_wake(queue->waitlist);
}

void unit_set_state(struct unit *unit, enum unit_state state)
{
	atomic_store(&unit->state, state);
	if (state != UNIT_UP)
		return;
	pthread_mutex_lock(&unit->lock);
	wake(unit);
	pthread_mutex_unlock(&unit->lock);
}

void unit_set_failed(struct unit *unit, const char *reason, uint64_t retry_ms)
{
	pthread_mutex_lock(&unit->lock);
	snprintf(unit->reason, sizeof(unit->reason), "%s", reason);
	atomic_store(&unit->retry_ms, retry_ms);
	atomic_store(&unit->state, UNIT_FAILED);
	atomic_fetch_add(&unit->failures, 1);
	wake(unit);
	pthread_mutex_unlock(&unit->lock);
}

unsigned int unit_n_clients(const struct unit *unit)
{
	return atomic_load(&unit->n_clients);
}

uint64_t unit_quiet_since_ms(const struct unit *unit)
{
	return atomic_load(&unit->quiet_since_ms);
}

void unit_set_quiet_since(struct unit *unit, uint64_t ms)
{
	atomic_store(&unit->quiet_since_ms, ms);
}

bool unit_is_awaited(struct unit *unit)
{
	struct unit_queue *queue;
	bool is_awaited = false;

	pthread_mutex_lock(&unit->lock);
	TAILQ_FOREACH (queue, &unit->queues, link)
		is_awaited |= !waitlist_is_empty(queue->waitlist);
	pthread_mutex_unlock(&unit->lock);
	return is_awaited;
}
