/* SPDX-License-Identifier: MIT */
/*
 * What a backend is: see backend.h.
 */
#include "daemon/backend/backend.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/backend/dial_source.h"
#include "daemon/base/log.h"

struct backend {
	atomic_uint refs;
	char text[SERVER_TEXT_SIZE];
	struct backend_settings settings;
	enum sfront_stream stream;
	struct resolver *resolver;  /* a reference */
	struct loop_guard *guard;   /* a reference */
	struct dial_source *source; /* owned; NULL: the system chooses */
	struct log_limit silence;   /* of what the log hears of that */
	atomic_bool is_silent;      /* the log has heard that it does not answer */

	pthread_mutex_t lock;            /* guards what follows */
	struct sfront_sockaddr answered; /* the address that did so last; len 0: none has */
};

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

static bool choose_source(struct backend *backend, const struct backend_source *config,
			  struct sfront_error *err)
{
	if (config->n == 0 && !config->is_client)
		return true;
	backend->source = dial_source_new(config, err);
	backend->settings.dial.source = backend->source;
	return backend->source != NULL;
}

struct backend *backend_new(const struct proxy_config *config, struct loop_guard *guard,
			    struct sfront_error *err)
{
	struct backend *backend = calloc(1, sizeof(*backend));
	int error;

	snprintf(err->message, sizeof(err->message), "out of memory");
	if (!backend)
		return NULL;
	atomic_init(&backend->refs, 1);
	pthread_mutex_init(&backend->lock, NULL);
	backend->settings = (struct backend_settings){
		.connect_timeout_ms = config->connect_timeout_ms,
		.connect_retry = config->connect_retry,
		.dial = {
			.nodelay = config->backend_nodelay,
			.keepalive = config->backend_keepalive,
			.user_timeout_ms = config->backend_user_timeout_ms,
			.guard = guard,
			.mux_port = config->backend.mux_port,
		},
	};
	backend->guard = loop_guard_ref(guard);
	backend->stream = stream_of(config->backend.address.kind);
	server_format(&config->backend, backend->text, sizeof(backend->text));
	if (choose_source(backend, &config->backend_source, err))
		backend->resolver = resolver_new(&config->backend.address, guard, err);
	if (backend->resolver)
		return backend;
	error = errno;
	backend_unref(backend);
	errno = error;
	return NULL;
}

struct backend *backend_ref(struct backend *backend)
{
	atomic_fetch_add(&backend->refs, 1);
	return backend;
}

void backend_unref(struct backend *backend)
{
	if (!backend || atomic_fetch_sub(&backend->refs, 1) != 1)
		return;
	resolver_unref(backend->resolver);
	loop_guard_unref(backend->guard);
	dial_source_free(backend->source);
	pthread_mutex_destroy(&backend->lock);
	free(backend);
}

const char *backend_text(const struct backend *backend)
{
	return backend->text;
}

enum sfront_stream backend_stream(const struct backend *backend)
{
	return backend->stream;
}

const struct backend_settings *backend_settings(const struct backend *backend)
{
	return &backend->settings;
}

bool backend_wants_client(const struct backend *backend)
{
	return dial_source_is_client(backend->source);
}

struct resolver *backend_resolver(const struct backend *backend)
{
	return backend->resolver;
}

void backend_note_failure(struct backend *backend, const char *reason)
{
	uint64_t patience_ms = backend->settings.connect_timeout_ms;
	unsigned int ignored;
	char patience[64] = " without end";

	/* One that comes and goes with every client is told of once a second. */
	if (atomic_load(&backend->is_silent) || !log_limit_passes(&backend->silence, &ignored) ||
	    atomic_exchange(&backend->is_silent, true))
		return;
	if (patience_ms != SFRONT_INFINITY_MS)
		snprintf(patience, sizeof(patience), " for up to %.15g s",
			 (double)patience_ms / 1000);
	log_line(LOG_WARNING, "backend %s cannot be reached (%s): trying again%s", backend->text,
		 reason, patience);
}

void backend_note_success(struct backend *backend, const struct sfront_sockaddr *addr)
{
	if (atomic_load_explicit(&backend->is_silent, memory_order_relaxed) &&
	    atomic_exchange(&backend->is_silent, false))
		log_line(LOG_NOTICE, "backend %s answers", backend->text);
	if (!addr)
		return;
	pthread_mutex_lock(&backend->lock);
	backend->answered = *addr;
	pthread_mutex_unlock(&backend->lock);
}

unsigned int backend_preferred(struct backend *backend, const struct address_list *list)
{
	unsigned int index = 0;

	if (list->n == 1)
		return 0;
	pthread_mutex_lock(&backend->lock);
	if (backend->answered.len > 0)
		index = address_list_find(list, &backend->answered);
	pthread_mutex_unlock(&backend->lock);
	return index < list->n ? index : 0;
}
