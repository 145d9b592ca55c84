/* SPDX-License-Identifier: MIT */
/*
 * In the place of inetd.c where it was left out of the build (make INETD=0): the
 * addresses parse all the same, and are refused when they are to be opened.
 */
#include "lib/internal.h"

static int open_inetd(struct sfront_listener *listener, const struct sfront_address *address,
		      const struct sfront_options *options, struct sfront_error *err)
{
	(void)listener;
	(void)options;
	return sfront_refuse_absent(address, "inetd", err);
}

const struct sfront_class sfront_inetd_class = {
	.name = "absent",
	.open = open_inetd,
};
