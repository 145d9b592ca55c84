/* SPDX-License-Identifier: MIT */
/*
 * Accepts connections from every listener of the process: in turns, within the limits of
 * connections, and pausing while descriptors or memory are short.
 *
 * One worker accepts for all and gives each connection to whoever has the
 * fewest.  If all polled the same listeners, each client would wake them all (an
 * exclusive wake-up does not reach through libevent), and the kernel would give
 * most of the connections to the one that is awake already.
 *
 *	           no slot is free                   a slot came free
 *	OPEN -------------------------> FULL -------------------------> OPEN
 *	  |        EMFILE, ENOMEM, ...                after 0.1 to 1 s
 *	  |---------------------------> PAUSED -----------------------> OPEN
 *	  |
 *	  |  drain                      as slots come free, those who are queued
 *	  |---------------------------> DRAINING -----------------------.
 *	  |                                     all are accepted, stop  |
 *	  |  stop, or every single connection is taken                  v
 *	  '--------------------------------------------------------> STOPPED
 *
 * What it accepts from is a roster, made by whoever opened the listeners; on a reload it
 * goes over to the next one between two turns, and takes what is still queued at the
 * listeners which that one lacks.  It runs on the first worker's thread, and the main
 * thread speaks to it by messages.
 */
#ifndef DAEMON_WORKER_ACCEPTOR_H
#define DAEMON_WORKER_ACCEPTOR_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/base/mailbox.h"
#include "daemon/worker/dispatch.h"

struct acceptor;
struct generation;
struct loop;
struct process;

enum acceptor_state {
	ACCEPTOR_OPEN,     /* the sources are polled */
	ACCEPTOR_FULL,     /* clients wait for a slot; nothing is polled */
	ACCEPTOR_PAUSED,   /* descriptors or memory are short; nothing is polled */
	ACCEPTOR_DRAINING, /* no client that comes now is accepted */
	ACCEPTOR_STOPPED
};

/*
 *	         its proxy has all it may have        a connection of that ended
 *	READY ----------------------------> HELD ---------------------------> READY
 *	  |      EPERM, EACCES, connection-rate       after 0.1 to 1 s, or a token's time
 *	  |-------------------------------> RESTING ------------------------> READY
 *	  |      a roster without it, drain           its queue is empty, stop
 *	  |-------------------------------> LEAVING ------------------------> DONE
 *	  |      the one connection is taken, or the listener broke
 *	  '-----------------------------------------------------------------> DONE
 */
enum source_state {
	SOURCE_READY, /* polled while the acceptor is OPEN */
	SOURCE_HELD,
	SOURCE_RESTING,
	SOURCE_LEAVING, /* those who were queued then are accepted */
	SOURCE_DONE
};

/* One descriptor of one listener. */
struct accept_source {
	TAILQ_ENTRY(accept_source) turn; /* in acceptor.turns, until it is DONE */
	struct roster *roster;
	struct proxy *proxy;
	size_t index; /* of the descriptor in the proxy's listeners */
	enum source_state state;
	unsigned int left;       /* LEAVING: how many clients to accept at most */
	unsigned int burst;      /* how many clients a turn asks for */
	unsigned int full_turns; /* turns in a row that got them all */
	unsigned int rest_ms;    /* how long it rests the next time */
	uint64_t rest_due_ms;    /* RESTING: until then, by clock_exact_ms() */
	uint64_t token_due_ns;   /* clients may wait for connection-rate since then; 0: none do */
	struct event readable;
};

/* All that is accepted from. */
struct roster {
	struct acceptor *acceptor; /* once that accepts from it */
	struct generation *generation;
	size_t n_users;        /* sources that are not DONE, and the acceptor while it is current */
	struct event deadline; /* the end of drain-timeout, once there is a newer one */
	struct message over;   /* to the main thread; deliver: set there */
	bool is_over;          /* the main thread's note of that */
	struct roster *older;  /* the main thread's */
	size_t n;
	struct accept_source sources[];
};

/*
 * Makes the roster of a generation, which must outlive it.
 *
 * @over: called on the main thread once a newer roster is in use and nothing is accepted
 *        from this one any more: free() may free it then, and listeners be closed
 *
 * NULL: out of memory.  The main thread's.
 */
struct roster *roster_new(struct generation *generation, void (*over)(struct message *message));

struct acceptor {
	struct process *process;
	struct loop *loop; /* the first worker's */
	struct dispatch dispatch;
	struct roster *roster;             /* borrowed; the current one */
	TAILQ_HEAD(, accept_source) turns; /* whose turn it is comes first */
	size_t n_turns;
	enum acceptor_state state;
	struct event pause;
	unsigned int pause_ms;
	struct event rest;     /* the first of the RESTING sources is due */
	uint64_t rest_due_ms;  /* when that is; UINT64_MAX: none rests */
	struct event patience; /* none of the clients of LEAVING sources found a slot for long */
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
	struct message draining;      /* who can be accepted has been; others wait for a slot */
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
 * Begins to accept; or goes on with another roster ("switched").  The clients that are
 * queued at listeners which that one lacks are accepted as slots come free, within the new
 * generation's drain-timeout; then the old roster is over.
 */
void acceptor_switch(struct acceptor *acceptor, struct roster *roster);

/* More slots may be free.  Any thread. */
void acceptor_resume(struct acceptor *acceptor);

/*
 * Accepts what is queued now and stops for good ("stopped").  Those for whom there is no
 * slot yet are accepted as slots come free ("draining").  Listeners that the process of an
 * upgrade has taken over are left to that.
 */
void acceptor_drain(struct acceptor *acceptor);

/*
 * Stops for good ("stopped").  The queues are left to others who have the same sockets; of
 * a drain that is under way, the clients that nobody else can serve are turned away,
 * and the log says how many.
 */
void acceptor_stop(struct acceptor *acceptor);

/*
 * Stops if nobody is served and nobody waits in any queue ("asked_if_idle"): whoever comes
 * later finds a socket that is not polled here any more.
 */
void acceptor_stop_if_idle(struct acceptor *acceptor);

#endif
