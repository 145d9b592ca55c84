/* SPDX-License-Identifier: MIT */
/*
 * Opens all that a configuration names, or nothing.  Between proxy.c, which
 * opens one proxy, and socket_name.h and reload.c, which say what is open already.
 */
#include "daemon/proxy/generation.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/hash.h"
#include "conf/spread.h"
#include "daemon/backend/backend.h"
#include "daemon/backend/loop_guard.h"
#include "daemon/base/counters.h"
#include "daemon/base/log.h"
#include "daemon/proxy/status_section.h"

static void listener_warned(void *data, const char *message)
{
	(void)data;
	log_line(LOG_WARNING, "%s", message);
}

static void effect_missing(void *data, const struct place *place, const char *message)
{
	(void)data;
	if (place->file)
		log_line(LOG_WARNING, "%s:%u: %s", place->file, place->line, message);
	else
		log_line(LOG_WARNING, "%s", message);
}

void generation_warn(const struct config *config)
{
	struct problems warnings = { .report = effect_missing };

	config_check_effects(config, &warnings);
}

static int out_of_memory(struct sfront_error *err)
{
	snprintf(err->message, sizeof(err->message), "out of memory");
	return -ENOMEM;
}

/* A connection to one of our own would come back to us, and again. */
static int check_loop(const struct generation *generation, const struct proxy *proxy,
		      struct sfront_error *err)
{
	const struct server *server = NULL;
	const char *listener = NULL;

	for (size_t i = 0; i < backend_n_servers(proxy->backend) && !listener; i++) {
		const struct sfront_sockaddr *addr;

		server = backend_server(proxy->backend, i);
		addr = resolver_first(server->resolver);
		listener = addr ? loop_guard_find(generation->guard, addr) : NULL;
	}
	if (!listener)
		return 0;
	snprintf(err->message, sizeof(err->message),
		 "backend %s is our own listener %s: connections would go round for ever; name "
		 "another service",
		 server->text, listener);
	return -ELOOP;
}

/* Puts the place in front of what is wrong with the proxy. */
static int failed_in(const struct proxy_config *proxy, int error, struct sfront_error *err)
{
	const struct sfront_error what = *err;

	if (proxy->place.file)
		snprintf(err->message, sizeof(err->message), "%s:%u: [proxy %s]: %.600s",
			 proxy->place.file, proxy->place.line, proxy->name, what.message);
	return error;
}

static int failed_in_status(const struct status_config *status, struct sfront_error *err)
{
	const struct sfront_error what = *err;

	if (status->place.file)
		snprintf(err->message, sizeof(err->message), "%s:%u: [status]: %.600s",
			 status->place.file, status->place.line, what.message);
	return -EIO;
}

static int note_bound(struct generation *generation, const struct proxy *proxy,
		      struct sfront_error *err)
{
	for (size_t i = 0; i < proxy->n_sockets; i++) {
		const struct listener_socket *socket = proxy_socket_at(proxy, i);
		const struct sfront_sockaddr local =
			listener_local(proxy->sockets[i].listener, proxy->sockets[i].index);

		if (socket->is_elsewhere || local.len == 0)
			continue;
		if (loop_guard_add(generation->guard, &local, socket->takes_ipv4, socket->text) < 0)
			return out_of_memory(err);
	}
	return 0;
}

static int open_proxy(struct generation *generation, struct proxy_config *config,
		      const struct generation_source *source, struct sfront_error *err)
{
	struct proxy *proxy;

	sfront_options_on_warning(config->options, config->is_further ? NULL : listener_warned,
				  NULL);
	proxy = proxy_open(config, &generation->process, generation->guard, source->find,
			   source->data, source->home, err);
	if (!proxy)
		return failed_in(config, -EIO, err);
	generation->proxies[generation->n_proxies++] = proxy;
	if (!proxy->config.is_further)
		proxy_warn_of_trust(proxy);
	return note_bound(generation, proxy, err);
}

