/* SPDX-License-Identifier: MIT */
/*
 * A proxy at work: its configuration, its open listener and its backend.  Opened and
 * closed by the main thread, read by every worker.
 */
#ifndef DAEMON_PROXY_H
#define DAEMON_PROXY_H

#include <sockfront/listener.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"

struct backend;
struct service;

/* A descriptor of the listener, as noted when it was opened: workers read it when that is closed.
 */
struct bound {
	struct sfront_sockaddr addr; /* len 0 for a connection */
	bool is_single;              /* it is for one connection */
	bool takes_ipv4;             /* an IPv6 socket that IPv4 clients reach too */
};

struct proxy {
	const struct proxy_config *config; /* borrowed from service->config */
	struct sfront_listener *listener;
	struct backend *backend;
	size_t n_sockets;
	char (*socket_text)[SFRONT_ADDRESS_TEXT_SIZE]; /* what each descriptor listens on */
	struct bound *bound;                           /* the same, as the kernel has it */
};

/*
 * Opens the listener and, for a literal one, knows the backend's address.
 * proxy_close() is owed in any case.
 *
 * @config, @service: borrowed for as long as the proxy lives
 *
 * Returns 0, or -errno with @err saying why.
 */
int proxy_open(struct proxy *proxy, const struct proxy_config *config,
	       const struct service *service, struct sfront_error *err);

/* Says in the log what it listens on, free ports resolved. */
void proxy_announce(const struct proxy *proxy);

/* Closes the listener: nobody may be accepting from it any more. */
void proxy_close_listener(struct proxy *proxy);

void proxy_close(struct proxy *proxy);

/*
 * Refuses backends that are one of the service's own listeners, now that these
 * are bound.  Returns 0, or -ELOOP with @err naming both.
 */
int proxy_check_loop(const struct service *service, const struct proxy *proxy,
		     struct sfront_error *err);

/* Whether @addr leads back to a listener of ours. */
bool proxy_is_own_listener(const struct service *service, const struct sfront_sockaddr *addr);

#endif
