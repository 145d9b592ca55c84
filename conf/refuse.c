/* SPDX-License-Identifier: MIT */
/*
 * See refuse.h.
 */
#include "conf/refuse.h"

#include <stdarg.h>
#include <stdio.h>

int refuse(struct sfront_error *err, int error, const char *format, ...)
{
	va_list arguments;

	if (err) {
		va_start(arguments, format);
		vsnprintf(err->message, sizeof(err->message), format, arguments);
		va_end(arguments);
	}
	return error;
}
