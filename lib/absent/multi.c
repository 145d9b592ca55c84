/* SPDX-License-Identifier: MIT */
/*
 * In the place of multi.c where it was left out of the build (make MULTI=0):
 * one call opens one address, though a host name may still stand for several.
 */
#include <errno.h>

#include "lib/internal.h"

static int refuse(size_t n, struct sfront_error *err)
{
	return sfront_fail(err, -ENOTSUP,
			   "%zu addresses in one call: this program was built without that; give "
			   "one address",
			   n);
}

int sfront_open_several(struct sfront_listener *listener, const struct sfront_address *addresses,
			size_t n, const struct sfront_options *options, struct sfront_error *err)
{
	(void)listener;
	(void)addresses;
	(void)options;
	return refuse(n, err);
}

int sfront_listener_open_each(const struct sfront_address *addresses, size_t n,
			      const struct sfront_options *options,
			      struct sfront_listener **listeners, struct sfront_error *err)
{
	if (n > 1)
		return refuse(n, err);
	return n == 1 && listeners[0]
		       ? 0
		       : sfront_listener_open(addresses, n, options, &listeners[0], err);
}
