/* SPDX-License-Identifier: MIT */
/*
 * A worker: a thread with an event base of its own, and everything that its
 * connections share.  Nothing in it is touched by another thread, the mailbox
 * aside.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "daemon/acceptor.h"
#include "daemon/mailbox.h"
#include "daemon/slab.h"
#include "daemon/transit.h"

struct service;
struct session;

struct worker {
	struct service *service;
	unsigned int index;
	pthread_t thread;
	bool started;
	struct event_base *base;
	struct mailbox mailbox;
	struct acceptor acceptor;
	struct transit_pool transits;
	struct slab sessions;
	unsigned int n_live;   /* sessions */
	struct message resume; /* a slot is free again */
	struct message drain;  /* accept what is queued, then no more */
	struct message cut;    /* end what is left */
	struct message stop;   /* leave the loop */
	/* What the worker tells the main thread; deliver: set by main.c. */
	struct message polling;  /* it accepts now */
	struct message accepted; /* it accepts no more: the listeners may be closed */
	struct message idle;     /* it accepts no more and has no connections left */
	/* The main thread's notes of that. */
	bool is_polling, has_accepted, is_idle;
};

/*
 * Sets up a zeroed worker, for all listeners of the service; starts nothing.
 * Returns 0 or -errno, with nothing left behind.
 */
int worker_init(struct worker *worker, struct service *service, unsigned int index,
		unsigned int max_pipes);

/* Starts the thread, which begins to accept.  Returns 0 or -errno. */
int worker_start(struct worker *worker);

/*
 * Have the worker stop accepting, or end its connections.  The message
 * "accepted" is posted to the main thread's mailbox once it accepts no more,
 * "idle" when it has no connections left either.
 */
void worker_drain(struct worker *worker);
void worker_cut(struct worker *worker);

/* Ends the thread, if it was started; it must be idle then.  Frees what the worker holds. */
void worker_stop(struct worker *worker);

/* What follows is called on the worker's own thread. */

/* Gives a connection's slot back and wakes the acceptors that wait for one. */
void worker_give_slot(struct worker *worker);

/* A session ended and was freed. */
void worker_session_ended(struct worker *worker);

/* The acceptor has stopped, or its single connections are all taken. */
void worker_accept_ended(struct worker *worker);

#endif
