/* SPDX-License-Identifier: MIT */
/*
 * Names that are several servers: the targets of srv:NAME and, with resolve-each, the addresses
 * of a host.  A backend does not change; when the
 * addresses do, there is another one, as after a reload, with the counts, the health and the
 * queue of the one before.  Whoever has a connection keeps the backend that it began with; an
 * attempt goes over when it has found no server.
 *
 * The names are looked up again every resolve-interval while clients come, those of services
 * sooner if their records say so.  A name without any
 * address is a server itself, as without resolve-each, so that clients can wait for it.
 */
#ifndef DAEMON_BACKEND_EXPANSION_H
#define DAEMON_BACKEND_EXPANSION_H

struct backend;
struct expansion;
struct loop;
struct loop_guard;
struct proxy_config;

/*
 * @loop:   the main thread's, which may begin to run later
 * @config: borrowed until expansion_free()
 * @named:  the backend as it is configured
 *
 * Returns NULL when out of memory.
 */
struct expansion *expansion_new(struct loop *loop, const struct proxy_config *config,
				struct loop_guard *guard, struct backend *named);

/* The backend of the moment, a reference of the caller's.  Any thread. */
struct backend *expansion_backend(struct expansion *expansion);

/* Goes on with what is known of the servers of @before.  Before other threads know @expansion. */
void expansion_share(struct expansion *expansion, struct expansion *before);

/* Begins to look up names, and to probe servers.  Main thread. */
void expansion_start(struct expansion *expansion);

/* Ends both, for good.  Main thread. */
void expansion_stop(struct expansion *expansion);

/* Main thread.  NULL is allowed. */
void expansion_free(struct expansion *expansion);

#endif
