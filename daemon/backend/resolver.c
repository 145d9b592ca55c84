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
#include <unistd.h>

#include "daemon/backend/target.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/thread.h"

/* How soon a look-up that failed is tried again. */
#define FAILED_MS 1000

/* How long a name must not exist before its last answer is forgotten. */
#define MISSING_MS 30000

/* As many as fit into an answer of a name server, more or less. */
#define MAX_ADDRESSES 2048

/* getaddrinfo() with its modules wants less; the default of 8 MiB is for nobody here. */
#define RESOLVER_STACK ((size_t)512 * 1024)

struct resolver {
	atomic_uint refs;
	struct sfront_address *address; /* owned; NULL: what it stands for is known for good */
	struct loop_guard *guard;
	bool is_literal;
	bool has_scope; /* and it names an interface */
	bool is_srv;    /* the host is the name of a service */

	pthread_mutex_t lock;       /* guards what follows, of a name */
	struct address_list *list;  /* the last good answer; for a literal, that at the start */
	struct srv_answer *targets; /* the last good answer for a service */
	uint64_t answered_ms;       /* when the last look-up ended; 0: none has */
	int error;                  /* how: 0 or a negative errno */
	uint64_t missing_since_ms;  /* since when it has said that there is no such name; 0 */
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

unsigned int address_list_find(const struct address_list *list, const struct sfront_sockaddr *addr)
{
	unsigned int i = 0;

	while (i < list->n && !sfront_sockaddr_equal(&list->addresses[i], addr))
		i++;
	return i;
}

bool address_list_equal(const struct address_list *a, const struct address_list *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned int i = 0; i < a->n; i++)
		if (!sfront_sockaddr_equal(&a->addresses[i], &b->addresses[i]))
			return false;
	return true;
}

static unsigned int next_of_family(const struct sfront_sockaddr *addresses, unsigned int n,
				   unsigned int from, bool first_family)
{
	while (from < n &&
	       (addresses[from].sa.any.sa_family == addresses[0].sa.any.sa_family) != first_family)
		from++;
	return from;
}

/* A network whose IPv6 goes nowhere is not tried a dozen times before its IPv4. */
static void interleave_families(struct address_list *list, const struct sfront_sockaddr *addresses)
{
	unsigned int next[] = { 0, 0 };
	bool first = true;

	for (unsigned int i = 0; i < list->n; i++, first = !first) {
		unsigned int at = next_of_family(addresses, list->n, next[first], first);

		if (at == list->n) {
			next[first] = at;
			first = !first;
			at = next_of_family(addresses, list->n, next[first], first);
		}
		list->addresses[i] = addresses[at];
		next[first] = at + 1;
	}
}

static struct address_list *list_new(const struct sfront_sockaddr *addresses, unsigned int n)
{
	struct address_list *list = malloc(sizeof(*list) + n * sizeof(*addresses));

	if (!list)
		return NULL;
	atomic_init(&list->refs, 1);
	list->n = n;
	interleave_families(list, addresses);
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

/* Blocks while a name is resolved.  Returns how many addresses there are, or -errno. */
static int resolve_into(const struct resolver *resolver, struct sfront_sockaddr *addresses,
			struct sfront_error *err)
{
	int r;

	if (target_fill(resolver->address, addresses))
		return 1;
	r = sfront_address_resolve(resolver->address, addresses, MAX_ADDRESSES, err);
	if (resolver->is_literal)
		return r;
	if (r < 0)
		return descriptors_are_out() ? -EAGAIN : r;
	r = (int)drop_own(resolver->guard, addresses, (unsigned int)r);
	return r > 0 ? r : -ELOOP;
}

/* Blocks while a name is resolved.  Returns the answer, or NULL with the reason. */
static struct address_list *resolve(const struct resolver *resolver, int *ret_error,
				    struct sfront_error *err)
{
	struct sfront_sockaddr *addresses = malloc(MAX_ADDRESSES * sizeof(*addresses));
	struct address_list *list = NULL;
	int r = addresses ? resolve_into(resolver, addresses, err) : -ENOMEM;

