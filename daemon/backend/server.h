/* SPDX-License-Identifier: MIT */
/*
 * One server of a backend: where it is (resolver.h), how to connect to it (dial.h), how many
 * connections it has and whether it answers (health.h).
 */
#ifndef DAEMON_BACKEND_SERVER_H
#define DAEMON_BACKEND_SERVER_H

#include <pthread.h>
#include <sockfront/listener.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "conf/server.h"
#include "daemon/backend/dial.h"
#include "daemon/backend/health.h"
#include "daemon/backend/resolver.h"

/* What the same line has in common over all generations that have it. */
struct server_state {
	atomic_uint refs;
	atomic_uint active; /* connections, and attempts at one */
	atomic_uint max;    /* of these, as the newest line has it; UINT_MAX: without a limit */
	struct health health;
};

struct backend;
struct counters;

struct server {
	struct backend *backend;   /* that it is one of */
	char *text;                /* owned: "127.0.0.1:80" */
	uint64_t key;              /* a hash of that */
	enum sfront_stream stream; /* what a connection to it is */
	unsigned int weight;
	bool is_backup;
	atomic_bool is_gone;   /* its backend was replaced by one that lacks it */
	unsigned int priority; /* as a target of a service */
	struct dial_options dial;
	struct resolver *resolver;  /* a reference */
	struct counters *counts;    /* NULL: not counted */
	struct server_state *state; /* a reference */

	pthread_mutex_t lock;             /* guards what follows */
	struct sfront_sockaddr *answered; /* owned: of several, the address that did so last */
};

/* The same text has the same one wherever it runs. */
uint64_t server_hash(const char *text, size_t length);

/*
 * @config: read, not kept
 * @dial:   how to connect to it; the port of a multiplexer is set here
 * @trusts_checks: see health_init()
 *
 * Returns 0, or -errno with @err saying why.  server_clear() takes it in either case.
 */
int server_init(struct server *server, const struct server_config *config,
		const struct dial_options *dial, bool trusts_checks, struct loop_guard *guard,
		struct sfront_error *err);

/* One that is all 0 is allowed. */
void server_clear(struct server *server);

/*
 * Counts and health are from now on those of @before, for which the limit of @server, and what
 * it trusts, holds as well; so is the last answer for its name.  Before other threads know @server.
 */
void server_share(struct server *server, const struct server *before);

static inline bool server_is_up(const struct server *server)
{
	return health_is_up(&server->state->health);
}

static inline unsigned int server_active(const struct server *server)
{
	return atomic_load_explicit(&server->state->active, memory_order_relaxed);
}

/* In one order with waitlist.c's count: see waitlist_join(). */
static inline bool server_has_room(const struct server *server)
{
	return atomic_load(&server->state->active) < atomic_load(&server->state->max);
}

/* Counts one more connection.  False: it has as many as it may. */
bool server_take(struct server *server);

void server_give(struct server *server);

/* The address @addr has answered.  Any thread. */
void server_note_address(struct server *server, const struct sfront_sockaddr *addr);

/* The index in @list of the address that answered last; 0 if none of them has. */
unsigned int server_preferred(struct server *server, const struct address_list *list);

#endif
