/* SPDX-License-Identifier: MIT */
/*
 * The relay: moves bytes from one end of a connection to the other.  It is
 * written for one end that knows its peer, so that both directions run through
 * the same code.  It knows descriptors and bytes; what follows from an
 * end of stream or an error is session.c's to decide.
 */
#ifndef DAEMON_RELAY_RELAY_H
#define DAEMON_RELAY_RELAY_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sockfront/listener.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/relay/pipe_pool.h"

/* What an end's event waits for; session.c sets it. */
enum watch {
	WATCH_NOTHING,
	WATCH_READABLE,
	WATCH_GONE /* edge-triggered: a change of state, such as a reset, while it is not read */
};

struct endpoint {
	struct event event;      /* on read_fd */
	struct pending *pending; /* read here, not yet written to the peer; NULL mostly */
	uint64_t moved;          /* bytes read here that the peer's descriptor took */
	int read_fd;             /* -1: closed */
	int write_fd;            /* the same as read_fd for a socket; -1: closed */
	uint8_t read_stream;     /* enum sfront_stream */
	uint8_t write_stream;
	uint8_t watch;     /* enum watch */
	uint8_t broken;    /* an error that a call has already taken off the socket: its errno */
	uint8_t full_runs; /* copies in a row that filled the buffer */
	uint8_t thin_runs; /* splices in a row that moved little */
	bool is_backend : 1;
	bool ended : 1;     /* nothing more will be read from here */
	bool bulk : 1;      /* what is read here goes through a pipe */
	bool coalesces : 1; /* moved in large pieces only: see coalesce.h */
	bool copy_only : 1; /* splice was refused for what is read here */
	bool restore_read : 1;
	bool restore_write : 1;
};

/* The two ends of a connection stand side by side: the client, then the backend. */
static inline struct endpoint *end_peer(struct endpoint *end)
{
	return end->is_backend ? end - 1 : end + 1;
}

/* Sockets take recv(), send() and shutdown(); the others read(), write() and close(). */
static inline bool is_socket(uint8_t stream)
{
	return stream <= SFRONT_STREAM_VSOCK;
}

enum relay_result {
	RELAY_IDLE,         /* nothing to read for now */
	RELAY_MOVED,        /* some bytes moved, and none is pending */
	RELAY_BLOCKED,      /* bytes are pending: the peer takes no more for now */
	RELAY_ENDED,        /* end of stream; none is pending */
	RELAY_READ_FAILED,  /* this end broke; errno in *ret_error */
	RELAY_WRITE_FAILED, /* the peer broke; errno in *ret_error */
	RELAY_NO_MEMORY     /* nothing was read, since it could not be kept */
};

/*
 * One turn: reads once from @from, at most a buffer or a pipe full, and writes
 * it to the peer.  Nothing may be pending.  Never blocks.
 */
enum relay_result relay_turn(struct pipe_pool *pool, struct endpoint *from, int *ret_error);

/*
 * Writes what is pending from @from.  RELAY_MOVED once none is left;
 * RELAY_BLOCKED or RELAY_WRITE_FAILED else.
 */
enum relay_result relay_flush(struct pipe_pool *pool, struct endpoint *from, int *ret_error);

#endif
