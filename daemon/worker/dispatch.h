/* SPDX-License-Identifier: MIT */
/*
 * Who gets a connection that was just accepted: the worker that has the fewest.  Called
 * on the accepting thread, which is the first worker's.
 */
#ifndef DAEMON_WORKER_DISPATCH_H
#define DAEMON_WORKER_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>

struct arrival;
struct process;
struct proxy;
struct sfront_connection;

struct dispatch {
	struct process *process;
	struct arrival *spare; /* for the next connection that goes to another worker */
};

/* Whether there is memory to take a connection, whoever gets it. */
bool dispatch_is_ready(struct dispatch *dispatch);

/*
 * Gives a connection away.  Takes the connection and its slot, and a reference of its
 * own to the proxy; dispatch_is_ready() must have said that there is room.
 */
void dispatch_connection(struct dispatch *dispatch, struct proxy *proxy, size_t socket,
			 const struct sfront_connection *connection);

void dispatch_clear(struct dispatch *dispatch);

#endif
