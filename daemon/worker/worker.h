/* SPDX-License-Identifier: MIT */
/*
 * A worker: a loop with a thread of its own, or the process's where it is the only one, and
 * the sessions that run on it.  Nothing in it is touched by another thread, the mailbox and
 * the load aside.
 */
#ifndef DAEMON_WORKER_WORKER_H
#define DAEMON_WORKER_WORKER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <sockfront/listener.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "daemon/session/host.h"

struct process;
struct proxy;

/* A connection on its way from the accepting thread to another. */
struct arrival {
	struct message message;
	STAILQ_ENTRY(arrival) link; /* in worker.arrived */
	struct worker *worker;
	struct proxy *proxy; /* a reference */
	size_t socket;
	struct sfront_connection connection;
};

struct worker {
	struct session_host host;
	struct process *process;
	pthread_t thread;
	bool started;
	bool finishing;                 /* no more will come */
	bool is_polling, is_idle;       /* the main thread's notes of these messages */
	atomic_uint load;               /* sessions, those on their way here included; any thread */
	STAILQ_HEAD(, arrival) arrived; /* connections that wait for memory here */
	struct event retry;             /* looks after them */
	struct message ping;            /* say that you are alive */
	struct message finish;          /* no more connections come */
	struct message drain;           /* the process is about to end */
	struct message cut;             /* end what is left */
	struct message stop;            /* leave the loop */
	/* What the worker tells the main thread; deliver: set there. */
	struct message polling; /* it runs */
	struct message pong;
	struct message idle; /* no more come, and it has none left */
};

/*
 * Sets up a zeroed worker; starts nothing.  Returns 0 or -errno, with nothing left
 * behind.
 */
int worker_init(struct worker *worker, struct process *process, unsigned int max_pipes);

/* Starts the thread.  Returns 0 or -errno. */
int worker_start(struct worker *worker);

/* Runs it on the caller's thread instead, until its loop is left. */
void worker_run(struct worker *worker);

/*
 * What the main thread asks of it: to say that it is alive ("pong"); to take it that no
 * more connections come ("idle", once those it has have ended); to hold no client for its
 * backend for long, since the process is about to end; to end those it has.
 */
void worker_ping(struct worker *worker);
void worker_finish(struct worker *worker);
void worker_drain(struct worker *worker);
void worker_cut(struct worker *worker);

/* Ends the thread, if it was started; it must be idle then. */
void worker_join(struct worker *worker);

/* After that: frees what the worker holds. */
void worker_clear(struct worker *worker);

/*
 * Serves a connection, on the worker's own thread.  Takes it, its slot and the reference
 * to the proxy; the load counts it already, and session_host_is_ready() has said yes.
 */
void worker_serve(struct worker *worker, struct proxy *proxy, size_t socket,
		  const struct sfront_connection *connection);

/* The same from another thread.  Takes @arrival, whose message and worker it fills in. */
void worker_send(struct worker *worker, struct arrival *arrival);

#endif
