/* SPDX-License-Identifier: MIT */
/*
 * Sessions, as whoever runs them sees them: they are started, they end by themselves,
 * and they can be cut.
 */
#ifndef DAEMON_SESSION_SESSION_H
#define DAEMON_SESSION_SESSION_H

#include <stddef.h>

struct proxy;
struct session;
struct session_host;
struct session_host_ops;
struct sfront_connection;

/*
 * Fills in all of a host but its loop, which runs already.
 *
 * @ops:       whom its sessions tell; borrowed
 * @pipe_size: see pipe_pool_init(), as is @max_pipes
 *
 * Returns 0 or -ENOMEM.
 */
int session_host_init(struct session_host *host, const struct session_host_ops *ops,
		      size_t pipe_size, unsigned int max_pipes);

/* Every session must have ended. */
void session_host_clear(struct session_host *host);

/*
 * Serves a client that was just accepted and for which a slot is taken.  Takes
 * the connection, its slot and a reference to the proxy.  There must be memory for a
 * session: see session_host_is_ready().
 */
void session_start(struct session_host *host, struct proxy *proxy, size_t socket,
		   const struct sfront_connection *connection);

/*
 * The process drains: from now on a client is held for 5 s at most while its backend
 * cannot be reached, and then reset, as one that is cut.
 */
void session_host_drain(struct session_host *host);

/* Ends the session now, both sides with a reset: the drain is over. */
void session_cut(struct session *session);

#endif
