/* SPDX-License-Identifier: MIT */
/*
 * Accepts connections from every listener of the process: in turns, within
 * max-connections, and pausing while descriptors or memory are short.
 *
 * One worker accepts for all and gives each connection to whoever has the
 * fewest.  If all polled the same listeners, each client would wake them all (an
 * exclusive wake-up does not reach through libevent), and the kernel would give
 * most of the connections to the one that is awake already.
 *
 *	           no slot free                      a slot came free
 *	OPEN -------------------------> FULL -------------------------> OPEN
 *	  |        EMFILE, ENOMEM, ...                after 0.1 to 1 s
 *	  |---------------------------> PAUSED -----------------------> OPEN
 *	  |
 *	  |  drain, hand-over, or every single connection taken
 *	  '---------------------------> STOPPED
 *
 * What it accepts from is a roster, made by whoever opened the listeners; on a reload it
 * goes over to the next one between two turns.  It runs on the first worker's thread,
 * and the main thread speaks to it by messages.
 */
#ifndef DAEMON_WORKER_ACCEPTOR_H
#define DAEMON_WORKER_ACCEPTOR_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/mailbox.h"
#include "daemon/worker/dispatch.h"

struct generation;
struct loop;
struct process;

enum acceptor_state { ACCEPTOR_OPEN, ACCEPTOR_FULL, ACCEPTOR_PAUSED, ACCEPTOR_STOPPED };

/* One descriptor of one listener. */
struct accept_source {
	struct acceptor *acceptor;
	struct proxy *proxy;
	size_t index;            /* of the descriptor in the proxy's listeners */
	bool leaves;             /* the next roster lacks it; set before the switch */
	unsigned int burst;      /* how many clients a turn asks for */
	unsigned int full_turns; /* turns in a row that got them all */
	struct event event;
};

/* All that is accepted from. */
struct roster {
	size_t n;
	struct accept_source sources[];
};

/*
 * Makes the roster of a generation, which must outlive it.  NULL: out of memory.  free()
 * frees it.  The main thread's.
 */
struct roster *roster_new(const struct generation *generation);

struct acceptor {
	struct process *process;
	struct loop *loop; /* the first worker's */
	struct dispatch dispatch;
	struct roster *roster; /* borrowed */
	size_t next;           /* whose turn it is when a slot comes free */
	enum acceptor_state state;
	struct event pause;
	unsigned int pause_ms;
	uint64_t full_said_ms; /* when the log last heard that clients wait for a slot; 0: never */
	/* What the main thread asks of it. */
	struct message switch_over;
	struct message resume;
	struct message drain;
	struct message stop;
	struct message stop_if_idle;
	struct roster *next_roster;
	/* What it answers; deliver: set there. */
	struct message switched;      /* .next_roster is in use */
	struct message stopped;       /* nobody accepts any more: the listeners may be closed */
	struct message asked_if_idle; /* .stopped_idle says whether it has stopped */
	bool stopped_idle;
};

/* Sets one up on the loop of the first worker.  NULL: out of memory. */
struct acceptor *acceptor_new(struct process *process);

/* Its thread has ended, and its loop is there still.  Closes no listener.  NULL is allowed. */
void acceptor_free(struct acceptor *acceptor);

/* ---- what the main thread asks of it ---- */

/*
 * Begins to accept; or goes on with another roster ("switched").  Clients that are queued
 * at listeners which that one lacks are accepted first, as far as there are slots:
 * these will be closed.
 */
void acceptor_switch(struct acceptor *acceptor, struct roster *roster);

/* More slots may be free. */
void acceptor_resume(struct acceptor *acceptor);

/* Accepts what is queued now, as far as there are slots, and stops for good ("stopped"). */
void acceptor_drain(struct acceptor *acceptor);

/* Stops for good and leaves the queues to others who have the same sockets ("stopped"). */
void acceptor_stop(struct acceptor *acceptor);

/*
 * Stops if nobody is there and nobody waits in any queue ("asked_if_idle"): whoever comes
 * later finds a socket that is not polled here any more.
 */
void acceptor_stop_if_idle(struct acceptor *acceptor);

#endif
