/* SPDX-License-Identifier: MIT */
/*
 * The option table as rows for getopt_long(): a reader of options.h like any
 * other.
 */
#include <errno.h>
#include <stdio.h>

#include <sockfront/getopt.h>

#include "lib/internal.h"

size_t sfront_getopt_fill(struct option *rows, size_t max, int first)
{
	const struct sfront_option *option;
	size_t n = 0;

	for (; (option = sfront_option_at(n)); n++)
		if (n + 1 < max)
			rows[n] = (struct option){
				.name = option->name,
				.has_arg =
					option->is_switch ? optional_argument : required_argument,
				.val = first + (int)n,
			};
	if (max > 0)
		rows[n < max ? n : max - 1] = (struct option){ .name = NULL };
	return n + 1;
}

int sfront_getopt_set(struct sfront_options *options, int value, const char *argument, int first,
		      struct sfront_error *err)
{
	const struct sfront_option *option = NULL;

	if (value >= first)
		option = sfront_option_at((size_t)value - (size_t)first);
	return option ? sfront_options_set(options, option->name, argument, err) : -ENOENT;
}

size_t sfront_getopt_help(char *buf, size_t size)
{
	const struct sfront_option *option;
	size_t len = 0;
	char left[64];

	if (size > 0)
		buf[0] = '\0';
	for (size_t i = 0; (option = sfront_option_at(i)); i++) {
		bool room = len < size;

		snprintf(left, sizeof(left), option->is_switch ? "  --%s[=no]" : "  --%s %s",
			 option->name, option->argument);
		len += (size_t)snprintf(room ? buf + len : NULL, room ? size - len : 0,
					"%-40s %s\n", left, option->help);
	}
	return len;
}
