/* SPDX-License-Identifier: MIT */
/*
 * The .socket unit of a proxy, or of [status]: the addresses that systemd can bind, and what it
 * has a word for of the options that they have.
 */
#ifndef CONF_SOCKET_UNIT_H
#define CONF_SOCKET_UNIT_H

#include <stdbool.h>
#include <stdio.h>

#include "conf/conf.h"

/* The directory that a service makes for itself, and removes: this, and the name of its unit. */
#define SERVICE_RUN "/run/sockfront@"

/* What one is made of.  Everything is borrowed from the configuration. */
struct socket_unit {
	const char *name; /* the proxy's, or "status" */
	struct listen_section section;
	bool is_left_out; /* the service opens all of it */
};

/* That of section number @index, as config_listen_section() counts them.  False: none is left. */
bool socket_unit_at(const struct config *config, size_t index, struct socket_unit *ret);

/* Whether the address of a line of its section is in it; if not, the service opens that. */
bool socket_unit_has(const struct socket_unit *unit, const struct listen_config *listen);

/* Whether there is anything in it. */
bool socket_unit_is_wanted(const struct socket_unit *unit);

/* Whether systemd cannot set the sockets' mark, so that the service has to. */
bool socket_unit_lacks_mark(const struct socket_unit *unit);

/*
 * Writes it.
 *
 * @service: the unit that the sockets are for
 */
void socket_unit_write(const struct socket_unit *unit, const char *service, FILE *stream);

#endif
