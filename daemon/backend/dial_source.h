/* SPDX-License-Identifier: MIT */
/*
 * Where connections to a backend come from: of several addresses of this machine one
 * after the other, so that their ports add up; or the client's own.
 */
#ifndef DAEMON_BACKEND_DIAL_SOURCE_H
#define DAEMON_BACKEND_DIAL_SOURCE_H

#include <sockfront/address.h>
#include <sockfront/error.h>
#include <stdbool.h>

struct backend_source;
struct dial_source;

/*
 * For any number of threads.
 *
 * @config: copied
 *
 * Returns NULL with errno set and @err saying why: out of memory, or the right to use the
 * addresses of others is missing (EPERM).
 */
struct dial_source *dial_source_new(const struct backend_source *config, struct sfront_error *err);

/* NULL is allowed. */
void dial_source_free(struct dial_source *source);

/* Whether the client's address is wanted.  NULL: it is not. */
bool dial_source_is_client(const struct dial_source *source);

/* How many addresses there are to choose from, and at which of them to begin. */
unsigned int dial_source_count(const struct dial_source *source);
unsigned int dial_source_turn(struct dial_source *source);

/*
 * Binds a socket that is to be connected to @addr; its port is chosen by connect().
 *
 * @nth:    any number: which of the addresses
 * @client: for dial_source_is_client(); one that cannot be used (of another family, or
 *          loopback while @addr is not) leaves the choice to the system
 *
 * Returns 0, -EAFNOSUPPORT: the address is of another family than @addr, or another
 * -errno, of which the log has heard.
 */
int dial_source_bind(struct dial_source *source, unsigned int nth,
		     const struct sfront_sockaddr *client, const struct sfront_sockaddr *addr,
		     int fd);

#endif
