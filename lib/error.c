/* SPDX-License-Identifier: MIT */
/*
 * How a failure gets its words: every file of lib/ returns through
 * sfront_fail() where it can say more than a number.
 */
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

int sfront_fail(struct sfront_error *err, int error, const char *format, ...)
{
	va_list args;

	if (!err)
		return error;

	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	return error;
}
