/* SPDX-License-Identifier: MIT */
/*
 * What the kinds of address share whose descriptors somebody else opened:
 * sd_listen.c and fd.c the taking of one, and with inetd.c a socket that gives
 * one connection.
 */
#ifndef SOCKFRONT_KIND_INHERITED_H
#define SOCKFRONT_KIND_INHERITED_H

#include "lib/internal.h"

/* single.c */

/*
 * Makes @socket one that gives @only, once: gives it a descriptor to poll that
 * is readable until then.  Takes @only's descriptors on success.
 */
int sfront_single_init(struct sfront_socket *socket, const struct sfront_connection *only);
int sfront_single_accept(struct sfront_socket *socket, struct sfront_connection *ret_connection);
void sfront_single_close(struct sfront_socket *socket);

/* inherited.c */

/*
 * Claims descriptor @fd and adds it to the listener.
 *
 * @typed: the address as the user gave it
 * @name:  of the descriptor, or NULL
 * @extra: further KIND_ bits of the target
 */
int sfront_inherited_open(struct sfront_listener *listener, const struct sfront_class *class,
			  int fd, const char *typed, const char *name, unsigned int extra,
			  const struct sfront_options *options, struct sfront_error *err);

/* Whether descriptor @fd is open, or was taken.  Returns 0, or -EBADF with @err. */
int sfront_inherited_find(int fd, const char *typed, struct sfront_error *err);

int sfront_inherited_accept(struct sfront_socket *socket, struct sfront_connection *ret_connection);
void sfront_inherited_close(struct sfront_socket *socket);
int sfront_inherited_release(struct sfront_socket *socket);
int sfront_inherited_verify(const struct sfront_socket *socket,
			    const struct sfront_address *address,
			    const struct sfront_options *options, struct sfront_error *err);
int sfront_inherited_restore(struct sfront_socket *socket);
void sfront_inherited_undo(struct sfront_socket *socket);

#endif
