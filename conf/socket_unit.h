/* SPDX-License-Identifier: MIT */
/*
 * The .socket unit of a proxy: the addresses that systemd can bind, and what it has a word
 * for of the options that they have.
 */
#ifndef CONF_SOCKET_UNIT_H
#define CONF_SOCKET_UNIT_H

#include <stdbool.h>
#include <stdio.h>

#include "conf/conf.h"

/* Whether systemd can bind the address of a line. */
bool socket_unit_has(const struct listen_config *listen);

/* Whether there is anything for systemd to bind. */
bool socket_unit_is_wanted(const struct proxy_config *proxy);

/* Whether systemd cannot set the socket's mark, so that the service has to. */
bool socket_unit_lacks_mark(const struct proxy_config *proxy);

/*
 * Writes it.
 *
 * @service: the unit that the sockets are for
 */
void socket_unit_write(const struct proxy_config *proxy, const char *service, FILE *stream);

#endif
