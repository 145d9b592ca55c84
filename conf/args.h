/* SPDX-License-Identifier: MIT */
/*
 * The command line: every key of the configuration is a long option, and the
 * words that are not options are the listening addresses and the backend.
 */
#ifndef CONF_ARGS_H
#define CONF_ARGS_H

#include <stdbool.h>

#include "conf/conf.h"

enum args_action {
	ARGS_RUN,
	ARGS_CHECK,
	ARGS_UNITS,
	ARGS_STATUS,
	ARGS_HELP,
	ARGS_VERSION,
	ARGS_USAGE
};

/* What --status is to ask, and how. */
struct status_args {
	struct sfront_address address;
	bool has_address; /* or else the configuration says where, or nothing does */
	bool watch, json;
};

/* What no configuration says; borrowed from the command line. */
struct args {
	const char *file;   /* the configuration; NULL: there is none */
	const char *output; /* the directory for units; NULL: stdout */
	struct status_args status;
};

/*
 * Fills @config from the command line and, with -c, from the file; checks it
 * and reports everything that is wrong.
 *
 * ARGS_USAGE: there were no arguments at all.
 */
enum args_action args_parse(int argc, char **argv, struct config *config, struct problems *problems,
			    struct args *ret_args);

#endif
