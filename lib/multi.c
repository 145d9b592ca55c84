/* SPDX-License-Identifier: MIT */
/*
 * One listener over several addresses: all or none.  Above listener.c, which
 * opens one.
 */
#include <errno.h>

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
