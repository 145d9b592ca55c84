/* SPDX-License-Identifier: MIT */
/*
 * A worker: a thread with an event base of its own, and everything that its
 * connections share.  Nothing in it is touched by another thread, the mailbox
 * aside.
 */
#ifndef DAEMON_WORKER_WORKER_H
#define DAEMON_WORKER_WORKER_H

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/mailbox.h"
#include "daemon/base/slab.h"
#include "daemon/relay/pipe_pool.h"
#include "daemon/worker/acceptor.h"

struct generation;
struct handover;
struct proxy;
struct process;
struct session;
struct sfront_connection;

struct worker {
	struct process *process;
	unsigned int index;
	pthread_t thread;
	bool started;
	struct event_base *base;
	struct mailbox mailbox;
	struct acceptor acceptor;        /* in use by the first worker alone */
	struct handover *spare;          /* for the next connection that goes to another worker */
	STAILQ_HEAD(, handover) arrived; /* connections that wait for memory here */
	struct event retry;              /* looks after them */
	struct pipe_pool pipes;
	struct slab sessions;
	struct slab timers;    /* of the sessions that have one */
	atomic_uint load;      /* sessions, those on their way here included; any thread */
	bool accept_over;      /* no more will come */
	bool cutting;          /* those that are still on their way are cut */
	struct message resume; /* a slot is free again */
	/* For the acceptor of the first worker. */
	struct message switch_over;    /* accept for .next_generation from now on */
	struct message drain;          /* accept what is queued, then no more */
	struct message stop_accepting; /* no more: somebody else accepts from the same sockets */
	struct message stop_if_idle;   /* no more, if nobody is there */
	struct generation *next_generation;
	bool stopped_idle; /* the answer to .stop_if_idle */
	/* For each worker. */
	struct message ping;   /* say that you are alive */
	struct message finish; /* no more connections come */
	struct message cut;    /* end what is left */
	struct message stop;   /* leave the loop */
	/* What the worker tells the main thread; deliver: set by lifecycle.c. */
	struct message polling;  /* it runs */
	struct message switched; /* .next_generation is in use */
	struct message asked_if_idle;
	struct message pong;
	struct message accepted; /* nobody accepts any more: the listeners may be closed */
	struct message idle;     /* no more come, and it has none left */
	/* The main thread's notes of that. */
	bool is_polling, is_idle;
};

/* The worker whose member the message is. */
#define worker_of(message, member) \
	((struct worker *)((char *)(message)-offsetof(struct worker, member)))

/*
 * Sets up a zeroed worker, for all listeners of the service; starts nothing.
 * Returns 0 or -errno, with nothing left behind.
 */
int worker_init(struct worker *worker, struct process *process, unsigned int index,
		unsigned int max_pipes);

/* Starts the thread, which does not accept yet.  Returns 0 or -errno. */
int worker_start(struct worker *worker);

/*
 * What the main thread asks of the first worker, and the answer to it: to accept
 * for that generation from now on ("switched"); to look again whether a slot is
 * free; to take what is queued and stop accepting, or to leave the queues to
 * others ("accepted"); to stop if nobody is there and nobody waits
 * ("asked_if_idle").
 */
void worker_switch(struct worker *worker, struct generation *generation);
void worker_resume(struct worker *worker);
void worker_drain(struct worker *worker);
void worker_stop_accepting(struct worker *worker);
void worker_stop_if_idle(struct worker *worker);

/*
 * And of each: to say that it is alive ("pong"); to take it that no more
 * connections come ("idle", once those it has have ended); to end those it has.
 */
void worker_ping(struct worker *worker);
void worker_finish(struct worker *worker);
void worker_cut(struct worker *worker);

/* Ends the thread, if it was started; it must be idle then.  Frees what the worker holds. */
void worker_stop(struct worker *worker);

/* What follows is called on the worker's own thread. */

/* Whether there is memory to take a connection, whoever gets it. */
bool worker_can_take(struct worker *worker);

/*
 * Gives a connection that was just accepted to the worker that has the fewest.
 * Takes the connection and its slot; worker_can_take() must have said that
 * there is room.
 */
void dispatch_connection(struct worker *worker, const struct proxy *proxy, size_t socket,
			 const struct sfront_connection *connection);

/* Gives a connection's slot back and wakes the acceptors that wait for one. */
void worker_give_slot(struct worker *worker);

/* A session ended and was freed. */
void worker_session_ended(struct worker *worker);

/* The acceptor has stopped, or its single connections are all taken. */
void worker_accept_ended(struct worker *worker);

#endif
