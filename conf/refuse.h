/* SPDX-License-Identifier: MIT */
/*
 * How a parser says what is wrong with a value.
 */
#ifndef CONF_REFUSE_H
#define CONF_REFUSE_H

#include <sockfront/error.h>

/* Writes the message, formatted as by printf, unless @err is NULL.  Returns @error. */
int refuse(struct sfront_error *err, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
