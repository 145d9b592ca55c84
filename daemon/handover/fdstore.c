/* SPDX-License-Identifier: MIT */
/*
 * systemd's store of descriptors: see fdstore.h.
 */
#include "daemon/handover/fdstore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/base/notify.h"
#include "daemon/handover/socket_name.h"
#include "daemon/proxy/generation.h"

/* What systemd was sent, or has given back and keeps. */
struct kept {
	char name[SOCKET_NAME_SIZE]; /* first: names are compared with it */
	size_t n_sockets;            /* 0: forgotten */
	bool is_wanted;
};

static struct {
	struct kept *kept; /* owned array */
	size_t n, size;
	size_t n_sorted;  /* so many at its beginning are in the order of their names */
	size_t n_sockets; /* of all of them */
} store;

/* systemd says so by itself from version 254 on; before, the unit does. */
static size_t most_sockets(void)
{
	const char *most = getenv("FDSTORE");
	long n = most ? strtol(most, NULL, 10) : 0;

	return n > 0 ? (size_t)n : 0;
}

bool fdstore_is_on(void)
{
	return notify_wanted() && most_sockets() > 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* And makes one row of those that have one name. */
static void sort(void)
{
	size_t n = 0;

	if (store.n == store.n_sorted)
		return;
	qsort(store.kept, store.n, sizeof(*store.kept), compare);
	for (size_t i = 0; i < store.n; i++)
		if (n > 0 && strcmp(store.kept[n - 1].name, store.kept[i].name) == 0)
			store.kept[n - 1].n_sockets += store.kept[i].n_sockets;
		else
			store.kept[n++] = store.kept[i];
	store.n = store.n_sorted = n;
}

/* Looks among those that are sorted.  NULL: it is not kept. */
static struct kept *find(const char *name)
{
	struct kept *kept = store.n_sorted == 0 ? NULL
						: bsearch(name, store.kept, store.n_sorted,
							  sizeof(*store.kept), compare);

	return kept && kept->n_sockets > 0 ? kept : NULL;
}

/* Returns the new one, or NULL when out of memory. */
static struct kept *add(const char *name, size_t n_sockets)
{
	struct kept *kept;

	if (store.n == store.size) {
		size_t size = store.size * 2 + 16;

		kept = reallocarray(store.kept, size, sizeof(*kept));
		if (!kept)
			return NULL;
		store.kept = kept;
		store.size = size;
	}
	kept = &store.kept[store.n++];
	*kept = (struct kept){ .n_sockets = n_sockets, .is_wanted = true };
	snprintf(kept->name, sizeof(kept->name), "%s", name);
	store.n_sockets += n_sockets;
	return kept;
}

static void forget(struct kept *kept)
{
	store.n_sockets -= kept->n_sockets;
	kept->n_sockets = 0;
	notify_unstore(kept->name);
}

void fdstore_note_kept(const char *name)
{
	if (fdstore_is_on())
		(void)add(name, 1);
}

bool fdstore_has(const char *name)
{
	sort();
	return find(name);
}

void fdstore_forget_name(const char *name)
{
	if (fdstore_has(name))
		forget(find(name));
}

void fdstore_forget(const struct listener *listener)
{
	char name[SOCKET_NAME_SIZE];

	if (!listener_is_own(listener) || !listener->open)
		return;
	socket_name_format(listener, name);
	fdstore_forget_name(name);
}

/* ---- an update ---- */

/* Without a store, the path is ours alone from the moment that nobody else has it. */
static bool set_unshared(struct listener *listener, void *data)
{
	(void)data;
	listener->is_shared = false;
	return true;
}

/* Whether systemd keeps it already, as it is. */
static bool mark_if_kept(struct listener *listener, void *data)
{
	char name[SOCKET_NAME_SIZE];
	struct kept *kept = NULL;

	(void)data;
	if (listener_is_own(listener)) {
		socket_name_format(listener, name);
		kept = find(name);
	}
	if (kept)
		kept->is_wanted = kept->n_sockets == listener->n_sockets;
	listener->is_shared = kept && kept->is_wanted;
	return listener->is_shared;
}

/* Drops what nobody wants, and the rows of what was forgotten. */
static void forget_unwanted(void)
{
	size_t n = 0;

	for (size_t i = 0; i < store.n; i++) {
		struct kept *kept = &store.kept[i];

		if (kept->n_sockets > 0 && !kept->is_wanted)
			forget(kept);
		if (kept->n_sockets > 0)
			store.kept[n++] = *kept;
	}
	store.n = store.n_sorted = n;
}

/* All of its sockets or none: with one alone, nobody could go on. */
static bool send_sockets(const struct listener *listener, const char *name)
{
	for (size_t i = 0; i < listener->n_sockets; i++) {
		if (notify_store(name, sfront_listener_fd(listener->open, i)))
			continue;
		log_line(LOG_WARNING, "%s: systemd cannot keep this socket: %s",
			 listener->sockets[i].text, strerror(errno));
		notify_unstore(name);
		return false;
	}
	return true;
}

/* What there was no room for. */
struct left_out {
	const struct listener *first;
	size_t n_listeners, n_sockets;
};

/* Whether it was sent now. */
static bool keep_new(struct listener *listener, void *data)
{
	struct left_out *left_out = data;
	char name[SOCKET_NAME_SIZE];
	struct kept *kept;

	if (listener->is_shared || !listener_is_own(listener))
		return false;
	if (store.n_sockets + listener->n_sockets > most_sockets()) {
		if (left_out->n_listeners++ == 0)
			left_out->first = listener;
		left_out->n_sockets += listener->n_sockets;
		return false;
	}
	socket_name_format(listener, name);
	kept = add(name, listener->n_sockets);
	if (kept && !send_sockets(listener, name)) {
		store.n_sockets -= kept->n_sockets;
		store.n--;
		kept = NULL;
	}
	listener->is_shared = kept;
	return kept;
}

void fdstore_update(struct generation *generation)
{
	struct left_out left_out = { 0 };

	if (!fdstore_is_on()) {
		(void)generation_each(generation, set_unshared, NULL);
		return;
	}
	sort();
	for (size_t i = 0; i < store.n; i++)
		store.kept[i].is_wanted = false;
	(void)generation_each(generation, mark_if_kept, NULL);
	forget_unwanted();
	(void)generation_each(generation, keep_new, &left_out);
	sort();
	if (left_out.n_listeners > 0)
		log_line(LOG_WARNING,
			 "systemd keeps at most %zu sockets for this unit: %s%s will be opened "
			 "anew at a restart; FileDescriptorStoreMax=%zu keeps all",
			 most_sockets(), left_out.first->sockets[0].text,
			 left_out.n_listeners > 1 ? " and others" : "",
			 store.n_sockets + left_out.n_sockets);
}

/* ---- the end ---- */

static void note_unsent(const char *name, void *data)
{
	struct kept *kept = find(name);

	(void)data;
	if (kept)
		kept->is_wanted = false;
}

static bool unshare_if_unsent(struct listener *listener, void *data)
{
	char name[SOCKET_NAME_SIZE];
	struct kept *kept;

	(void)data;
	if (!listener->is_shared || listener->is_taken_over || !listener->open ||
	    !listener_is_own(listener))
		return false;
	socket_name_format(listener, name);
	kept = find(name);
	if (kept && !kept->is_wanted)
		listener->is_shared = false;
	return !listener->is_shared;
}

void fdstore_settle(struct generation *generation)
{
	for (size_t i = 0; i < store.n; i++)
		store.kept[i].is_wanted = true;
	sort();
	if (notify_drop_stores(note_unsent, NULL) > 0)
		(void)generation_each(generation, unshare_if_unsent, NULL);
}