	if (r > 0)
		list = list_new(addresses, (unsigned int)r);
	free(addresses);
	if (!list)
		*ret_error = r < 0 ? r : -ENOMEM;
	return list;
}

static int copy_address(struct resolver *resolver, const struct sfront_address *address)
{
	resolver->address = malloc(sizeof(*address));
	if (!resolver->address)
		return -ENOMEM;
	*resolver->address = *address;
	return 0;
}

static void drop_address(struct resolver *resolver)
{
	free(resolver->address);
	resolver->address = NULL;
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
	resolver->guard = loop_guard_ref(guard);
	if (copy_address(resolver, address) < 0) {
		resolver_unref(resolver);
		errno = ENOMEM;
		return NULL;
	}
	resolver->is_literal = address->kind != SFRONT_TCP || sfront_address_is_literal(address);
	resolver->has_scope = address->kind == SFRONT_TCP && resolver->is_literal &&
			      address->u.tcp.scope[0] != '\0';
	if (!resolver->is_literal)
		return resolver;

	resolver->list = resolve(resolver, &error, err);
	if (!resolver->list) {
		resolver_unref(resolver);
		errno = -error;
		return NULL;
	}
	if (!resolver->has_scope)
		drop_address(resolver);
	return resolver;
}

struct resolver *resolver_new_srv(const char *name, struct loop_guard *guard,
				  struct sfront_error *err)
{
	struct sfront_address address = { .kind = SFRONT_TCP };
	struct resolver *resolver;

	snprintf(address.u.tcp.host, sizeof(address.u.tcp.host), "%s", name);
	resolver = resolver_new(&address, guard, err);
	if (resolver)
		resolver->is_srv = true;
	return resolver;
}

struct srv_answer *resolver_targets(struct resolver *resolver)
{
	struct srv_answer *targets;

	pthread_mutex_lock(&resolver->lock);
	targets = resolver->targets ? srv_answer_ref(resolver->targets) : NULL;
	pthread_mutex_unlock(&resolver->lock);
	return targets;
}

static struct resolver *resolver_ref(struct resolver *resolver)
{
	atomic_fetch_add(&resolver->refs, 1);
	return resolver;
}

void resolver_share(struct resolver *resolver, struct resolver *before)
{
	if (resolver->is_literal)
		return;
	address_list_unref(resolver->list);
	pthread_mutex_lock(&before->lock);
	resolver->list = before->list ? address_list_ref(before->list) : NULL;
	srv_answer_unref(resolver->targets);
	resolver->targets = before->targets ? srv_answer_ref(before->targets) : NULL;
	resolver->missing_since_ms = before->missing_since_ms;
	pthread_mutex_unlock(&before->lock);
}

void resolver_unref(struct resolver *resolver)
{
	if (!resolver || atomic_fetch_sub(&resolver->refs, 1) != 1)
		return;
	address_list_unref(resolver->list);
	srv_answer_unref(resolver->targets);
	loop_guard_unref(resolver->guard);
	pthread_mutex_destroy(&resolver->lock);
	free(resolver->address);
	free(resolver);
}

static void answer(struct resolver_wait *wait, struct address_list *list, int error)
{
	wait->list = list ? address_list_ref(list) : NULL;
	wait->error = error;
	mailbox_post(wait->mailbox, &wait->message);
}

/* The address may be somebody else's by now. */
static void forget_if_missing(struct resolver *resolver)
{
	uint64_t now = clock_ms();

	if (resolver->error != -ENOENT)
		resolver->missing_since_ms = 0;
	else if (resolver->missing_since_ms == 0)
		resolver->missing_since_ms = now;
	else if ((resolver->list || resolver->targets) &&
		 now - resolver->missing_since_ms >= MISSING_MS) {
		address_list_unref(resolver->list);
		resolver->list = NULL;
		srv_answer_unref(resolver->targets);
		resolver->targets = NULL;
		log_line(LOG_WARNING,
			 "backend %s: the name has not existed for %u s, so its last addresses are "
			 "no longer used",
			 resolver->address->u.tcp.host, MISSING_MS / 1000);
	}
}

/* Why there is no address, where that is so. */
static int reason_of(const struct resolver *resolver)
{
	return resolver->error == 0 && resolver->targets ? -EINPROGRESS : resolver->error;
}

/* Hands the outcome to everybody who waits.  Takes both references. */
static void finish_lookup(struct resolver *resolver, struct address_list *list,
			  struct srv_answer *targets, int error)
{
	struct resolver_wait *wait;

