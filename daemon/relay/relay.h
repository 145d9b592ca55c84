/* SPDX-License-Identifier: MIT */
/*
 * The relay: moves bytes from one end of a connection to the other.  It is
 * written for one end that knows its peer, so that both directions run through
 * the same code.  It knows descriptors and bytes; what follows from an
 * end of stream or an error is session.c's to decide.
 */
#ifndef DAEMON_RELAY_RELAY_H
#define DAEMON_RELAY_RELAY_H

#include "daemon/relay/endpoint.h"
#include "daemon/relay/pipe_pool.h"

enum relay_result {
	RELAY_IDLE,         /* nothing to read for now */
	RELAY_MOVED,        /* some bytes moved, and none is pending */
	RELAY_BLOCKED,      /* bytes are pending: the peer takes no more for now */
	RELAY_ENDED,        /* end of stream; none is pending */
	RELAY_READ_FAILED,  /* this end broke; errno in *ret_error */
	RELAY_WRITE_FAILED, /* the peer broke; errno in *ret_error */
	RELAY_NO_MEMORY     /* the kernel or we have none: nothing is lost, try again later */
};

/*
 * One turn: reads once from @from, at most a buffer or a pipe full, and writes
 * it to the peer.  Nothing may be pending.  Never blocks.
 */
enum relay_result relay_turn(struct pipe_pool *pool, struct endpoint *from, int *ret_error);

/*
 * Writes what is pending from @from.  RELAY_MOVED once none is left;
 * RELAY_BLOCKED, RELAY_NO_MEMORY or RELAY_WRITE_FAILED else.
 */
enum relay_result relay_flush(struct pipe_pool *pool, struct endpoint *from, int *ret_error);

#endif
