/* SPDX-License-Identifier: MIT */
/*
 * In the place of option_table.c and socket_options.c where they were left out
 * of the build (make OPTIONS=0): the table is empty, every listener has the
 * defaults.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>

#include "lib/internal.h"

const struct sfront_option *sfront_option_at(size_t index)
{
	(void)index;
	return NULL;
}

const struct sfront_option *sfront_option_find(const char *name)
{
	(void)name;
	return NULL;
}

int sfront_options_set(struct sfront_options *options, const char *name, const char *value,
		       struct sfront_error *err)
{
	(void)options;
	(void)value;
	return sfront_fail(err, -ENOENT,
			   "there is no option \"%.64s\": this program was built without listener "
			   "options",
			   name);
}

bool sfront_options_is_set(const struct sfront_options *options, const char *name)
{
	(void)options;
	(void)name;
	return false;
}

int sfront_options_get(const struct sfront_options *options, const char *name, char *buf,
		       size_t size)
{
	return sfront_options_is_set(options, name) ? snprintf(buf, size, "%s", "") : -ENOENT;
}

size_t sfront_options_format(const struct sfront_options *options, char *buf, size_t size)
{
	(void)options;
	return (size_t)snprintf(buf, size, "%s", "");
}

bool sfront_option_given(const struct sfront_options *options, enum sfront_option_id option)
{
	(void)options;
	(void)option;
	return false;
}

bool sfront_options_equal(const struct sfront_options *a, const struct sfront_options *b)
{
	(void)a;
	(void)b;
	return true;
}

bool sfront_option_differs(enum sfront_option_id option, const struct sfront_options *a,
			   const struct sfront_options *b)
{
	(void)option;
	(void)a;
	(void)b;
	return false;
}

const char *sfront_option_name(enum sfront_option_id option)
{
	(void)option;
	return "";
}

int sfront_socket_note(int fd, unsigned int target, const struct sfront_options *options,
		       struct sfront_options **had)
{
	(void)fd;
	(void)target;
	(void)options;
	(void)had;
	return 0;
}

int sfront_socket_change(struct sfront_socket *socket, const struct sfront_options *from,
			 const struct sfront_options *to, struct sfront_error *err)
{
	(void)socket;
	(void)from;
	(void)to;
	(void)err;
	return 0;
}

void sfront_socket_compare(int fd, unsigned int target, const char *text,
			   const struct sfront_options *options)
{
	(void)fd;
	(void)target;
	(void)text;
	(void)options;
}

void sfront_warn_of_idle(unsigned int targets, const struct sfront_address *addresses, size_t n,
			 const struct sfront_options *options)
{
	(void)targets;
	(void)addresses;
	(void)n;
	(void)options;
}

int sfront_socket_apply(int fd, unsigned int target, const char *text,
			const struct sfront_options *options, struct sfront_error *err)
{
	const int on = 1, off = 0;

	(void)text;
	(void)options;
	(void)err;
	if (target & EVERY(KIND_TCP)) {
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	if (target & EVERY(KIND_UNIX))
		setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
	return 0;
}
