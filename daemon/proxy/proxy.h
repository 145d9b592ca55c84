/* SPDX-License-Identifier: MIT */
/*
 * A proxy at work: its settings, what it listens on and its backend.  Opened and
 * freed by the main thread, read by every worker.  It lives as long as a generation
 * or a session has a reference to it.
 */
#ifndef DAEMON_PROXY_PROXY_H
#define DAEMON_PROXY_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "daemon/base/mailbox.h"
#include "daemon/proxy/bucket.h"
#include "daemon/proxy/connection_limit.h"
#include "daemon/proxy/listener.h"
#include "daemon/proxy/listeners.h"

struct backend;
struct counters;
struct expansion;
struct source_table;
struct loop;
struct loop_guard;
struct prober;

/* One of the descriptors that a proxy accepts from. */
struct proxy_socket {
	struct listener *listener;
	size_t index;            /* in that */
	struct counters *counts; /* NULL: not counted */
	bool is_repeated;        /* an earlier one of the proxy has the same name, and counts */
};

/* What the same section has in common over all generations that have it. */
struct proxy_limit {
	atomic_uint refs; /* a proxy each */
	pthread_mutex_t lock;
	_Atomic(struct proxy *) newest; /* of those; NULL: it is gone; changed under the lock */
	struct connection_limit connections;
	struct bucket bucket;            /* of connection-rate; the acceptor's */
	struct source_table *sources;    /* NULL while nothing is limited per source */
	struct connection_limit awaited; /* those that owe a PROXY protocol header */
	uint64_t awaited_said_ms;        /* as full_said_ms, of these */
	struct connection_limit held;    /* those that no server has answered yet: see max-held */
	uint64_t held_said_ms;           /* as full_said_ms, of these */
	uint64_t full_said_ms;           /* when the log last heard that it has all it may have; the
					    acceptor's */
};

struct proxy {
	struct proxy_config config; /* owned; without its lines, which are open */
	struct backend *backend;    /* as configured: see proxy_backend() */
	struct prober *prober;      /* NULL: the backend has one server, or there is an expansion */
	struct expansion *expansion; /* NULL: the servers are those that are configured */
	struct listener **listeners; /* one for each listen line; a reference each */
	size_t n_listeners;
	struct proxy_socket *sockets; /* those of all lines */
	size_t n_sockets;
	struct proxy_limit *limit;  /* a reference */
	struct counters *counts;    /* NULL: not counted */
	atomic_uint refs;           /* its generation's, each session's */
	enum access_log access_log; /* the process's setting at that time */
	struct loop *home;          /* the main thread's; borrowed */
	struct message unused;
};

/*
 * Opens every listen line that @find does not know and, for a literal one,
 * knows the backend's address.  In a process that is to end when it is quiet, a listener
 * of our own is an error instead.
 *
 * @config:  its contents are taken on success
 * @process: borrowed for the call
 * @guard:   for the backend; the caller adds the addresses
 * @home:    the main thread's loop, by which it is freed, and on which servers are probed; it
 *           may begin to run later
 *
 * Returns it with one reference, or NULL with @err saying why.
 */
struct proxy *proxy_open(struct proxy_config *config, const struct process_config *process,
			 struct loop_guard *guard, listener_finder *find, void *data,
			 struct loop *home, struct sfront_error *err);

/*
 * Lets go of the inherited descriptors that no other proxy has, with the options that
 * they had, for one that will not be used: whoever had them before goes on with them.
 */
void proxy_give_back(struct proxy *proxy);

/*
 * Counts the connections of @proxy with those of @before, which has the same name in an
 * older generation, and goes on with what is known of the servers that both have.  Before the
 * first one is accepted.
 */
void proxy_share(struct proxy *proxy, const struct proxy *before);

/* Any thread. */
struct proxy *proxy_ref(struct proxy *proxy);

/*
 * The clients of @proxy that have no server yet go on at the newest one of its section, if there
 * is one that tells its servers who the client is in the same way.  Main thread.
 */
void proxy_be_replaced(struct proxy *proxy);

/*
 * The backend for a client that is to have a server now, that of the newest proxy: see
 * proxy_be_replaced().  A reference of the caller's.  Any thread.
 */
struct backend *proxy_backend(const struct proxy *proxy);

/* The same as its lines have it, for what is said of it: a name is one server there. */
struct backend *proxy_configured_backend(const struct proxy *proxy);

/* Begins to look after the servers; the main thread's loop is there. */
void proxy_start_probes(struct proxy *proxy);

/* Ends that, for good. */
void proxy_stop_probes(struct proxy *proxy);

/* Any thread but the main one, which frees it after the last one. */
void proxy_unref(struct proxy *proxy);

/* The main thread's: frees it at once if that was the last one.  NULL is allowed. */
void proxy_drop(struct proxy *proxy);

static inline struct listener_socket *proxy_socket_at(const struct proxy *proxy, size_t index)
{
	return &proxy->sockets[index].listener->sockets[proxy->sockets[index].index];
}

/* Warns where whoever can reach a socket is trusted to say who its client is. */
void proxy_warn_of_trust(const struct proxy *proxy);

/*
 * Says in the log what it listens on, free ports resolved.  @only_new: and no
 * older generation did.
 */
void proxy_announce(const struct proxy *proxy, bool only_new);

#endif
