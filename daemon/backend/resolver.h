/* SPDX-License-Identifier: MIT */
/*
 * From a backend's address, as typed, to socket addresses.  A literal one is known at
 * once; a name is resolved by getaddrinfo() in a thread, one look-up at a time whoever
 * waits, and the answer is kept for a while.
 */
#ifndef DAEMON_BACKEND_RESOLVER_H
#define DAEMON_BACKEND_RESOLVER_H

#include <sockfront/address.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "daemon/backend/loop_guard.h"
#include "daemon/base/mailbox.h"

struct resolver;

/* The addresses of one answer, in the resolver's order.  Shared: see address_list_unref(). */
struct address_list {
	atomic_uint refs;
	unsigned int n;
	struct sfront_sockaddr addresses[];
};

struct address_list *address_list_ref(struct address_list *list);
void address_list_unref(struct address_list *list);

/* Somebody who waits for an answer.  Lives in the waiter's memory. */
struct resolver_wait {
	struct message message;  /* deliver: set by the waiter; posted when the answer is there */
	struct mailbox *mailbox; /* set by the waiter */
	struct resolver_wait *next;
	struct address_list *list; /* the answer; the waiter's reference.  NULL: failed */
	int error;                 /* why, a negative errno: see sfront_address_resolve() */
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

/* A look-up under way holds a reference of its own.  NULL is allowed. */
void resolver_unref(struct resolver *resolver);

/* Whether a look-up of any resolver is still under way in some thread. */
bool resolver_lookups_pending(void);

/* The addresses if they are literal, borrowed; NULL: ask resolver_ask(). */
struct address_list *resolver_literal(const struct resolver *resolver);

/*
 * Returns the addresses, a reference of the caller's; or NULL: @wait has been
 * queued and its message will be posted.
 */
struct address_list *resolver_ask(struct resolver *resolver, struct resolver_wait *wait);

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
