/* SPDX-License-Identifier: MIT */
/*
 * The addresses that we listen on ourselves: a connection to one of them would come
 * back to us, and again.  Filled once all is open, then read by any thread; a look-up
 * that outlives its configuration goes on with the guard that it began with.
 */
#ifndef DAEMON_BACKEND_LOOP_GUARD_H
#define DAEMON_BACKEND_LOOP_GUARD_H

#include <sockfront/address.h>
#include <stdbool.h>

struct loop_guard;

/* Returns an empty one with one reference, or NULL when out of memory. */
struct loop_guard *loop_guard_new(void);

struct loop_guard *loop_guard_ref(struct loop_guard *guard);

/* NULL is allowed. */
void loop_guard_unref(struct loop_guard *guard);

/*
 * Notes that we listen on @addr.  Before other threads know the guard.
 *
 * @takes_ipv4: it is an IPv6 socket that IPv4 clients reach too
 * @text:       what the log calls it; copied
 *
 * Returns 0 or -ENOMEM.
 */
int loop_guard_add(struct loop_guard *guard, const struct sfront_sockaddr *addr, bool takes_ipv4,
		   const char *text);

/*
 * Whether a connection to @addr may come back to us, see own_sockets.h: we listen on its
 * port, at whatever address, or, if it is a UNIX address, on any UNIX socket.
 */
bool loop_guard_may_return(const struct loop_guard *guard, const struct sfront_sockaddr *addr);

/* The text of the listener that a connection to @addr arrives at; NULL: it is none of ours. */
const char *loop_guard_find(const struct loop_guard *guard, const struct sfront_sockaddr *addr);

#endif
