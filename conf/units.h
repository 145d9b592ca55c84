/* SPDX-License-Identifier: MIT */
/*
 * The systemd units of a configuration: a .socket unit for each proxy and for [status], and one
 * .service.
 */
#ifndef CONF_UNITS_H
#define CONF_UNITS_H

#include <stddef.h>

#include "conf/conf.h"

/* How the first line of every file begins: it may be written anew. */
#define UNITS_HEADER "# Made by sockfront --units"

struct unit_file {
	char *name; /* "web.socket" */
	char *text;
};

struct units {
	struct unit_file *all; /* owned array of owned strings; the service last */
	size_t n;
};

/*
 * Makes them, for the caller to clear.  The files are called as @file is: web.service,
 * web.socket or, of several proxies, web-NAME.socket, and web.status.socket.
 *
 * @program, @file: absolute
 *
 * Returns 0; -EINVAL: no units can say what the configuration does, as reported; or -ENOMEM.
 */
int units_make(struct units *units, const struct config *config, const char *program,
	       const char *file, struct problems *problems);
void units_clear(struct units *units);

#endif
