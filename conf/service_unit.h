/* SPDX-License-Identifier: MIT */
/*
 * The .service unit of a configuration: the shipped sockfront@.service with the names of
 * this one, and the rights that it makes necessary.
 */
#ifndef CONF_SERVICE_UNIT_H
#define CONF_SERVICE_UNIT_H

#include <stdbool.h>
#include <stdio.h>

#include "conf/conf.h"

/* What a unit says that is in no configuration. */
struct service_names {
	const char *program; /* absolute */
	const char *file;    /* the configuration's, absolute */
	const char *sockets; /* names of .socket units, with blanks between them; "": none */
};

/*
 * Whether it is a path in a directory that the service makes, and removes with all that is in it
 * when it ends.
 *
 * @service: its name
 */
bool service_unit_removes(const struct config *config, const char *service,
			  const struct sfront_address *address);

void service_unit_write(const struct config *config, const struct service_names *names,
			FILE *stream);

#endif