static int open_status(struct generation *generation, struct config *config,
		       const struct generation_source *source, struct sfront_error *err)
{
	if (!config->status)
		return 0;
	sfront_options_on_warning(config->status->options, listener_warned, NULL);
	generation->status = status_section_open(config->status, source->find, source->data, err);
	if (!generation->status)
		return failed_in_status(config->status, err);
	config->status = NULL; /* taken */
	return 0;
}

/* ---- listeners by their address ---- */

struct listener_key {
	uint64_t hash; /* of the address and the number */
	struct listener *listener;
};

static uint64_t hash_of(const char *line, unsigned int nth)
{
	return hash_bytes(HASH_START + nth, line, strlen(line));
}

static int compare_keys(const void *a, const void *b)
{
	const struct listener_key *one = a, *other = b;

	return one->hash < other->hash ? -1 : one->hash > other->hash;
}

static bool add_key(struct listener *listener, void *data)
{
	struct generation *generation = data;

	generation->by_address[generation->n_listeners++] = (struct listener_key){
		.hash = hash_of(listener->line, listener->nth),
		.listener = listener,
	};
	return true;
}

static bool count_one(struct listener *listener, void *data)
{
	(void)listener;
	(void)data;
	return true;
}

static int sort_listeners(struct generation *generation, struct sfront_error *err)
{
	size_t n = generation_each(generation, count_one, NULL);

	generation->by_address = calloc(n, sizeof(*generation->by_address));
	if (!generation->by_address)
		return out_of_memory(err);
	(void)generation_each(generation, add_key, generation);
	qsort(generation->by_address, n, sizeof(*generation->by_address), compare_keys);
	return 0;
}

struct listener *generation_listener(const struct generation *generation,
				     const struct sfront_address *address, unsigned int nth)
{
	const struct listener_key *keys = generation->by_address, *key;
	char line[SFRONT_ADDRESS_TEXT_SIZE];
	struct listener_key wanted;

	sfront_address_format(address, line, sizeof(line));
	wanted.hash = hash_of(line, nth);
	key = bsearch(&wanted, keys, generation->n_listeners, sizeof(*keys), compare_keys);
	if (!key)
		return NULL;
	while (key > keys && key[-1].hash == wanted.hash)
		key--;
	for (; key < keys + generation->n_listeners && key->hash == wanted.hash; key++)
		if (key->listener->open && key->listener->nth == nth &&
		    strcmp(key->listener->line, line) == 0)
			return key->listener;
	return NULL;
}

/* ---- opening ---- */

