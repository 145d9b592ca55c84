/* SPDX-License-Identifier: MIT */
/*
 * In the place of sd_listen.c, fd.c, inherited.c, bound.c and former.c where they were left out of
 * the build (make SYSTEMD=0): the addresses parse all the same, and are refused when they are to be
 * opened.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/internal.h"

static int open_sd_listen(struct sfront_listener *listener, const struct sfront_address *address,
			  const struct sfront_options *options, struct sfront_error *err)
{
	(void)listener;
	(void)options;
	return sfront_refuse_absent(address, "sd-listen", err);
}

const struct sfront_class sfront_sd_listen_class = {
	.name = "absent",
	.open = open_sd_listen,
};

static int open_fd(struct sfront_listener *listener, const struct sfront_address *address,
		   const struct sfront_options *options, struct sfront_error *err)
{
	(void)listener;
	(void)options;
	return sfront_refuse_absent(address, "accept-from-fd", err);
}

const struct sfront_class sfront_fd_class = {
	.name = "absent",
	.open = open_fd,
};

int sfront_inherited_reserve(const char *prefix)
{
	size_t len = strlen(prefix);

	return len == 0 || len >= SFRONT_NAME_SIZE ? -EINVAL : 0;
}

int sfront_inherited_at(size_t index, struct sfront_inherited *ret)
{
	(void)index;
	(void)ret;
	return -ENOENT;
}

int sfront_listener_open_inherited(const struct sfront_address *address, int fd,
				   const struct sfront_options *options,
				   struct sfront_listener **ret_listener, struct sfront_error *err)
{
	(void)fd;
	(void)options;
	(void)ret_listener;
	return sfront_refuse_absent(address, "inherited sockets", err);
}

size_t sfront_former_format(int fd, char *buf, size_t size)
{
	(void)fd;
	return (size_t)snprintf(buf, size, "%s", "");
}

int sfront_former_parse(int fd, const char *text)
{
	(void)fd;
	(void)text;
	return 0;
}
