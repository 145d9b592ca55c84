/* SPDX-License-Identifier: MIT */
/*
 * Opens and closes what a proxy's configuration names.  Between conf/ and the
 * workers; whole configurations are generation.c's.
 */
#include "daemon/proxy/proxy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/backend/backend.h"
#include "daemon/base/log.h"
#include "daemon/proxy/generation.h"

static int out_of_memory(struct sfront_error *err)
{
	snprintf(err->message, sizeof(err->message), "out of memory");
	return -ENOMEM;
}

/* The listeners of @n listen lines while they are being opened, side by side. */
struct opening {
	struct sfront_address *addresses;
	struct sfront_listener **listeners;
};

/* Lines that were open already keep their listener in @opening. */
static void find_open(struct proxy *proxy, struct opening *opening, proxy_finder *find, void *data)
{
	for (size_t i = 0; i < proxy->n_listeners; i++) {
		struct listener *found = find(data, proxy, i);

		opening->addresses[i] = proxy->config->listen[i].address;
		proxy->listeners[i] = found;
		opening->listeners[i] = found ? found->open : NULL;
	}
}

static int note_opened(struct proxy *proxy, struct opening *opening, struct sfront_error *err)
{
	int r = 0;

	for (size_t i = 0; i < proxy->n_listeners; i++) {
		if (proxy->listeners[i])
			continue;
		proxy->listeners[i] = listener_new(
			&opening->addresses[i],
			config_listen_nth(&proxy->generation->config, &proxy->config->listen[i]),
			proxy->config->options, opening->listeners[i]);
		if (!proxy->listeners[i]) {
			sfront_listener_lend(opening->listeners[i]);
			sfront_listener_close(opening->listeners[i]);
			r = out_of_memory(err);
		}
	}
	return r;
}

static int open_listeners(struct proxy *proxy, proxy_finder *find, void *data,
			  struct sfront_error *err)
{
	const struct proxy_config *config = proxy->config;
	struct opening opening = {
		.addresses = calloc(config->n_listen, sizeof(*opening.addresses)),
		.listeners = calloc(config->n_listen, sizeof(struct sfront_listener *)),
	};
	int r;

	proxy->listeners = calloc(config->n_listen, sizeof(struct listener *));
	if (!opening.addresses || !opening.listeners || !proxy->listeners) {
		r = out_of_memory(err);
	} else {
		proxy->n_listeners = config->n_listen;
		find_open(proxy, &opening, find, data);
		r = sfront_listener_open_each(opening.addresses, config->n_listen, config->options,
					      opening.listeners, err);
		if (r == 0)
			r = note_opened(proxy, &opening, err);
	}
	free(opening.addresses);
	free(opening.listeners);
	return r;
}

static int list_sockets(struct proxy *proxy, struct sfront_error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < proxy->n_listeners; i++)
		n += proxy->listeners[i]->n_sockets;
	proxy->sockets = calloc(n, sizeof(*proxy->sockets));
	if (!proxy->sockets)
		return out_of_memory(err);
	for (size_t i = 0; i < proxy->n_listeners; i++)
		for (size_t j = 0; j < proxy->listeners[i]->n_sockets; j++)
			proxy->sockets[proxy->n_sockets++] =
				(struct proxy_socket){ proxy->listeners[i], j };
	return 0;
}

int proxy_open(struct proxy *proxy, const struct proxy_config *config,
	       struct generation *generation, proxy_finder *find, void *data,
	       struct sfront_error *err)
{
	int r;

	*proxy = (struct proxy){ .config = config, .generation = generation };
	proxy->backend = backend_new(&config->backend, generation, err);
	if (!proxy->backend)
		return -errno;
	r = open_listeners(proxy, find, data, err);
	return r < 0 ? r : list_sockets(proxy, err);
}

void proxy_close(struct proxy *proxy)
{
	for (size_t i = 0; i < proxy->n_listeners; i++)
		listener_unref(proxy->listeners[i]);
	backend_unref(proxy->backend);
	free(proxy->listeners);
	free(proxy->sockets);
}

void proxy_announce(const struct proxy *proxy, bool only_new)
{
	for (size_t i = 0; i < proxy->n_sockets; i++) {
		const struct listener_socket *socket = proxy_socket_at(proxy, i);

		if (only_new && atomic_load(&proxy->sockets[i].listener->refs) > 1)
			continue;

		log_line(socket->is_single ? LOG_DEBUG : LOG_INFO, "%s %s, backend %s",
			 socket->is_single ? "serving" : "listening on", socket->text,
			 backend_text(proxy->backend));
	}
}

const struct listener_socket *proxy_reached(const struct proxy *proxy,
					    const struct sfront_sockaddr *addr)
{
	for (size_t i = 0; i < proxy->n_sockets; i++)
		if (listener_socket_reached(proxy_socket_at(proxy, i), addr))
			return proxy_socket_at(proxy, i);
	return NULL;
}
