/* SPDX-License-Identifier: MIT */
/*
 * Opens and closes what a proxy's configuration names.  Between conf/ and the
 * workers; whole configurations are generation.c's.
 */
#include "daemon/proxy/proxy.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/expansion.h"
#include "daemon/backend/loop_guard.h"
#include "daemon/backend/probe.h"
#include "daemon/backend/unit.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "daemon/proxy/proxy_counts.h"
#include "daemon/proxy/source_table.h"

static int out_of_memory(struct sfront_error *err)
{
	snprintf(err->message, sizeof(err->message), "out of memory");
	return -ENOMEM;
}

static int open_listeners(struct proxy *proxy, bool exits_idle, listener_finder *find, void *data,
			  struct sfront_error *err)
{
	const struct proxy_config *config = &proxy->config;
	const struct listen_section lines = {
		.lines = config->listen,
		.n = config->n_listen,
		.options = config->options,
	};

	proxy->listeners = calloc(config->n_listen, sizeof(struct listener *));
	if (!proxy->listeners)
		return out_of_memory(err);
	proxy->n_listeners = config->n_listen;
	return listeners_open(&lines, exits_idle, find, data, proxy->listeners, err);
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
				(struct proxy_socket){ .listener = proxy->listeners[i],
						       .index = j };
	return 0;
}

/* Those of one name share their counts: the first of the proxy tells of them. */
static void get_counts_of_socket(struct proxy *proxy, size_t index)
{
	struct counters *counts = listener_counts_get(proxy_socket_at(proxy, index)->text);

	proxy->sockets[index].counts = counts;
	if (counts)
		proxy->sockets[index].is_repeated =
			atomic_exchange(&counts->teller, proxy) == proxy;
}

static void get_counts(struct proxy *proxy)
{
	if (!proxy->config.is_counted)
		return;
	proxy->counts = proxy_counts_get(proxy->config.name);
	for (size_t i = 0; i < proxy->n_sockets; i++)
		get_counts_of_socket(proxy, i);
}

/* Another proxy may have its place in memory. */
static void put_counts_of_socket(const struct proxy *proxy, size_t index)
{
	struct counters *counts = proxy->sockets[index].counts;
	const void *teller = proxy;

	if (counts)
		(void)atomic_compare_exchange_strong(&counts->teller, &teller, NULL);
	counters_put(counts);
}

static void put_counts(struct proxy *proxy)
{
	for (size_t i = 0; i < proxy->n_sockets; i++)
		put_counts_of_socket(proxy, i);
	counters_put(proxy->counts);
}

static struct proxy_limit *limit_new(void)
{
	struct proxy_limit *limit = calloc(1, sizeof(*limit));

	if (!limit)
		return NULL;
	atomic_init(&limit->refs, 1);
	pthread_mutex_init(&limit->lock, NULL);
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
	pthread_mutex_destroy(&limit->lock);
	free(limit);
}

static void limit_set_newest(struct proxy_limit *limit, struct proxy *proxy)
{
	pthread_mutex_lock(&limit->lock);
	atomic_store(&limit->newest, proxy);
	pthread_mutex_unlock(&limit->lock);
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
	limit_set_newest(proxy->limit, proxy);
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
		    listener_finder *find, void *data, struct sfront_error *err)
{
	int r;

	proxy->limit = limit_new();
	if (!proxy->limit)
		return out_of_memory(err);
	atomic_init(&proxy->limit->newest, proxy);
	if (proxy_config_limits_sources(&proxy->config)) {
		proxy->limit->sources = source_table_new();
		if (!proxy->limit->sources)
			return out_of_memory(err);
	}
	r = open_backend(proxy, guard, err);
	if (r < 0)
		return r;
	r = open_listeners(proxy, exits_idle, find, data, err);
	if (r == 0)
		r = list_sockets(proxy, err);
	if (r == 0)
		get_counts(proxy);
	return r;
}

