/* SPDX-License-Identifier: MIT */
/*
 * Backends and the resolver's threads.  getaddrinfo() is used rather than
 * libevent's resolver, which asks the name servers only: /etc/hosts, mDNS,
 * containers and everything else behind NSS would be missing.
 */
#include "daemon/backend/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"

/* How long an answer is used before the name is looked up again. */
#define FRESH_MS 10000

#define MAX_ADDRESSES 32

/* getaddrinfo() with its modules wants less; the default of 8 MiB is for nobody here. */
#define RESOLVER_STACK ((size_t)512 * 1024)

struct backend {
	atomic_uint refs;
	struct sfront_address address;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct backend_settings settings;
	struct loop_guard *guard;
	bool literal;
	atomic_bool is_silent; /* the log has heard that it does not answer */

	pthread_mutex_t lock;      /* guards what follows */
	struct address_list *list; /* the last good answer */
	uint64_t fresh_until_ms;
	bool looking_up;
	struct backend_wait *waits;
};

struct address_list *address_list_ref(struct address_list *list)
{
	atomic_fetch_add(&list->refs, 1);
	return list;
}

void address_list_unref(struct address_list *list)
{
	if (list && atomic_fetch_sub(&list->refs, 1) == 1)
		free(list);
}

static struct address_list *list_new(const struct sfront_sockaddr *addresses, unsigned int n)
{
	struct address_list *list = malloc(sizeof(*list) + n * sizeof(*addresses));

	if (!list)
		return NULL;
	atomic_init(&list->refs, 1);
	list->n = n;
	memcpy(list->addresses, addresses, n * sizeof(*addresses));
	return list;
}

/* Leaves out our own listeners: a connection to one would come back to us, and again. */
static unsigned int drop_own(const struct loop_guard *guard, struct sfront_sockaddr *addresses,
			     unsigned int n)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < n; i++)
		if (!loop_guard_find(guard, &addresses[i]))
			addresses[kept++] = addresses[i];
	return kept;
}

/* Out of descriptors, the resolver says that there is no such name. */
static bool descriptors_are_out(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	bool out = fd < 0 && (errno == EMFILE || errno == ENFILE);

	if (fd >= 0)
		close(fd);
	return out;
}

/* Blocks while a name is resolved.  Returns the answer, or NULL with the reason. */
static struct address_list *resolve(const struct backend *backend, int *ret_error,
				    struct sfront_error *err)
{
	struct sfront_sockaddr addresses[MAX_ADDRESSES];
	struct address_list *list;
	int r;

	r = sfront_address_resolve(&backend->address, addresses, MAX_ADDRESSES, err);
	if (r < 0) {
		*ret_error = !backend->literal && descriptors_are_out() ? -EAGAIN : r;
		return NULL;
	}
	if (!backend->literal)
		r = (int)drop_own(backend->guard, addresses, (unsigned int)r);
	if (r == 0) {
		*ret_error = -ELOOP;
		return NULL;
	}
	list = list_new(addresses, (unsigned int)r);
	if (!list)
		*ret_error = -ENOMEM;
	return list;
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
	backend->address = config->backend;
	backend->settings = (struct backend_settings){
		.connect_timeout_ms = config->connect_timeout_ms,
		.connect_retry = config->connect_retry,
		.nodelay = config->backend_nodelay,
		.keepalive = config->backend_keepalive,
		.user_timeout_ms = config->backend_user_timeout_ms,
	};
	backend->guard = loop_guard_ref(guard);
	backend->literal = sfront_address_is_literal(&backend->address);
	sfront_address_format(&backend->address, backend->text, sizeof(backend->text));
	if (!backend->literal)
		return backend;

	backend->list = resolve(backend, &error, err);
	if (backend->list)
		return backend;
	backend_unref(backend);
	errno = -error;
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
	address_list_unref(backend->list);
	loop_guard_unref(backend->guard);
	pthread_mutex_destroy(&backend->lock);
	free(backend);
}

const char *backend_text(const struct backend *backend)
{
	return backend->text;
}

const struct backend_settings *backend_settings(const struct backend *backend)
{
	return &backend->settings;
}

static void answer(struct backend_wait *wait, struct address_list *list, int error)
{
	wait->list = list ? address_list_ref(list) : NULL;
	wait->error = error;
	mailbox_post(wait->mailbox, &wait->message);
}

