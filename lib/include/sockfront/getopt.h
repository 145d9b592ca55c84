/* SPDX-License-Identifier: MIT */
/*
 * The listener options as long options of a program that uses getopt_long():
 *
 *	enum { LISTEN_OPTIONS = 1000 };
 *	struct option rows[64] = { { "verbose", no_argument, NULL, 'v' } };
 *
 *	sfront_getopt_fill(rows + 1, 63, LISTEN_OPTIONS);
 *	while ((value = getopt_long(argc, argv, "v", rows, NULL)) != -1) {
 *		r = sfront_getopt_set(options, value, optarg, LISTEN_OPTIONS, &err);
 *		if (r == 0)
 *			continue;
 *		if (r != -ENOENT)
 *			errx(2, "%s", err.message);
 *		switch (value) ...
 */
#ifndef SOCKFRONT_GETOPT_H
#define SOCKFRONT_GETOPT_H

#include <getopt.h>
#include <stddef.h>

#include <sockfront/error.h>
#include <sockfront/options.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Writes one row for each option of the table, and the row of zeros that ends
 * the list.  A switch takes its value as --NAME=no only, every other one as the
 * next word too.
 *
 * @rows:  filled with at most @max rows, the last of them always the zeros
 * @max:   0: nothing is written
 * @first: value of the first option; the others follow it.  Above 255, so that
 *         no letter is among them
 *
 * Returns how many rows all of it needs, the zeros included.
 */
size_t sfront_getopt_fill(struct option *rows, size_t max, int first);

/*
 * Takes what getopt_long() returned.
 *
 * @value:    that
 * @argument: optarg; copied where it is kept
 * @first:    as for sfront_getopt_fill()
 *
 * Returns 0, -ENOENT (@value is none of these options: it is the program's own),
 * or what else sfront_options_set() returns, with @err naming the option.
 */
int sfront_getopt_set(struct sfront_options *options, int value, const char *argument, int first,
		      struct sfront_error *err);

/*
 * Writes one line for each option, "  --NAME VALUE     what it does", for the
 * program's own --help.
 *
 * Returns the length of the whole text, as snprintf does.
 */
size_t sfront_getopt_help(char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
