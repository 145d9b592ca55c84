/* SPDX-License-Identifier: MIT */
/*
 * The listening address and the listener options as a group of GNU argp, for a
 * program to drop into its own parser, help included:
 *
 *	struct sfront_argp listen = { addresses, 8, 0, options };
 *	const struct argp_child children[] = {
 *		{ sfront_argp(SFRONT_ARGP_LISTEN), 0, "Listening:", 0 },
 *		{ NULL, 0, NULL, 0 },
 *	};
 *
 * and, as the program's parser is told ARGP_KEY_INIT,
 *
 *	state->child_inputs[0] = &listen;
 *
 * It may be used alone as well: argp_parse(sfront_argp(...), argc, argv, 0, NULL,
 * &listen).  What is wrong is said through argp_error(), which ends the program
 * with argp_err_exit_status unless flags say otherwise.
 *
 * Not in a library that was built with ARGP=0, for a C library without argp.
 */
#ifndef SOCKFRONT_ARGP_H
#define SOCKFRONT_ARGP_H

#include <argp.h>
#include <stddef.h>

#include <sockfront/address.h>
#include <sockfront/options.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the address is given on the command line. */
enum sfront_argp_shape {
	/*
	 * As words: "PROGRAM ADDRESS...", at least one.  A program that takes
	 * words of its own is asked for each first: it passes on those that are
	 * addresses by returning ARGP_ERR_UNKNOWN, as until n_addresses is 1.
	 * It says "ADDRESS" in its args_doc.
	 */
	SFRONT_ARGP_WORD,
	/* As "-l ADDRESS" or "--listen-address ADDRESS", at least once. */
	SFRONT_ARGP_LISTEN,
	/* Not at all: the options alone. */
	SFRONT_ARGP_OPTIONS
};

/* The group's input; the caller's, for as long as argp_parse() runs. */
struct sfront_argp {
	struct sfront_address *addresses; /* filled; may be NULL for SFRONT_ARGP_OPTIONS */
	size_t max_addresses;             /* room in it; one more is an error of the user's */
	size_t n_addresses;               /* how many were given; 0 before */
	struct sfront_options *options;   /* set */
};

/*
 * The group of that shape.  Static: never freed.  May be called by any thread.
 */
const struct argp *sfront_argp(enum sfront_argp_shape shape);

#ifdef __cplusplus
}
#endif
#endif
