/* SPDX-License-Identifier: MIT */
/*
 * A proxy at work: its configuration, what it listens on and its backend.  Opened
 * and closed by the main thread, read by every worker.
 */
#ifndef DAEMON_PROXY_PROXY_H
#define DAEMON_PROXY_PROXY_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "daemon/proxy/listener.h"

struct backend;
struct generation;

/* One of the descriptors that a proxy accepts from. */
struct proxy_socket {
	struct listener *listener;
	size_t index; /* in that */
};

struct proxy {
	struct generation *generation;
	const struct proxy_config *config; /* borrowed from the generation's */
	struct backend *backend;
	struct listener **listeners; /* one for each listen line; a reference each */
	size_t n_listeners;
	struct proxy_socket *sockets; /* those of all lines */
	size_t n_sockets;
};

/*
 * Says which listener that is open already serves listen line number @line of
 * the proxy: a reference for the caller, or NULL if one has to be opened.
 */
typedef struct listener *proxy_finder(void *data, const struct proxy *proxy, size_t line);

/*
 * Opens every listen line that @find does not know and, for a literal one,
 * knows the backend's address.  proxy_close() is owed in any case.
 *
 * @config, @generation: borrowed for as long as the proxy lives
 *
 * Returns 0, or -errno with @err saying why.
 */
int proxy_open(struct proxy *proxy, const struct proxy_config *config,
	       struct generation *generation, proxy_finder *find, void *data,
	       struct sfront_error *err);

void proxy_close(struct proxy *proxy);

static inline struct listener_socket *proxy_socket_at(const struct proxy *proxy, size_t index)
{
	return &proxy->sockets[index].listener->sockets[proxy->sockets[index].index];
}

/*
 * Says in the log what it listens on, free ports resolved.  @only_new: and no
 * older generation did.
 */
void proxy_announce(const struct proxy *proxy, bool only_new);

/* The socket of the proxy that a connection to @addr arrives at, or NULL. */
const struct listener_socket *proxy_reached(const struct proxy *proxy,
					    const struct sfront_sockaddr *addr);

#endif
