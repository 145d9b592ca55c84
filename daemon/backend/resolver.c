/* SPDX-License-Identifier: MIT */
/*
 * The resolver's answers and threads: see resolver.h.  getaddrinfo() is used rather than
 * libevent's resolver, which asks the name servers only: /etc/hosts, mDNS,
 * containers and everything else behind NSS would be missing.
 */
#include "daemon/backend/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

/* How long an answer is used before the name is looked up again. */
#define FRESH_MS 10000

/* How soon a look-up that failed is tried again. */
#define FAILED_MS 1000

#define MAX_ADDRESSES 32

/* getaddrinfo() with its modules wants less; the default of 8 MiB is for nobody here. */
#define RESOLVER_STACK ((size_t)512 * 1024)

struct resolver {
	atomic_uint refs;
	struct sfront_address address;
	struct loop_guard *guard;
	bool literal;

	pthread_mutex_t lock;      /* guards what follows */
	struct address_list *list; /* the last good answer */
	uint64_t fresh_until_ms;
	bool looking_up;
	struct resolver_wait *waits;
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
static struct address_list *resolve(const struct resolver *resolver, int *ret_error,
				    struct sfront_error *err)
{
	struct sfront_sockaddr addresses[MAX_ADDRESSES];
	struct address_list *list;
	int r;

	r = sfront_address_resolve(&resolver->address, addresses, MAX_ADDRESSES, err);
	if (r < 0) {
		*ret_error = !resolver->literal && descriptors_are_out() ? -EAGAIN : r;
		return NULL;
	}
	if (!resolver->literal)
		r = (int)drop_own(resolver->guard, addresses, (unsigned int)r);
	if (r == 0) {
		*ret_error = -ELOOP;
		return NULL;
	}
	list = list_new(addresses, (unsigned int)r);
	if (!list)
		*ret_error = -ENOMEM;
	return list;
}

struct resolver *resolver_new(const struct sfront_address *address, struct loop_guard *guard,
			      struct sfront_error *err)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	int error = 0;

	snprintf(err->message, sizeof(err->message), "out of memory");
	if (!resolver)
		return NULL;
	atomic_init(&resolver->refs, 1);
	pthread_mutex_init(&resolver->lock, NULL);
	resolver->address = *address;
	resolver->guard = loop_guard_ref(guard);
	resolver->literal = sfront_address_is_literal(address);
	if (!resolver->literal)
		return resolver;

	resolver->list = resolve(resolver, &error, err);
	if (resolver->list)
		return resolver;
	resolver_unref(resolver);
	errno = -error;
	return NULL;
}

static struct resolver *resolver_ref(struct resolver *resolver)
{
	atomic_fetch_add(&resolver->refs, 1);
	return resolver;
}

void resolver_unref(struct resolver *resolver)
{
	if (!resolver || atomic_fetch_sub(&resolver->refs, 1) != 1)
		return;
	address_list_unref(resolver->list);
	loop_guard_unref(resolver->guard);
	pthread_mutex_destroy(&resolver->lock);
	free(resolver);
}

static void answer(struct resolver_wait *wait, struct address_list *list, int error)
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
static void finish_lookup(struct resolver *resolver, struct address_list *list, int error)
{
	struct resolver_wait *wait;

	pthread_mutex_lock(&resolver->lock);
	if (list) {
		address_list_unref(resolver->list);
		resolver->list = list;
	}
	if (resolver->list)
		resolver->fresh_until_ms = clock_ms() + (list ? FRESH_MS : FAILED_MS);
	resolver->looking_up = false;
	while ((wait = resolver->waits)) {
		resolver->waits = wait->next;
		answer(wait, resolver->list, error);
	}
	pthread_mutex_unlock(&resolver->lock);
}

static atomic_uint lookups;

bool resolver_lookups_pending(void)
{
	return atomic_load(&lookups) > 0;
}

static void *lookup_main(void *arg)
{
	struct resolver *resolver = arg;
	struct sfront_error err = { "" };
	struct address_list *list;
	int error = 0;

	list = resolve(resolver, &error, &err);
	if (!list)
		log_line(LOG_DEBUG, "backend: %s", err.message);
	finish_lookup(resolver, list, error);
	resolver_unref(resolver);
	atomic_fetch_sub(&lookups, 1);
	return NULL;
}

/* A thread that nobody waits for.  Returns 0 or -errno. */
static int spawn(void *(*thread_main)(void *arg), void *arg)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r;

	r = pthread_attr_init(&attributes);
	if (r != 0)
		return -r;
	pthread_attr_setstacksize(&attributes, RESOLVER_STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attributes, thread_main, arg);
	pthread_attr_destroy(&attributes);
	return -r;
}

/* One at a time.  Returns 0 or -errno. */
static int start_lookup(struct resolver *resolver)
{
	int r;

	if (resolver->looking_up)
		return 0;
	atomic_fetch_add(&lookups, 1);
	r = spawn(lookup_main, resolver_ref(resolver));
	if (r < 0) {
		/* Never the last one: who asks has one too. */
		atomic_fetch_sub(&resolver->refs, 1);
		atomic_fetch_sub(&lookups, 1);
	}
	resolver->looking_up = r == 0;
	return r;
}

struct address_list *resolver_literal(const struct resolver *resolver)
{
	return resolver->literal ? resolver->list : NULL;
}

struct address_list *resolver_ask(struct resolver *resolver, struct resolver_wait *wait)
{
	struct address_list *list = NULL;

	if (resolver->literal)
		return address_list_ref(resolver->list);

	pthread_mutex_lock(&resolver->lock);
	if (resolver->list && clock_ms() < resolver->fresh_until_ms) {
		list = address_list_ref(resolver->list);
	} else if (start_lookup(resolver) == 0) {
		wait->next = resolver->waits;
		resolver->waits = wait;
	} else {
		answer(wait, resolver->list, -EAGAIN); /* no thread to be had: try again later */
	}
	pthread_mutex_unlock(&resolver->lock);
	return list;
}

struct address_list *resolver_last(struct resolver *resolver)
{
	struct address_list *list;

	pthread_mutex_lock(&resolver->lock);
	list = resolver->list ? address_list_ref(resolver->list) : NULL;
	pthread_mutex_unlock(&resolver->lock);
	return list;
}

bool resolver_cancel(struct resolver *resolver, struct resolver_wait *wait)
{
	struct resolver_wait **at;
	bool found = false;

	pthread_mutex_lock(&resolver->lock);
	for (at = &resolver->waits; *at; at = &(*at)->next) {
		if (*at == wait) {
			*at = wait->next;
			found = true;
			break;
		}
	}
	pthread_mutex_unlock(&resolver->lock);
	return found;
}
