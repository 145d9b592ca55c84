/* SPDX-License-Identifier: MIT */
/*
 * Bytes pending: read from one end of a connection and not yet written to
 * the other.  They lie in a pipe (for splice) or in memory (for copies), and
 * only connections that have some own a struct pending.
 *
 * A worker keeps a few empty pipes for reuse.  A pipe with bytes in it never
 * goes back: the next connection would send them to its own peer.
 */
#ifndef DAEMON_RELAY_PIPE_POOL_H
#define DAEMON_RELAY_PIPE_POOL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one recv() may read; every worker has one such buffer for all its connections. */
#define COPY_SIZE ((size_t)65536)

struct pending {
	struct pending *next;  /* in the pool */
	struct event writable; /* waits until the destination takes more; set up by session.c */
	bool waiting;          /* ... and is added */
	int pipe[2];           /* read and write end; -1: the bytes are in data */
	size_t capacity;       /* of the pipe, or of data */
	size_t offset;         /* in data, of the first byte not yet written */
	size_t length;         /* bytes not yet written */
	size_t own;            /* the first so many are ours, and not what an end has sent */
	unsigned char data[];
};

/* One worker's stock. */
struct pipe_pool {
	struct pending *pipes; /* empty pipes */
	unsigned int n_idle;
	atomic_uint n_pipes;    /* idle and borrowed; any thread may read it */
	unsigned int max_pipes; /* descriptors are scarce: past this, connections copy */
	size_t pipe_size;       /* wanted; 0: never splice */
	size_t pipe_capacity; /* of the last one, or what is wanted; 0: there was none to be had */
	uint64_t no_pipe_until_ms; /* there was none to be had; not asked again before */
	struct pending *buffer;    /* the copy buffer; NULL while out of memory */
};

void pipe_pool_init(struct pipe_pool *pool, size_t pipe_size, unsigned int max_pipes);

/* Everything borrowed must have come back. */
void pipe_pool_clear(struct pipe_pool *pool);

/* Closes the idle pipes: a worker without connections holds none. */
void pipe_pool_trim(struct pipe_pool *pool);

/*
 * Borrows an empty pipe.  NULL: splicing is off, or there is no pipe to be had
 * now (the limit, no descriptors, or pipes that are too small to be worth it).
 */
struct pending *pipe_pool_borrow(struct pipe_pool *pool);

/*
 * The copy buffer, COPY_SIZE bytes.  NULL: out of memory; do not read, since
 * what is read could not be kept.
 */
unsigned char *pipe_pool_buffer(struct pipe_pool *pool);

/*
 * Keeps @length bytes that begin at @offset in the copy buffer.  Cannot fail: without
 * memory for a copy, the buffer itself is given away.
 */
struct pending *pending_keep(struct pipe_pool *pool, size_t offset, size_t length);

/*
 * Moves what is in @pipe into memory, for a destination that cannot be spliced
 * to.  Takes @pipe, unless it returns NULL: out of memory.
 */
struct pending *pending_from_pipe(struct pipe_pool *pool, struct pending *pipe);

/* Gives back; what is left in it is dropped, and nothing waits any more.  NULL is allowed. */
void pending_drop(struct pipe_pool *pool, struct pending *pending);

#endif
