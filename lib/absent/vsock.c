/* SPDX-License-Identifier: MIT */
/*
 * In the place of vsock.c where it was left out of the build (make VSOCK=0): the
 * addresses parse all the same, and are refused when they are to be opened.
 */
#include "lib/internal.h"

static int open_vsock(struct sfront_listener *listener, const struct sfront_address *address,
		      const struct sfront_options *options, struct sfront_error *err)
{
	(void)listener;
	(void)options;
	return sfront_refuse_absent(address, "vsock", err);
}

static int adopt_vsock(struct sfront_socket *socket, const struct sfront_address *address,
		       const struct sfront_options *options, struct sfront_error *err)
{
	(void)socket;
	return open_vsock(NULL, address, options, err);
}

const struct sfront_class sfront_vsock_class = {
	.name = "absent",
	.open = open_vsock,
	.adopt = adopt_vsock,
};
