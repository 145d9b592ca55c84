/* SPDX-License-Identifier: MIT */
/*
 * In the place of unix.c where it was left out of the build (make UNIX=0): the
 * addresses parse all the same, and are refused when they are to be opened.
 */
#include "lib/internal.h"

static int open_unix(struct sfront_listener *listener, const struct sfront_address *address,
		     const struct sfront_options *options, struct sfront_error *err)
{
	(void)listener;
	(void)options;
	return sfront_refuse_absent(address, "UNIX sockets", err);
}

static int adopt_unix(struct sfront_socket *socket, const struct sfront_address *address,
		      const struct sfront_options *options, struct sfront_error *err)
{
	(void)socket;
	return open_unix(NULL, address, options, err);
}

const struct sfront_class sfront_unix_class = {
	.name = "absent",
	.open = open_unix,
	.adopt = adopt_unix,
};

static int open_abstract(struct sfront_listener *listener, const struct sfront_address *address,
			 const struct sfront_options *options, struct sfront_error *err)
{
	(void)listener;
	(void)options;
	return sfront_refuse_absent(address, "abstract UNIX sockets", err);
}

static int adopt_abstract(struct sfront_socket *socket, const struct sfront_address *address,
			  const struct sfront_options *options, struct sfront_error *err)
{
	(void)socket;
	return open_abstract(NULL, address, options, err);
}

const struct sfront_class sfront_abstract_class = {
	.name = "absent",
	.open = open_abstract,
	.adopt = adopt_abstract,
};
