/* SPDX-License-Identifier: MIT */
/*
 * In the place of multi.c where it was left out of the build (make MULTI=0): a
 * listener has one address, though a host name may still stand for several.
 */
#include <errno.h>

#include "lib/internal.h"

int sfront_open_several(struct sfront_listener *listener, const struct sfront_address *addresses,
			size_t n, const struct sfront_options *options, struct sfront_error *err)
{
	(void)listener;
	(void)addresses;
	(void)options;
	return sfront_fail(err, -ENOTSUP,
			   "%zu addresses for one listener: this program was built without that; "
			   "give one address",
			   n);
}
