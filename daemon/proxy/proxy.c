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
	snprintf(err->message, sizeof(err->message), "memory is out");
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
	for (size_t i = 0; i < proxy->n_listenings; i++) {
		struct listening *found = find(data, proxy, i);

		opening->addresses[i] = proxy->config->listen[i].address;
		proxy->listenings[i] = found;
		opening->listeners[i] = found != NULL ? found->listener : NULL;
	}
}

static int note_opened(struct proxy *proxy, struct opening *opening, struct sfront_error *err)
{
	int r = 0;

	for (size_t i = 0; i < proxy->n_listenings; i++) {
		if (proxy->listenings[i] != NULL)
			continue;
		proxy->listenings[i] = listening_new(
			&opening->addresses[i],
			config_listen_nth(&proxy->generation->config, &proxy->config->listen[i]),
			proxy->config->options, opening->listeners[i]);
		if (proxy->listenings[i] == NULL) {
			sfront_listener_lend(opening->listeners[i]);
			sfront_listener_close(opening->listeners[i]);
			r = out_of_memory(err);
		}
	}
	return r;
}

static int open_listenings(struct proxy *proxy, proxy_finder *find, void *data,
			   struct sfront_error *err)
{
	const struct proxy_config *config = proxy->config;
	struct opening opening = {
		.addresses = calloc(config->n_listen, sizeof(*opening.addresses)),
		.listeners = calloc(config->n_listen, sizeof(struct sfront_listener *)),
	};
	int r;

	proxy->listenings = calloc(config->n_listen, sizeof(struct listening *));
	if (opening.addresses == NULL || opening.listeners == NULL || proxy->listenings == NULL) {
		r = out_of_memory(err);
	} else {
		proxy->n_listenings = config->n_listen;
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

	for (size_t i = 0; i < proxy->n_listenings; i++)
		n += proxy->listenings[i]->n_sockets;
	proxy->sockets = calloc(n, sizeof(*proxy->sockets));
	if (proxy->sockets == NULL)
		return out_of_memory(err);
	for (size_t i = 0; i < proxy->n_listenings; i++)
		for (size_t j = 0; j < proxy->listenings[i]->n_sockets; j++)
			proxy->sockets[proxy->n_sockets++] =
				(struct proxy_socket){ proxy->listenings[i], j };
	return 0;
}

int proxy_open(struct proxy *proxy, const struct proxy_config *config,
	       struct generation *generation, proxy_finder *find, void *data,
	       struct sfront_error *err)
{
	int r;

	*proxy = (struct proxy){ .config = config, .generation = generation };
	proxy->backend = backend_new(&config->backend, generation, err);
	if (proxy->backend == NULL)
		return -errno;
	r = open_listenings(proxy, find, data, err);
	return r < 0 ? r : list_sockets(proxy, err);
}

void proxy_close(struct proxy *proxy)
{
	for (size_t i = 0; i < proxy->n_listenings; i++)
		listening_unref(proxy->listenings[i]);
	backend_unref(proxy->backend);
	free(proxy->listenings);
	free(proxy->sockets);
}

void proxy_announce(const struct proxy *proxy, bool only_new)
{
	for (size_t i = 0; i < proxy->n_sockets; i++) {
		const struct listening_socket *socket = proxy_socket_at(proxy, i);

		if (only_new && atomic_load(&proxy->sockets[i].listening->refs) > 1)
			continue;

		log_line(socket->is_single ? LOG_DEBUG : LOG_INFO, "%s %s, backend %s",
			 socket->is_single ? "serving" : "listening on", socket->text,
			 backend_text(proxy->backend));
	}
}

const struct listening_socket *proxy_reached(const struct proxy *proxy,
					     const struct sfront_sockaddr *addr)
{
	for (size_t i = 0; i < proxy->n_sockets; i++)
		if (listening_socket_reached(proxy_socket_at(proxy, i), addr))
			return proxy_socket_at(proxy, i);
	return NULL;
}
