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

struct dial_source;
struct loop_guard;
struct mux_answer;

/* What a socket to the backend has set before it is connected; the first three are TCP's. */
struct dial_options {
	bool nodelay;
	struct sfront_keepalive keepalive;
	uint64_t user_timeout_ms;       /* 0: the system's */
	uint32_t mux_port;              /* not 0: see mux.h */
	const struct loop_guard *guard; /* borrowed */
	struct dial_source *source;     /* borrowed; NULL: the system chooses whence */
};

/*
 * Opens a socket and begins to connect it.  Never blocks.
 *
 * @client: whom it is for; looked at with dial_source_is_client() alone
 *
 * Returns 0 or -ECONNRESET (see dial_is_connected()), or -EINPROGRESS (it becomes ready:
 * see dial_result()), with the socket in *ret_fd for the caller to close; or another
 * -errno.
 */
int dial(const struct dial_options *options, const struct sfront_sockaddr *client,
	 const struct sfront_sockaddr *addr, int *ret_fd);

/* What the socket becomes when there is more to know: EV_WRITE or EV_READ. */
short dial_awaits(const struct dial_options *options);

/*
 * Where a connection stands that was begun.
 *
 * @answer: all 0 at first
 *
 * Returns 0 (connected), -EINPROGRESS, -ECONNRESET (it was connected), or another
 * -errno.
 */
int dial_result(const struct dial_options *options, const struct sfront_sockaddr *addr, int fd,
		struct mux_answer *answer);

/* A reset comes after the handshake: there was a backend, and this was its answer. */
bool dial_is_connected(int result);

#endif