static void proxy_free(struct proxy *proxy)
{
	put_counts(proxy);
	if (proxy->limit && atomic_load(&proxy->limit->newest) == proxy)
		limit_set_newest(proxy->limit, NULL);
	listeners_free(proxy->listeners, proxy->n_listeners);
	expansion_free(proxy->expansion);
	prober_free(proxy->prober);
	backend_unref(proxy->backend);
	free(proxy->sockets);
	limit_unref(proxy->limit);
	proxy_config_clear(&proxy->config);
	free(proxy);
}

void proxy_give_back(struct proxy *proxy)
{
	listeners_give_back(proxy->listeners, proxy->n_listeners);
}

static void unused_delivered(struct message *message)
{
	proxy_free(message_owner(message, struct proxy, unused));
}

/* What was opened has the rest of it: there may be thousands. */
static void forget_lines(struct proxy *proxy)
{
	struct proxy_config *config = &proxy->config;

	free(config->listen);
	config->listen = NULL;
	config->n_listen = 0;
	if (proxy->expansion) /* goes by those of the servers */
		return;
	free(config->servers);
	config->servers = NULL;
	config->n_servers = 0;
}

struct proxy *proxy_open(struct proxy_config *config, const struct process_config *process,
			 struct loop_guard *guard, listener_finder *find, void *data,
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
	forget_lines(proxy);
	return proxy;
}

/* Of this very proxy. */
static struct backend *own_backend(const struct proxy *proxy)
{
	return proxy->expansion ? expansion_backend(proxy->expansion) : backend_ref(proxy->backend);
}

/* A client's header is made before it has a server, and not made anew. */
static bool takes_clients_of(const struct proxy *newest, const struct proxy *proxy)
{
	return newest && newest->config.send_proxy_protocol == proxy->config.send_proxy_protocol;
}

/* As its lines have it: for a name, whatever that stands for. */
static struct backend *configured_backend(const struct proxy *proxy)
{
	return backend_ref(proxy->backend);
}

/* @of: which one of the newest proxy's.  NULL: it takes no client of @proxy. */
static struct backend *newest_backend(const struct proxy *proxy,
				      struct backend *(*of)(const struct proxy *newest))
{
	struct proxy_limit *limit = proxy->limit;
	struct backend *backend = NULL;
	const struct proxy *newest;

	pthread_mutex_lock(&limit->lock); /* it lives that long */
	newest = atomic_load(&limit->newest);
	if (takes_clients_of(newest, proxy))
		backend = of(newest);
	pthread_mutex_unlock(&limit->lock);
	return backend;
}

static struct backend *find_backend(const struct proxy *proxy,
				    struct backend *(*of)(const struct proxy *newest))
{
	struct backend *backend = NULL;

	if (atomic_load(&proxy->limit->newest) != proxy)
		backend = newest_backend(proxy, of);
	return backend ? backend : of(proxy);
}

struct backend *proxy_backend(const struct proxy *proxy)
{
	return find_backend(proxy, own_backend);
}

struct backend *proxy_configured_backend(const struct proxy *proxy)
{
	return find_backend(proxy, configured_backend);
}

void proxy_be_replaced(struct proxy *proxy)
{
	struct backend *before, *next;

	if (atomic_load(&proxy->limit->newest) == proxy)
		return;
	next = newest_backend(proxy, own_backend);
	if (!next)
		return;
	before = own_backend(proxy);
	backend_be_replaced(before, next);
	backend_unref(before);
	backend_unref(next);
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

void proxy_warn_of_trust(const struct proxy *proxy)
{
	if (!trusts_everybody(&proxy->config.accept_proxy_protocol))
		return;
	for (size_t i = 0; i < proxy->n_sockets; i++) {
		const struct proxy_socket *socket = &proxy->sockets[i];

		if (listener_is_open_to_others(socket->listener, socket->index))
			log_line(LOG_WARNING,
				 "accept-proxy-protocol: whoever reaches %s may claim to be "
				 "anybody; name the proxies in front of it instead, such as "
				 "192.0.2.7 or loopback",
				 proxy_socket_at(proxy, i)->text);
	}
}
