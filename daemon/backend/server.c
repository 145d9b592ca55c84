/* SPDX-License-Identifier: MIT */
/*
 * What a server is: see server.h.
 */
#include "daemon/backend/server.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/hash.h"
#include "daemon/base/counters.h"

static enum sfront_stream stream_of(enum sfront_kind kind)
{
	switch (kind) {
	case SFRONT_UNIX:
	case SFRONT_ABSTRACT:
		return SFRONT_STREAM_UNIX;
	case SFRONT_VSOCK:
		return SFRONT_STREAM_VSOCK;
	default:
		return SFRONT_STREAM_TCP;
	}
}

uint64_t server_hash(const char *text, size_t length)
{
	return hash_bytes(HASH_START, text, length);
}

static struct server_state *state_new(bool trusts_checks)
{
	struct server_state *state = calloc(1, sizeof(*state));

	if (!state)
		return NULL;
	atomic_init(&state->refs, 1);
	health_init(&state->health, trusts_checks);
	return state;
}

static void state_unref(struct server_state *state)
{
	if (!state || atomic_fetch_sub(&state->refs, 1) != 1)
		return;
	health_clear(&state->health);
	free(state);
}

int server_init(struct server *server, const struct server_config *config,
		const struct dial_options *dial, bool trusts_checks, struct loop_guard *guard,
		struct sfront_error *err)
{
	char text[SERVER_TEXT_SIZE];

	pthread_mutex_init(&server->lock, NULL);
	server_format(config, text, sizeof(text));
	server->text = strdup(text);
	server->key = server_hash(text, strlen(text));
	server->stream = stream_of(config->address.kind);
	server->weight = config->weight;
	server->is_backup = config->is_backup;
	server->priority = config->priority;
	server->dial = *dial;
	server->dial.mux_port = config->mux_port;
	server->state = state_new(trusts_checks);
	if (!server->text || !server->state) {
		snprintf(err->message, sizeof(err->message), "out of memory");
		return -ENOMEM;
	}
	atomic_store(&server->state->max, config->max > 0 ? (unsigned int)config->max : UINT_MAX);
	if (config->is_srv)
		server->resolver = resolver_new_srv(config->address.u.tcp.host, guard, err);
	else
		server->resolver = resolver_new(&config->address, guard, err);
	return server->resolver ? 0 : -errno;
}

void server_clear(struct server *server)
{
	counters_put(server->counts);
	resolver_unref(server->resolver);
	state_unref(server->state);
	pthread_mutex_destroy(&server->lock);
	free(server->answered);
	free(server->text);
}

void server_share(struct server *server, const struct server *before)
{
	atomic_fetch_add(&before->state->refs, 1);
	atomic_store(&before->state->max, atomic_load(&server->state->max));
	resolver_share(server->resolver, before->resolver);
	health_share(&before->state->health, &server->state->health);
	state_unref(server->state);
	server->state = before->state;
}

bool server_take(struct server *server)
{
	unsigned int active = server_active(server);

	while (active < atomic_load_explicit(&server->state->max, memory_order_relaxed))
		if (atomic_compare_exchange_weak(&server->state->active, &active, active + 1))
			return true;
	return false;
}

void server_give(struct server *server)
{
	atomic_fetch_sub(&server->state->active, 1);
}

void server_note_address(struct server *server, const struct sfront_sockaddr *addr)
{
	pthread_mutex_lock(&server->lock);
	if (!server->answered)
		server->answered = malloc(sizeof(*server->answered));
	if (server->answered) /* else the first of them is tried first */
		*server->answered = *addr;
	pthread_mutex_unlock(&server->lock);
}

unsigned int server_preferred(struct server *server, const struct address_list *list)
{
	unsigned int index = 0;

	if (list->n == 1)
		return 0;
	pthread_mutex_lock(&server->lock);
	if (server->answered)
		index = address_list_find(list, server->answered);
	pthread_mutex_unlock(&server->lock);
	return index < list->n ? index : 0;
}
