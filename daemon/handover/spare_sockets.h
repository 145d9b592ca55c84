/* SPDX-License-Identifier: MIT */
/*
 * Inherited listening sockets that no line asks for by name or number: each serves the
 * line of an address of our own that it is bound to.  So one configuration does, whether
 * a .socket unit holds the sockets or the process opens them.
 */
#ifndef DAEMON_HANDOVER_SPARE_SOCKETS_H
#define DAEMON_HANDOVER_SPARE_SOCKETS_H

#include <stddef.h>

struct config;
struct listen_config;
struct listener;
struct sfront_options;
struct spare_key;
struct spare_socket;

struct spare_sockets {
	struct spare_socket *all; /* owned array, in the order in which they came */
	size_t n;
	struct spare_key *keys; /* owned array, sorted: see spare_sockets.c */
	size_t n_keys;
};

/*
 * Lists those that are left over by the sd-listen and accept-from-fd lines of @config, in
 * this network namespace.  For the caller to clear.  Returns 0 or -ENOMEM.
 */
int spare_sockets_list(struct spare_sockets *spare, const struct config *config);
void spare_sockets_clear(struct spare_sockets *spare);

/*
 * Opens the one that is bound to the address of a listen line, if no listener has it, and
 * says so in the log.  Returns it with a reference for the caller, or NULL.
 */
struct listener *spare_sockets_open(struct spare_sockets *spare, const struct listen_config *listen,
				    const struct sfront_options *options);

#endif
