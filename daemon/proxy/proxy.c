/* SPDX-License-Identifier: MIT */
/*
 * Opens and closes what a proxy's configuration names.  Between conf/ and the
 * workers; whole configurations are generation.c's.
 */
#include "daemon/proxy/proxy.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/listen_stream.h"
#include "daemon/backend/backend.h"
#include "daemon/backend/expansion.h"
#include "daemon/backend/loop_guard.h"
#include "daemon/backend/probe.h"
#include "daemon/backend/unit.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "daemon/proxy/source_table.h"

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

		opening->addresses[i] = proxy->config.listen[i].address;
		proxy->listeners[i] = found;
		opening->listeners[i] = found ? found->open : NULL;
	}
}

static int refuse_idle_exit(const struct listen_config *listen, struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE], stream[LISTEN_STREAM_SIZE], line[32] = "";
	struct sfront_error why;
	bool can = listen_stream_format(&listen->address, stream, &why) == 0;

	sfront_address_format(&listen->address, text, sizeof(text));
	if (listen->place.file)
		snprintf(line, sizeof(line), " (line %u)", listen->place.line);
	snprintf(
		err->message, sizeof(err->message),
		"exit-idle-time: no .socket unit has passed a socket that listens on \"%.200s\"%s, "
		"and one of our own would be gone once we have ended; %s%.200s",
		text, line,
		can ? "it takes ListenStream=" : "none can: ", can ? stream : why.message);
	return -EINVAL;
}

/* What a process that ends when it is quiet listens on has to outlive it. */
static int check_idle_exit(const struct proxy *proxy, struct sfront_error *err)
{
	int r = 0;

	for (size_t i = 0; i < proxy->n_listeners && r == 0; i++) {
		const struct listen_config *listen = &proxy->config.listen[i];

		if (proxy->listeners[i] ? listener_is_own(proxy->listeners[i])
					: address_is_own(&listen->address))
			r = refuse_idle_exit(listen, err);
	}
	return r;
}

static int note_opened(struct proxy *proxy, struct opening *opening, struct sfront_error *err)
{
	int r = 0;

	for (size_t i = 0; i < proxy->n_listeners; i++) {
		if (proxy->listeners[i])
			continue;
		proxy->listeners[i] =
			listener_new(&opening->addresses[i], proxy->config.listen[i].nth,
				     proxy->config.options, opening->listeners[i]);
		if (!proxy->listeners[i]) {
			sfront_listener_lend(opening->listeners[i]);
			sfront_listener_close(opening->listeners[i]);
			r = out_of_memory(err);
		}
	}
	return r;
}

static int open_listeners(struct proxy *proxy, bool exits_idle, proxy_finder *find, void *data,
			  struct sfront_error *err)
{
	const struct proxy_config *config = &proxy->config;
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
		r = exits_idle ? check_idle_exit(proxy, err) : 0;
		if (r == 0)
			r = sfront_listener_open_each(opening.addresses, config->n_listen,
						      config->options, opening.listeners, err);
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

static struct proxy_limit *limit_new(void)
{
	struct proxy_limit *limit = calloc(1, sizeof(*limit));

	if (!limit)
		return NULL;
	atomic_init(&limit->refs, 1);
	atomic_init(&limit->connections.max, UINT_MAX);
	atomic_init(&limit->awaited.max, UINT_MAX);
	atomic_init(&limit->held.max, UINT_MAX);
	return limit;
}

static void limit_unref(struct proxy_limit *limit)
{
	if (!limit || atomic_fetch_sub(&limit->refs, 1) != 1)
		return;
	source_table_free(limit->sources);
	free(limit);
}

void proxy_share(struct proxy *proxy, const struct proxy *before)
{
	/* Nobody has looked for a table there before, and nobody does in this one yet. */
	if (!before->limit->sources) {
		before->limit->sources = proxy->limit->sources;
		proxy->limit->sources = NULL;
	}
	atomic_fetch_add(&before->limit->refs, 1);
	limit_unref(proxy->limit);
	proxy->limit = before->limit;
	backend_share(proxy->backend, before->backend);
	if (proxy->expansion && before->expansion)
		expansion_share(proxy->expansion, before->expansion);
}

static int open_unit(struct proxy *proxy, struct sfront_error *err)
{
	struct unit *unit;

	if (!proxy->config.unit)
		return 0;
	unit = unit_get(proxy->config.unit, proxy->home);
	if (!unit)
		return out_of_memory(err);
	backend_set_unit(proxy->backend, unit);
	return 0;
}

static bool has_service(const struct proxy_config *config)
{
	for (size_t i = 0; i < config->n_servers; i++)
		if (config->servers[i].is_srv)
			return true;
	return false;
}

static int open_backend(struct proxy *proxy, struct loop_guard *guard, struct sfront_error *err)
{
	proxy->backend = backend_new(&proxy->config, guard, err);
	if (!proxy->backend)
		return -errno;
	if (open_unit(proxy, err) < 0)
		return -ENOMEM;
	if (proxy->config.resolve_each || has_service(&proxy->config)) {
		proxy->expansion =
			expansion_new(proxy->home, &proxy->config, guard, proxy->backend);
		return proxy->expansion ? 0 : out_of_memory(err);
	}
	if (!backend_wants_prober(proxy->backend))
		return 0;
	proxy->prober = prober_new(proxy->home, proxy->backend);
	return proxy->prober ? 0 : out_of_memory(err);
}

static int open_all(struct proxy *proxy, bool exits_idle, struct loop_guard *guard,
		    proxy_finder *find, void *data, struct sfront_error *err)
{
	int r;

	proxy->limit = limit_new();
	if (!proxy->limit)
		return out_of_memory(err);
	if (proxy_config_limits_sources(&proxy->config)) {
		proxy->limit->sources = source_table_new();
		if (!proxy->limit->sources)
			return out_of_memory(err);
	}
	r = open_backend(proxy, guard, err);
	if (r < 0)
		return r;
	r = open_listeners(proxy, exits_idle, find, data, err);
	return r < 0 ? r : list_sockets(proxy, err);
}

static void proxy_free(struct proxy *proxy)
{
	for (size_t i = 0; i < proxy->n_listeners; i++)
		listener_unref(proxy->listeners[i]);
	expansion_free(proxy->expansion);
	prober_free(proxy->prober);
	backend_unref(proxy->backend);
	free(proxy->listeners);
	free(proxy->sockets);
	limit_unref(proxy->limit);
	proxy_config_clear(&proxy->config);
	free(proxy);
}

static void give_back(struct listener *listener)
{
	struct sfront_error ignored;

	if (listener_is_own(listener) || !listener->open)
		return;
	(void)sfront_listener_update(listener->open, listener->options, NULL, &ignored);
	sfront_listener_lend(listener->open);
}

void proxy_give_back(struct proxy *proxy)
{
	for (size_t i = 0; i < proxy->n_listeners; i++)
		if (proxy->listeners[i] && atomic_load(&proxy->listeners[i]->refs) == 1)
			give_back(proxy->listeners[i]);
}

static void unused_delivered(struct message *message)
{
	proxy_free(message_owner(message, struct proxy, unused));
}

struct proxy *proxy_open(struct proxy_config *config, const struct process_config *process,
			 struct loop_guard *guard, proxy_finder *find, void *data,
			 struct loop *home, struct sfront_error *err)
{
	bool exits_idle = process->exit_idle_ms != SFRONT_INFINITY_MS;
	struct proxy *proxy = calloc(1, sizeof(*proxy));

