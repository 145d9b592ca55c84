/* SPDX-License-Identifier: MIT */
/*
 * Several addresses with the same options, each with a listener of its own.
 * Beside multi.c, which makes one listener of them all.
 */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

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
			sfront_listener_discard(fresh[i]);
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
