/* SPDX-License-Identifier: MIT */
/*
 * Bytes that a value stands for: what is sent to a server, or comes from one.
 */
#ifndef CONF_BYTES_H
#define CONF_BYTES_H

#include <stddef.h>

#include <sockfront/error.h>

/* How many there may be. */
#define BYTES_MAX 4096

struct bytes {
	char *data; /* owned; NULL: none were given */
	size_t n;
};

/*
 * Reads text with \r, \n, \t, \0, \\ and \xNN.
 *
 * @ret: what it had is freed
 *
 * Returns 0, or a negative errno with @err saying what is taken; @ret is untouched then.
 */
int bytes_parse(const char *text, struct bytes *ret, struct sfront_error *err);

/* Returns 0 with a copy, or -ENOMEM. */
int bytes_copy(const struct bytes *bytes, struct bytes *ret);

void bytes_clear(struct bytes *bytes);

#endif
