/* SPDX-License-Identifier: MIT */
/*
 * accept-from-fd:N: an inherited descriptor by its number, as shells and
 * supervisors pass it.
 */
#include "lib/kind/inherited.h"

static int fd_find(const struct sfront_address *address, const struct sfront_options *options,
		   struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	(void)options;
	sfront_address_format(address, text, sizeof(text));
	return sfront_inherited_find(address->u.fd.number, text, err);
}

static int fd_open(struct sfront_listener *listener, const struct sfront_address *address,
		   const struct sfront_options *options, struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	sfront_address_format(address, text, sizeof(text));
	return sfront_inherited_open(listener, &sfront_fd_class, address->u.fd.number, text, NULL,
				     0, options, err);
}

static bool fd_wants(const struct sfront_address *address, const struct sfront_options *options,
		     int fd)
{
	(void)options;
	return address->u.fd.number == fd;
}

const struct sfront_class sfront_fd_class = {
	.name = "fd",
	.find = fd_find,
	.open = fd_open,
	.wants = fd_wants,
	.accept = sfront_inherited_accept,
	.close = sfront_inherited_close,
	.release = sfront_inherited_release,
	.undo = sfront_inherited_undo,
	.verify = sfront_inherited_verify,
	.restore = sfront_inherited_restore,
};
