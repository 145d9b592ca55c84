/* SPDX-License-Identifier: MIT */
/*
 * Opens all that a configuration names, or nothing.  Between proxy.c, which
 * opens one proxy, and socket_name.h and reload.c, which say what is open already.
 */
#include "daemon/proxy/generation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/backend/backend.h"
#include "daemon/base/log.h"
#include "daemon/worker/acceptor.h"
#include "daemon/worker/process.h"

static void listener_warned(void *data, const char *message)
{
	(void)data;
	log_line(LOG_WARNING, "%s", message);
}

/* A connection to one would come back to us, and again. */
static int check_loop(const struct generation *generation, const struct proxy *proxy,
		      struct sfront_error *err)
{
	const struct address_list *list = backend_literal(proxy->backend);
	const struct listener_socket *socket = NULL;

	if (!list)
		return 0;
	for (size_t i = 0; i < generation->n_proxies && !socket; i++)
		socket = proxy_reached(&generation->proxies[i], &list->addresses[0]);
	if (!socket)
		return 0;
	snprintf(err->message, sizeof(err->message),
		 "backend %s is our own listener %s: connections would go round for ever; name the "
		 "service behind the proxy",
		 backend_text(proxy->backend), socket->text);
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

static int open_proxies(struct generation *generation, proxy_finder *find, void *data,
			struct sfront_error *err)
{
	const struct config *config = &generation->config;
	int r;

	for (size_t i = 0; i < config->n_proxies; i++) {
		sfront_options_on_warning(config->proxies[i].options, listener_warned, NULL);
		r = proxy_open(&generation->proxies[generation->n_proxies++], &config->proxies[i],
			       generation, find, data, err);
		if (r < 0)
			return failed_in(&config->proxies[i], r, err);
	}
	for (size_t i = 0; i < generation->n_proxies; i++) {
		r = check_loop(generation, &generation->proxies[i], err);
		if (r < 0)
			return failed_in(&config->proxies[i], r, err);
	}
	return 0;
}

void generation_free(struct generation *generation)
{
	for (size_t i = 0; i < generation->n_proxies; i++)
		proxy_close(&generation->proxies[i]);
	free(generation->proxies);
	free(generation->sources);
	config_clear(&generation->config);
	free(generation);
}

static void unused_delivered(struct message *message)
{
	generation_free(
		(struct generation *)((char *)message - offsetof(struct generation, unused)));
}

/* With the options that it had, which its owner goes on with. */
static void give_back(struct listener *listener)
{
	struct sfront_error ignored;

	if (listener_is_own(listener) || !listener->open)
		return;
	(void)sfront_listener_update(listener->open, listener->options, NULL, &ignored);
	sfront_listener_lend(listener->open);
}

void generation_give_back(struct generation *generation)
{
	for (size_t i = 0; i < generation->n_proxies; i++) {
		struct proxy *proxy = &generation->proxies[i];

		for (size_t j = 0; j < proxy->n_listeners; j++)
			if (proxy->listeners[j] && atomic_load(&proxy->listeners[j]->refs) == 1)
				give_back(proxy->listeners[j]);
	}
}

struct generation *generation_open(struct process *process, struct config *config, const char *file,
				   proxy_finder *find, void *data, struct sfront_error *err)
{
	struct generation *generation = calloc(1, sizeof(*generation));

	snprintf(err->message, sizeof(err->message), "out of memory");
	if (!generation) {
		config_clear(config);
		return NULL;
	}
	atomic_init(&generation->refs, 1);
	generation->process = process;
	generation->unused.deliver = unused_delivered;
	generation->config = *config;
	generation->file = file;
	*config = (struct config){ 0 };
	generation->proxies = calloc(generation->config.n_proxies, sizeof(*generation->proxies));
	if (!generation->proxies) {
		generation_free(generation);
		return NULL;
	}
	if (open_proxies(generation, find, data, err) < 0)
		goto fail;
	if (acceptor_prepare(generation) == 0)
		return generation;
	snprintf(err->message, sizeof(err->message), "out of memory");

fail:
	generation_give_back(generation);
	generation_free(generation);
	return NULL;
}

struct generation *generation_ref(struct generation *generation)
{
	atomic_fetch_add(&generation->refs, 1);
	return generation;
}

void generation_unref(struct generation *generation)
{
	if (generation && atomic_fetch_sub(&generation->refs, 1) == 1)
		mailbox_post(&generation->process->mailbox, &generation->unused);
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
		for (size_t j = 0; j < generation->proxies[i].n_listeners; j++)
			n += visit(generation->proxies[i].listeners[j], data);
	return n;
}

void generation_become_newest(struct generation *generation)
{
	for (size_t i = 0; i < generation->n_proxies; i++) {
		struct proxy *proxy = &generation->proxies[i];

		for (size_t j = 0; j < proxy->n_listeners; j++) {
			proxy->listeners[j]->newest = generation;
			proxy->listeners[j]->options = proxy->config->options;
		}
	}
}

bool generation_listens_on(const struct generation *generation, const struct sfront_sockaddr *addr)
{
	for (size_t i = 0; i < generation->n_proxies; i++)
		if (proxy_reached(&generation->proxies[i], addr))
			return true;
	return false;
}
