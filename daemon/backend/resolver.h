/* SPDX-License-Identifier: MIT */
/*
 * From a backend's address, as typed, to socket addresses.  A literal one is known at
 * once; a name is resolved by getaddrinfo() in a thread, one look-up at a time whoever
 * waits, and the answer is kept for a while: see resolver_ask().  A look-up that fails
 * leaves the last good answer in place, since name servers fail more often than backends
 * move; only when the name has clearly not existed for 30 s is it dropped.
 */
#ifndef DAEMON_BACKEND_RESOLVER_H
#define DAEMON_BACKEND_RESOLVER_H

#include <sockfront/address.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "daemon/backend/loop_guard.h"
#include "daemon/backend/srv.h"
#include "daemon/base/mailbox.h"

struct resolver;

/*
 * The addresses of one answer, in the resolver's order but for one thing: IPv6 and IPv4
 * take turns, as RFC 8305 has it.  Shared: see address_list_unref().
 */
struct address_list {
	atomic_uint refs;
	unsigned int n;
	struct sfront_sockaddr addresses[];
};

struct address_list *address_list_ref(struct address_list *list);
void address_list_unref(struct address_list *list);

/* The index of @addr; list->n: it is not there. */
unsigned int address_list_find(const struct address_list *list, const struct sfront_sockaddr *addr);

/* Whether both have the same addresses in the same order. */
bool address_list_equal(const struct address_list *a, const struct address_list *b);

/* Somebody who waits for an answer.  Lives in the waiter's memory. */
struct resolver_wait {
	struct message message;  /* deliver: set by the waiter; posted when the answer is there */
	struct mailbox *mailbox; /* set by the waiter */
	struct resolver_wait *next;
	struct address_list *list; /* the last good answer, the waiter's reference; NULL: none */
	int error;                 /* why: -ELOOP (all its addresses are our own listeners), or
				    * -EINPROGRESS (the records of a service are known: its
				    * targets have the addresses), or see
				    * sfront_address_resolve() */
};

/*
 * @address: copied
 * @guard:   which addresses are our own; shared
 *
 * Returns it with one reference; or NULL with errno set and @err saying why, when out of
 * memory or a literal address names an interface that does not exist.
 */
struct resolver *resolver_new(const struct sfront_address *address, struct loop_guard *guard,
			      struct sfront_error *err);

/* The same for the records of a service: see resolver_targets(). */
struct resolver *resolver_new_srv(const char *name, struct loop_guard *guard,
				  struct sfront_error *err);

/* The last good answer for a service, a reference of the caller's; NULL: there is none. */
struct srv_answer *resolver_targets(struct resolver *resolver);

/*
 * Goes on with the last good answer of @before, a resolver of the same name, until it has one of
 * its own: that is asked for as if there had been none.  Before other threads know @resolver.
 */
void resolver_share(struct resolver *resolver, struct resolver *before);

/* A look-up under way holds a reference of its own.  NULL is allowed. */
void resolver_unref(struct resolver *resolver);

/* Whether a look-up of any resolver is still under way in some thread. */
bool resolver_lookups_pending(void);

/*
 * The address if it is literal, borrowed; NULL: ask resolver_ask().  So it is for one with
 * the name of an interface too: that can go and come back with another number.
 */
struct address_list *resolver_literal(const struct resolver *resolver);

/* The address at the start, if it is literal; NULL for a name.  Borrowed. */
const struct sfront_sockaddr *resolver_first(const struct resolver *resolver);

/*
 * Returns addresses of an answer that is no older than @max_age_ms, a reference of the
 * caller's; or NULL: @wait has been queued and its message will be posted.
 */
struct address_list *resolver_ask(struct resolver *resolver, uint64_t max_age_ms,
				  struct resolver_wait *wait);

/*
 * The last good answer, however old, a reference of the caller's; NULL without
 * one.  For who cannot wait any longer.
 */
struct address_list *resolver_last(struct resolver *resolver);

/*
 * Takes @wait out of the queue.  False: too late, its message is on its way and
 * will be delivered.
 */
bool resolver_cancel(struct resolver *resolver, struct resolver_wait *wait);

#endif
