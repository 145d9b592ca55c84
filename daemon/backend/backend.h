/* SPDX-License-Identifier: MIT */
/*
 * A proxy's backend: where it is.  A literal address is known at once; a name
 * is resolved by getaddrinfo() in a thread, one look-up at a time whoever
 * waits, and the answer is kept for a while.
 */
#ifndef DAEMON_BACKEND_BACKEND_H
#define DAEMON_BACKEND_BACKEND_H

#include <sockfront/address.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "daemon/backend/loop_guard.h"
#include "daemon/base/mailbox.h"

/* How to connect to it: a copy, for attempts that outlive their configuration. */
struct backend_settings {
	uint64_t connect_timeout_ms; /* SFRONT_INFINITY_MS: without end */
	bool connect_retry;
	bool nodelay;
	struct sfront_keepalive keepalive;
	uint64_t user_timeout_ms; /* 0: the system's */
};

struct backend;

/* The addresses of one answer, in the resolver's order.  Shared: see address_list_unref(). */
struct address_list {
	atomic_uint refs;
	unsigned int n;
	struct sfront_sockaddr addresses[];
};

struct address_list *address_list_ref(struct address_list *list);
void address_list_unref(struct address_list *list);

/* Somebody who waits for an answer.  Lives in the waiter's memory. */
struct backend_wait {
	struct message message;  /* deliver: set by the waiter; posted when the answer is there */
	struct mailbox *mailbox; /* set by the waiter */
	struct backend_wait *next;
	struct address_list *list; /* the answer; the waiter's reference.  NULL: failed */
	int error;                 /* why, a negative errno: see sfront_address_resolve() */
};

/*
 * @config: read, not kept
 * @guard:  which addresses are our own; shared
 *
 * Returns NULL with errno set and @err saying why, when out of memory or a literal
 * address names an interface that does not exist.
 */
struct backend *backend_new(const struct proxy_config *config, struct loop_guard *guard,
			    struct sfront_error *err);

/* A look-up under way holds a reference of its own. */
struct backend *backend_ref(struct backend *backend);
void backend_unref(struct backend *backend);

/* Whether a look-up is still under way in some thread. */
bool backend_lookups_pending(void);

/* "127.0.0.1:80" */
const char *backend_text(const struct backend *backend);

const struct backend_settings *backend_settings(const struct backend *backend);

/*
 * Notes that it does not answer, or does; the log hears of each change, once.
 * Any thread.
 *
 * @reason: in words
 */
void backend_note_failure(struct backend *backend, const char *reason);
void backend_note_success(struct backend *backend);

/* The addresses if they are literal, borrowed; NULL: ask backend_addresses(). */
struct address_list *backend_literal(const struct backend *backend);

/*
 * Returns the addresses, a reference of the caller's; or NULL: @wait has been
 * queued and its message will be posted.
 */
struct address_list *backend_addresses(struct backend *backend, struct backend_wait *wait);

/*
 * The last good answer, however old, a reference of the caller's; NULL without
 * one.  For who cannot wait any longer.
 */
struct address_list *backend_last_addresses(struct backend *backend);

/*
 * Takes @wait out of the queue.  False: too late, its message is on its way and
 * will be delivered.
 */
bool backend_cancel(struct backend *backend, struct backend_wait *wait);

#endif
