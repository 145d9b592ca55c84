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
 * What it accepts from is a generation's; on a reload it goes over to the next
 * one's between two turns.
 */
#ifndef DAEMON_WORKER_ACCEPTOR_H
#define DAEMON_WORKER_ACCEPTOR_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct generation;
struct proxy;
struct worker;

enum acceptor_state { ACCEPTOR_OPEN, ACCEPTOR_FULL, ACCEPTOR_PAUSED, ACCEPTOR_STOPPED };

/* One descriptor of one listener. */
struct accept_source {
	struct acceptor *acceptor;
	const struct proxy *proxy;
	size_t index;            /* of the descriptor in the proxy's listener */
	unsigned int burst;      /* how many clients a turn asks for */
	unsigned int full_turns; /* turns in a row that got them all */
	struct event event;
};

struct acceptor {
	struct worker *worker;
	struct generation *generation; /* whose sources it accepts from */
	size_t next;                   /* whose turn it is when a slot comes free */
	enum acceptor_state state;
	struct event pause;
	unsigned int pause_ms;
	uint64_t full_said_ms; /* when the log last heard that clients wait for a slot; 0: never */
};

/* Makes the sources of a generation, for all its listeners.  Returns 0 or -ENOMEM. */
int acceptor_prepare(struct generation *generation);

/* Sets up a zeroed acceptor; nothing is accepted yet. */
void acceptor_init(struct acceptor *acceptor, struct worker *worker);

/* Forgets the sources; nothing is closed. */
void acceptor_clear(struct acceptor *acceptor);

/*
 * Begins to accept; or goes on with another generation's listeners.  Clients that
 * are queued at those which it lacks are accepted first, as far as there are
 * slots: these will be closed.
 */
void acceptor_switch(struct acceptor *acceptor, struct generation *generation);

/* A slot is free again. */
void acceptor_resume(struct acceptor *acceptor);

/* Accepts what is queued now, as far as there are slots, and stops for good. */
void acceptor_drain(struct acceptor *acceptor);

/* Stops for good and leaves the queues to others who have the same sockets. */
void acceptor_stop(struct acceptor *acceptor);

/*
 * Stops if nobody is there and nobody waits in any queue, and says whether it has:
 * whoever comes later finds a socket that is not polled here any more.
 */
bool acceptor_stop_if_idle(struct acceptor *acceptor);

#endif
