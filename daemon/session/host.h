/* SPDX-License-Identifier: MIT */
/*
 * What a session needs of whoever runs it: a loop, memory, pipes, and somebody to tell
 * what becomes of it.  A worker is one; a test may be another.
 */
#ifndef DAEMON_SESSION_HOST_H
#define DAEMON_SESSION_HOST_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "daemon/backend/server_watch.h"
#include "daemon/base/fine_timer.h"
#include "daemon/base/loop.h"
#include "daemon/base/slab.h"
#include "daemon/relay/pipe_pool.h"

struct proxy;
struct session_host;
struct session_timing;
struct view_list;

/* Each is called on the host's thread. */
struct session_host_ops {
	/* a session of that proxy was freed; its slot is free */
	void (*ended)(struct session_host *host, struct proxy *proxy);
	/* a session of that proxy waits for its client's header no longer */
	void (*header_settled)(struct session_host *host, struct proxy *proxy);
	/* a session of that proxy has reached its backend, or never will */
	void (*not_held)(struct session_host *host, struct proxy *proxy);
	void (*failed)(struct session_host *host); /* the only connection of the process failed */
	void (*cut)(struct session_host *host);    /* a session was cut, and will end */
};

/* How many there are and were: written by the host's thread alone, read by any. */
struct session_counts {
	atomic_uint held;     /* clients that wait for their backend now */
	atomic_ullong served; /* clients that have reached it */
};

/* The sessions in which bytes coalesce, and the one timer that looks after them all. */
struct coalescing {
	struct fine_timer timer; /* set as long as the list has anybody */
	LIST_HEAD(, session_timing) sessions;
};

struct session_host {
	struct loop loop;
	struct pipe_pool pipes;
	struct slab sessions;
	struct slab timings;          /* of the sessions that have one */
	struct coalescing coalescing; /* coalescing.c's */
	struct session_counts counts;
	const struct session_host_ops *ops;
	event_callback_fn fired; /* session.c's: a deadline may be over */
	struct server_watch server_watch;
	struct event rescue;     /* tries again with all that are stuck; it is set up in advance */
	struct view_list *ended; /* while somebody looks: what has ended since; else NULL */
	bool is_rescue_due;
	bool draining; /* clients are not held for a backend for long any more */
	bool cutting;  /* those that start now are cut at once */
};

/* Whether there is memory for one session more. */
static inline bool session_host_is_ready(struct session_host *host)
{
	return slab_ready(&host->sessions);
}

#endif