static int open_all(struct generation *generation, struct config *config,
		    const struct generation_source *source, struct sfront_error *err)
{
	int r;

	for (size_t i = 0; i < config->n_proxies; i++) {
		r = open_proxy(generation, &config->proxies[i], source, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < generation->n_proxies; i++) {
		r = check_loop(generation, generation->proxies[i], err);
		if (r < 0)
			return failed_in(&generation->proxies[i]->config, r, err);
	}
	r = open_status(generation, config, source, err);
	return r < 0 ? r : sort_listeners(generation, err);
}

static struct generation *generation_new(const struct config *config, const char *file)
{
	static unsigned int n_opened; /* one after the other, in whichever thread */
	struct generation *generation = calloc(1, sizeof(*generation));

	if (!generation)
		return NULL;
	generation->process = config->process;
	generation->file = file;
	generation->number = n_opened++;
	generation->opened = time(NULL);
	generation->guard = loop_guard_new();
	generation->proxies = calloc(config->n_proxies, sizeof(struct proxy *));
	generation->n_proxies = 0; /* so far */
	if (generation->guard && generation->proxies)
		return generation;
	generation_free(generation);
	return NULL;
}

/* Without them the status shows less, and everything else goes on. */
static void start_counters(const struct config *config, const struct generation_source *source)
{
	int r = 0;

	if (config->n_proxies > 0 && config->proxies[0].is_counted)
		r = counters_open(source->n_workers);
	if (r < 0)
		log_line(LOG_WARNING, "[status]: nothing is counted: %s", strerror(-r));
}

struct generation *generation_open(struct config *config, const char *file,
				   const struct generation_source *source, struct sfront_error *err)
{
	struct generation *generation;

	generation_warn(config);
	start_counters(config, source);
	generation = config_spread(config) == 0 ? generation_new(config, file) : NULL;
	if (!generation) {
		out_of_memory(err);
	} else if (open_all(generation, config, source, err) < 0) {
		generation_give_back(generation);
		generation_free(generation);
		generation = NULL;
	}
	config_clear(config);
	return generation;
}

void generation_give_back(struct generation *generation)
{
	for (size_t i = 0; i < generation->n_proxies; i++)
		proxy_give_back(generation->proxies[i]);
	status_section_give_back(generation->status);
}

void generation_stop_probes(struct generation *generation)
{
	for (size_t i = 0; generation->proxies && i < generation->n_proxies; i++)
		proxy_stop_probes(generation->proxies[i]);
}

void generation_start_probes(struct generation *generation)
{
	for (size_t i = 0; i < generation->n_proxies; i++)
		proxy_start_probes(generation->proxies[i]);
}

void generation_free(struct generation *generation)
{
	generation_stop_probes(generation);
	for (size_t i = 0; generation->proxies && i < generation->n_proxies; i++)
		proxy_drop(generation->proxies[i]);
	free(generation->proxies);
	status_section_free(generation->status);
	free(generation->by_address);
	loop_guard_unref(generation->guard);
	free(generation);
}

size_t generation_each_of_proxies(struct generation *generation, listener_visitor *visit,
				  void *data)
{
	size_t n = 0;

	for (size_t i = 0; i < generation->n_proxies; i++)
		for (size_t j = 0; j < generation->proxies[i]->n_listeners; j++)
			n += visit(generation->proxies[i]->listeners[j], data);
	return n;
}

size_t generation_each_of_status(struct generation *generation, listener_visitor *visit, void *data)
{
	const struct status_section *status = generation->status;
	size_t n = 0;

	for (size_t i = 0; status && i < status->n_listeners; i++)
		n += visit(status->listeners[i], data);
	return n;
}

size_t generation_each(struct generation *generation, listener_visitor *visit, void *data)
{
	return generation_each_of_proxies(generation, visit, data) +
	       generation_each_of_status(generation, visit, data);
}

static int compare_names(const void *a, const void *b)
{
	const struct proxy *const *one = a, *const *other = b;

	return strcmp((*one)->config.name, (*other)->config.name);
}

void generation_share(struct generation *next, const struct generation *before)
{
	struct proxy **sorted = calloc(before->n_proxies, sizeof(struct proxy *));

	if (!sorted) /* they are counted apart */
		return;
	memcpy(sorted, before->proxies, before->n_proxies * sizeof(struct proxy *));
	qsort(sorted, before->n_proxies, sizeof(struct proxy *), compare_names);
	for (size_t i = 0; i < next->n_proxies; i++) {
		struct proxy **same = bsearch(&next->proxies[i], sorted, before->n_proxies,
					      sizeof(struct proxy *), compare_names);

		if (same)
			proxy_share(next->proxies[i], *same);
	}
	free(sorted);
}

static void note_newest(struct listener *listener, const struct generation *generation,
			const struct sfront_options *options)
{
	listener->newest = generation;
	listener->options = options;
}

void generation_be_replaced(struct generation *generation)
{
	for (size_t i = 0; i < generation->n_proxies; i++)
		proxy_be_replaced(generation->proxies[i]);
}

void generation_become_newest(struct generation *generation)
{
	const struct status_section *status = generation->status;

	for (size_t i = 0; i < generation->n_proxies; i++) {
		struct proxy *proxy = generation->proxies[i];

		for (size_t j = 0; j < proxy->n_listeners; j++)
			note_newest(proxy->listeners[j], generation, proxy->config.options);
	}
	for (size_t i = 0; status && i < status->n_listeners; i++)
		note_newest(status->listeners[i], generation, status->config->options);
}