/*
 * Hands the outcome to everybody who waits.  A failed look-up leaves the last
 * good answer in place and hands that out: name servers fail more often than
 * backends move.
 */
static void finish_lookup(struct backend *backend, struct address_list *list, int error)
{
	struct backend_wait *wait;

	pthread_mutex_lock(&backend->lock);
	if (list) {
		address_list_unref(backend->list);
		backend->list = list;
	}
	if (backend->list)
		backend->fresh_until_ms = clock_ms() + (list ? FRESH_MS : 1000);
	backend->looking_up = false;
	while ((wait = backend->waits)) {
		backend->waits = wait->next;
		answer(wait, backend->list, error);
	}
	pthread_mutex_unlock(&backend->lock);
}

static atomic_uint lookups;

bool backend_lookups_pending(void)
{
	return atomic_load(&lookups) > 0;
}

static void *lookup_main(void *arg)
{
	struct backend *backend = arg;
	struct sfront_error err = { "" };
	struct address_list *list;
	int error = 0;

	list = resolve(backend, &error, &err);
	if (!list)
		log_line(LOG_DEBUG, "backend: %s", err.message);
	finish_lookup(backend, list, error);
	backend_unref(backend);
	atomic_fetch_sub(&lookups, 1);
	return NULL;
}

static int start_lookup(struct backend *backend)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r;

	r = pthread_attr_init(&attributes);
	if (r != 0)
		return -r;
	pthread_attr_setstacksize(&attributes, RESOLVER_STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	atomic_fetch_add(&lookups, 1);
	r = pthread_create(&thread, &attributes, lookup_main, backend_ref(backend));
	if (r != 0) {
		/* Never the last one: the attempt that asks holds one too. */
		atomic_fetch_sub(&backend->refs, 1);
		atomic_fetch_sub(&lookups, 1);
	}
	pthread_attr_destroy(&attributes);
	return -r;
}

void backend_note_failure(struct backend *backend, const char *reason)
{
	uint64_t patience_ms = backend->settings.connect_timeout_ms;
	static struct log_limit limit;
	unsigned int ignored;
	char patience[64] = " without end";

	/* One that comes and goes with every client is told of once a second. */
	if (atomic_load(&backend->is_silent) || !log_limit_passes(&limit, &ignored) ||
	    atomic_exchange(&backend->is_silent, true))
		return;
	if (patience_ms != SFRONT_INFINITY_MS)
		snprintf(patience, sizeof(patience), " for up to %.15g s",
			 (double)patience_ms / 1000);
	log_line(LOG_WARNING, "backend %s does not answer (%s): tried again%s", backend->text,
		 reason, patience);
}

void backend_note_success(struct backend *backend)
{
	if (atomic_load_explicit(&backend->is_silent, memory_order_relaxed) &&
	    atomic_exchange(&backend->is_silent, false))
		log_line(LOG_NOTICE, "backend %s answers", backend->text);
}

struct address_list *backend_literal(const struct backend *backend)
{
	return backend->literal ? backend->list : NULL;
}

struct address_list *backend_addresses(struct backend *backend, struct backend_wait *wait)
{
	struct address_list *list = NULL;

	if (backend->literal)
		return address_list_ref(backend->list);

	pthread_mutex_lock(&backend->lock);
	if (backend->list && clock_ms() < backend->fresh_until_ms) {
		list = address_list_ref(backend->list);
	} else if (backend->looking_up || start_lookup(backend) == 0) {
		backend->looking_up = true;
		wait->next = backend->waits;
		backend->waits = wait;
	} else {
		answer(wait, backend->list, -EAGAIN); /* no thread to be had: try again later */
	}
	pthread_mutex_unlock(&backend->lock);
	return list;
}

struct address_list *backend_last_addresses(struct backend *backend)
{
	struct address_list *list;

	pthread_mutex_lock(&backend->lock);
	list = backend->list ? address_list_ref(backend->list) : NULL;
	pthread_mutex_unlock(&backend->lock);
	return list;
}

bool backend_cancel(struct backend *backend, struct backend_wait *wait)
{
	struct backend_wait **at;
	bool found = false;

	pthread_mutex_lock(&backend->lock);
	for (at = &backend->waits; *at; at = &(*at)->next) {
		if (*at == wait) {
			*at = wait->next;
			found = true;
			break;
		}
	}
	pthread_mutex_unlock(&backend->lock);
	return found;
}