	pthread_mutex_lock(&resolver->lock);
	if (targets) {
		srv_answer_unref(resolver->targets);
		resolver->targets = targets;
	}
	if (list) {
		address_list_unref(resolver->list);
		resolver->list = list;
	}
	resolver->answered_ms = clock_ms();
	resolver->error = error;
	forget_if_missing(resolver);
	resolver->looking_up = false;
	while ((wait = resolver->waits)) {
		resolver->waits = wait->next;
		answer(wait, resolver->list, reason_of(resolver));
	}
	pthread_mutex_unlock(&resolver->lock);
}

static atomic_uint lookups;

bool resolver_lookups_pending(void)
{
	return atomic_load(&lookups) > 0;
}

/* Out of descriptors, there is nobody who could be asked. */
static int look_up_srv(const struct resolver *resolver, struct srv_answer **ret)
{
	int r = srv_look_up(resolver->address->u.tcp.host, ret);

	return r == -ENOENT && descriptors_are_out() ? -EAGAIN : r;
}

static void *lookup_main(void *arg)
{
	struct resolver *resolver = arg;
	struct sfront_error err = { "" };
	struct address_list *list = NULL;
	struct srv_answer *targets = NULL;
	int error = 0;

	if (resolver->is_srv)
		error = look_up_srv(resolver, &targets);
	else
		list = resolve(resolver, &error, &err);
	if (error < 0)
		log_line(LOG_DEBUG, "backend: %s", err.message);
	finish_lookup(resolver, list, targets, error);
	resolver_unref(resolver);
	atomic_fetch_sub(&lookups, 1);
	return NULL;
}

/* One at a time.  Returns 0 or -errno. */
static int start_lookup(struct resolver *resolver)
{
	int r;

	if (resolver->looking_up)
		return 0;
	atomic_fetch_add(&lookups, 1);
	r = thread_start_detached(lookup_main, resolver_ref(resolver), RESOLVER_STACK);
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
	return resolver->is_literal && !resolver->has_scope ? resolver->list : NULL;
}

const struct sfront_sockaddr *resolver_first(const struct resolver *resolver)
{
	return resolver->is_literal ? &resolver->list->addresses[0] : NULL;
}

/* The number that the interface has now. */
static struct address_list *look_up_scope(struct resolver *resolver, struct resolver_wait *wait)
{
	struct sfront_error err;
	int error = 0;
	struct address_list *list = resolve(resolver, &error, &err);

	if (!list)
		answer(wait, NULL, error);
	return list;
}

static bool is_fresh(const struct resolver *resolver, uint64_t max_age_ms)
{
	if (resolver->targets && max_age_ms > resolver->targets->ttl_ms)
		max_age_ms = resolver->targets->ttl_ms;
	if (resolver->error != 0 && max_age_ms > FAILED_MS)
		max_age_ms = FAILED_MS;
	return resolver->answered_ms != 0 && clock_ms() - resolver->answered_ms < max_age_ms;
}

struct address_list *resolver_ask(struct resolver *resolver, uint64_t max_age_ms,
				  struct resolver_wait *wait)
{
	struct address_list *list = NULL;

	if (resolver->is_literal)
		return resolver->has_scope ? look_up_scope(resolver, wait)
					   : address_list_ref(resolver->list);

	pthread_mutex_lock(&resolver->lock);
	if (is_fresh(resolver, max_age_ms)) {
		if (resolver->list)
			list = address_list_ref(resolver->list);
		else
			answer(wait, NULL, reason_of(resolver));
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
