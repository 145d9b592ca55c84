/* SPDX-License-Identifier: MIT */
/*
 * What the threads of the process share.  control/lifecycle.c sets it up before the workers
 * start; afterwards only the members marked so change.
 */
#ifndef DAEMON_WORKER_PROCESS_H
#define DAEMON_WORKER_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "daemon/base/loop.h"
#include "daemon/proxy/connection_limit.h"

struct acceptor;
struct counters;
struct generation;
struct roster;
struct proxy;
struct worker;

struct process {
	struct process_config settings; /* in force; the main thread's */
	struct generation *generation;  /* the current one; the main thread's */
	struct roster *roster;          /* what is accepted from; the main thread's */
	struct worker *workers;
	unsigned int n_workers;
	struct acceptor *acceptor;         /* runs on the first worker's thread */
	bool interactive;                  /* stdin is the connection, and a terminal */
	struct loop loop;                  /* the main thread's: signals, timers of the whole */
	struct connection_limit limit;     /* changes; any thread */
	struct connection_limit awaited;   /* the same, of those who owe a header */
	unsigned int possible_connections; /* that there are descriptors for */
	/* Who is told when a slot is free that somebody found none of: the acceptor. */
	struct {
		struct mailbox *mailbox;
		struct message *slot_free;
	} waiter;
	/* Somebody who wants to hear of the next connection that begins or ends, once. */
	struct {
		atomic_bool waits;
		struct mailbox *mailbox;
		struct message changed;
	} observer;
	struct counters *_Atomic counts; /* NULL: nothing is counted; a reload may change that */
	atomic_int exit_status;          /* changes: 1 once a single connection has failed */
	atomic_uint cut;                 /* changes: connections that were cut at a drain's end */
};

/* Gives back a slot of @proxy's and tells the waiter, if it wants one.  Any thread. */
void process_give_slot(struct process *process, struct proxy *proxy);

/*
 * Who is accepted may owe a PROXY protocol header until it has sent it: takes a place for one
 * of these, beside its slot.  False: a quarter of the slots is taken by others.  The giver of
 * the next place will tell the waiter.  A proxy that accepts no header needs none.
 */
bool process_await_header(struct process *process, struct proxy *proxy);

/* The same, whether there is a place or not. */
void process_exceed_awaited(struct process *process, struct proxy *proxy);

/* Gives the place back: the header is there, or is not awaited any more.  Any thread. */
void process_settle_header(struct process *process, struct proxy *proxy);

/*
 * Who is accepted is held until a server has answered: takes a place for one of these.  False:
 * max-held of them are there.  The giver of the next place will tell the waiter.  A proxy
 * without max-held needs none.
 */
bool process_hold(struct proxy *proxy);

/* The same, whether there is a place or not. */
void process_exceed_held(struct proxy *proxy);

/* Gives the place back: a server has answered, or the client is gone.  Any thread. */
void process_unhold(struct process *process, struct proxy *proxy);

/* Counts one of enum process_count.  Any thread that has a row, see counters.h. */
void process_count(struct process *process, unsigned int which);

/* Begins to count what the status tells, if the configuration has one.  The main thread's. */
void process_start_counting(struct process *process);

/* At the end, after everything that counts is freed. */
void process_stop_counting(struct process *process);

/* A connection has begun or ended: tells the observer, if it waits for that.  Any thread. */
void process_connections_changed(struct process *process);

/*
 * Sets how many connections there may be: @max of the process and, where there are several
 * proxies, fewer of each, so that none takes the last eighth from the others.  The main
 * thread's.
 */
void process_set_limit(struct process *process, unsigned int max);

#endif
