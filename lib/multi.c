/* SPDX-License-Identifier: MIT */
/*
 * Several addresses in one call, all or none: as one listener, or with a
 * listener of its own for each.  Above listener.c, which opens one address.
 */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

int sfront_open_several(struct sfront_listener *listener, const struct sfront_address *addresses,
			size_t n, const struct sfront_options *options, struct sfront_error *err)
{
	int r = 0;

	/* Whatever was opened before the one that fails is undone by the caller. */
	for (size_t i = 0; i < n && r == 0; i++)
		r = sfront_open_one(listener, &addresses[i], options, err);
	return r;
}

/* Fills the places of @fresh whose neighbour in @kept is NULL. */
static int open_missing(const struct sfront_address *addresses, size_t n,
			const struct sfront_options *options, struct sfront_listener *const *kept,
			struct sfront_listener **fresh, struct sfront_error *err)
{
	int r;

	for (size_t i = 0; i < n; i++) {
		if (kept[i])
			continue;
		fresh[i] = calloc(1, sizeof(*fresh[i]));
		if (!fresh[i])
			return sfront_fail(err, -ENOMEM, "out of memory");
		r = sfront_open_one(fresh[i], &addresses[i], options, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void undo(struct sfront_listener *listener)
{
	if (!listener)
		return;
	sfront_listener_undo(listener, 0);
	sfront_listener_free(listener);
}

int sfront_listener_open_each(const struct sfront_address *addresses, size_t n,
			      const struct sfront_options *options,
			      struct sfront_listener **listeners, struct sfront_error *err)
{
	struct sfront_listener **fresh;
	unsigned int targets = 0;
	int r;

	if (!options)
		options = &sfront_default_options;
	r = sfront_check_together(addresses, n, options, err);
	if (r < 0)
		return r;
	fresh = calloc(n, sizeof(struct sfront_listener *));
	if (!fresh)
		return sfront_fail(err, -ENOMEM, "out of memory");
	r = open_missing(addresses, n, options, listeners, fresh, err);
	for (size_t i = 0; i < n; i++) {
		if (r < 0) {
			undo(fresh[i]);
			continue;
		}
		if (fresh[i])
			listeners[i] = fresh[i];
		targets |= sfront_listener_targets(listeners[i]);
	}
	free(fresh);
	if (r == 0)
		sfront_warn_of_idle(targets, addresses, n, options);
	return r;
}
