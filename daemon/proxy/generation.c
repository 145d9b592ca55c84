/* SPDX-License-Identifier: MIT */
/*
 * Opens all that a configuration names, or nothing.  Between proxy.c, which
 * opens one proxy, and socket_name.h and reload.c, which say what is open already.
 */
#include "daemon/proxy/generation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/loop_guard.h"
#include "daemon/base/log.h"

static void listener_warned(void *data, const char *message)
{
	(void)data;
	log_line(LOG_WARNING, "%s", message);
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
		 "backend %s is our own listener %s: connections would go round for ever; name the "
		 "service behind the proxy",
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

static int note_bound(struct generation *generation, const struct proxy *proxy,
		      struct sfront_error *err)
{
	for (size_t i = 0; i < proxy->n_sockets; i++) {
		const struct listener_socket *socket = proxy_socket_at(proxy, i);

		if (socket->is_elsewhere)
			continue;
		if (loop_guard_add(generation->guard, &socket->addr, socket->takes_ipv4,
				   socket->text) < 0)
			return out_of_memory(err);
	}
	return 0;
}

static int open_proxy(struct generation *generation, struct proxy_config *config,
		      const struct generation_source *source, struct sfront_error *err)
{
	struct proxy *proxy;

	sfront_options_on_warning(config->options, listener_warned, NULL);
	proxy = proxy_open(config, generation->process.access_log, generation->guard, source->find,
			   source->data, source->home, err);
	if (!proxy)
		return failed_in(config, -EIO, err);
	generation->proxies[generation->n_proxies++] = proxy;
	proxy_warn_of_trust(proxy);
	return note_bound(generation, proxy, err);
}

static int open_proxies(struct generation *generation, struct config *config,
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
	return 0;
}

static struct generation *generation_new(const struct config *config, const char *file)
{
	struct generation *generation = calloc(1, sizeof(*generation));

	if (!generation)
		return NULL;
	generation->process = config->process;
	generation->file = file;
	generation->guard = loop_guard_new();
	generation->proxies = calloc(config->n_proxies, sizeof(struct proxy *));
	if (generation->guard && generation->proxies)
		return generation;
	generation_free(generation);
	return NULL;
}

struct generation *generation_open(struct config *config, const char *file,
				   const struct generation_source *source, struct sfront_error *err)
{
	struct generation *generation = generation_new(config, file);

	if (!generation) {
		out_of_memory(err);
	} else if (open_proxies(generation, config, source, err) < 0) {
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
	loop_guard_unref(generation->guard);
	free(generation);
}

struct wanted {
	const struct sfront_address *address;
	unsigned int nth;
	struct listener *found;
};

static bool note_if_wanted(struct listener *listener, void *data)
{
	struct wanted *wanted = data;

	if (!wanted->found && listener->open && listener->nth == wanted->nth &&
	    sfront_address_equal(&listener->address, wanted->address))
		wanted->found = listener;
	return wanted->found == listener;
}

struct listener *generation_listener(const struct generation *generation,
				     const struct sfront_address *address, unsigned int nth)
{
	struct wanted wanted = { .address = address, .nth = nth };

	(void)generation_each((struct generation *)generation, note_if_wanted, &wanted);
	return wanted.found;
}

size_t generation_each(struct generation *generation,
		       bool (*visit)(struct listener *listener, void *data), void *data)
{
	size_t n = 0;

	for (size_t i = 0; i < generation->n_proxies; i++)
		for (size_t j = 0; j < generation->proxies[i]->n_listeners; j++)
			n += visit(generation->proxies[i]->listeners[j], data);
	return n;
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

void generation_become_newest(struct generation *generation)
{
	for (size_t i = 0; i < generation->n_proxies; i++) {
		struct proxy *proxy = generation->proxies[i];

		for (size_t j = 0; j < proxy->n_listeners; j++) {
			proxy->listeners[j]->newest = generation;
			proxy->listeners[j]->options = proxy->config.options;
		}
	}
}