	if (!proxy) {
		out_of_memory(err);
		return NULL;
	}
	proxy->config = *config;
	proxy->access_log = process->access_log;
	proxy->home = home;
	proxy->unused.deliver = unused_delivered;
	atomic_init(&proxy->refs, 1);
	if (open_all(proxy, exits_idle, guard, find, data, err) < 0) {
		proxy->config = (struct proxy_config){ 0 }; /* the caller's still */
		proxy_give_back(proxy);
		proxy_free(proxy);
		return NULL;
	}
	*config = (struct proxy_config){ 0 };
	return proxy;
}

struct backend *proxy_backend(const struct proxy *proxy)
{
	return proxy->expansion ? expansion_backend(proxy->expansion) : backend_ref(proxy->backend);
}

void proxy_start_probes(struct proxy *proxy)
{
	if (proxy->prober)
		prober_start(proxy->prober);
	if (proxy->expansion)
		expansion_start(proxy->expansion);
}

void proxy_stop_probes(struct proxy *proxy)
{
	if (proxy->prober)
		prober_stop(proxy->prober);
	if (proxy->expansion)
		expansion_stop(proxy->expansion);
}

struct proxy *proxy_ref(struct proxy *proxy)
{
	atomic_fetch_add(&proxy->refs, 1);
	return proxy;
}

void proxy_unref(struct proxy *proxy)
{
	if (atomic_fetch_sub(&proxy->refs, 1) == 1)
		mailbox_post(&proxy->home->mailbox, &proxy->unused);
}

void proxy_drop(struct proxy *proxy)
{
	if (proxy && atomic_fetch_sub(&proxy->refs, 1) == 1)
		proxy_free(proxy);
}

void proxy_announce(const struct proxy *proxy, bool only_new)
{
	for (size_t i = 0; i < proxy->n_sockets; i++) {
		const struct listener_socket *socket = proxy_socket_at(proxy, i);

		if (only_new && atomic_load(&proxy->sockets[i].listener->refs) > 1)
			continue;
		log_make_room();
		log_line(socket->is_single ? LOG_DEBUG : LOG_INFO, "%s %s, backend %s",
			 socket->is_single ? "serving" : "listening on", socket->text,
			 backend_text(proxy->backend));
	}
}

static bool trusts_everybody(const struct source_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct source *source = &list->rules[i].source;

		if (source->kind == SOURCE_ANY ||
		    (source->kind == SOURCE_PREFIX && source->prefix.bits == 0))
			return true;
	}
	return false;
}

/* Whether others than this machine's own reach it by TCP. */
static bool is_open_to_others(const struct listener_socket *socket)
{
	const struct sfront_sockaddr *addr = &socket->addr;

	if (addr->len == 0)
		return false;
	if (addr->sa.any.sa_family == AF_INET)
		return ntohl(addr->sa.in.sin_addr.s_addr) >> 24 != 127;
	return addr->sa.any.sa_family == AF_INET6 && !IN6_IS_ADDR_LOOPBACK(&addr->sa.in6.sin6_addr);
}

void proxy_warn_of_trust(const struct proxy *proxy)
{
	if (!trusts_everybody(&proxy->config.accept_proxy_protocol))
		return;
	for (size_t i = 0; i < proxy->n_sockets; i++) {
		const struct listener_socket *socket = proxy_socket_at(proxy, i);

		if (is_open_to_others(socket))
			log_line(LOG_WARNING,
				 "accept-proxy-protocol: whoever reaches %s may claim to be "
				 "anybody; name the proxies in front of it instead, such as "
				 "192.0.2.7 or loopback",
				 socket->text);
	}
}
