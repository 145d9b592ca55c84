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
 *	  |  drain, or every single connection taken
 *	  '---------------------------> STOPPED
 */
#ifndef DAEMON_ACCEPTOR_H
#define DAEMON_ACCEPTOR_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>

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
	bool closed; /* it was for one connection, which is taken, or it broke */
};

struct acceptor {
	struct worker *worker;
	struct accept_source *sources;
	size_t n_sources;
	size_t next; /* whose turn it is when a slot comes free */
	enum acceptor_state state;
	struct event pause;
	unsigned int pause_ms;
};

/*
 * Sets up for all listeners of the worker's service; starts nothing.
 * Returns 0 or -errno.
 */
int acceptor_init(struct acceptor *acceptor, struct worker *worker);

void acceptor_clear(struct acceptor *acceptor);

/* Begins to accept. */
void acceptor_start(struct acceptor *acceptor);

/* A slot is free again. */
void acceptor_resume(struct acceptor *acceptor);

/* Accepts what is queued now, as far as there are slots, and stops for good. */
void acceptor_drain(struct acceptor *acceptor);

#endif
