/* SPDX-License-Identifier: MIT */
/*
 * A set of options as an object: made, copied, freed, and where its warnings
 * go.  What the options are is in option_table.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

#define DEFAULT_BACKLOG 4096

const struct sfront_options sfront_default_options = {
	.backlog = DEFAULT_BACKLOG,
	.nodelay = 1,
};

struct sfront_options *sfront_options_new(void)
{
	return sfront_options_copy(&sfront_default_options);
}

struct sfront_options *sfront_options_copy(const struct sfront_options *options)
{
	struct sfront_options *copy = malloc(sizeof(*copy));

	if (copy)
		*copy = *options;
	return copy;
}

void sfront_options_free(struct sfront_options *options)
{
	free(options);
}

void sfront_options_on_warning(struct sfront_options *options,
			       void (*warn)(void *data, const char *message), void *data)
{
	options->warn = warn;
	options->warn_data = data;
}

void sfront_warn(const struct sfront_options *options, const char *format, ...)
{
	char message[SFRONT_MESSAGE_SIZE];
	va_list args;

	if (!options->warn)
		return;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	options->warn(options->warn_data, message);
}
