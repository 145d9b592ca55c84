/* SPDX-License-Identifier: MIT */
/*
 * Opening one socket to one address, and how that goes.  connect.c decides which address,
 * when, and how long.
 */
#ifndef DAEMON_BACKEND_DIAL_H
#define DAEMON_BACKEND_DIAL_H

#include <sockfront/address.h>
#include <sockfront/value.h>
#include <stdbool.h>
#include <stdint.h>

struct loop_guard;

/* What a socket to the backend has set before it is connected. */
struct dial_options {
	bool nodelay;
	struct sfront_keepalive keepalive;
	uint64_t user_timeout_ms;       /* 0: the system's */
	const struct loop_guard *guard; /* borrowed */
};

/*
 * Opens a socket and begins to connect it.  Never blocks.
 *
 * Returns 0 or -ECONNRESET (see dial_is_connected()), or -EINPROGRESS (it becomes writable:
 * see connect_result()), with the socket in *ret_fd for the caller to close; or another
 * -errno.
 */
int dial(const struct dial_options *options, const struct sfront_sockaddr *addr, int *ret_fd);

/*
 * Where a connection stands that was begun.  A second connect() would say so too,
 * and throw away what the backend had sent before it reset the connection.
 *
 * Returns 0 (connected), -EINPROGRESS, -ECONNRESET (it was connected), or another
 * -errno.
 */
int connect_result(int fd);

/* A reset comes after the handshake: there was a backend, and this was its answer. */
bool dial_is_connected(int result);

#endif
