/* SPDX-License-Identifier: MIT */
/*
 * Connecting to a backend: its servers, and their addresses, one after the other as RFC 8305
 * has it, again and again with growing pauses, until one answers or connect-timeout is over.
 */
#ifndef DAEMON_BACKEND_CONNECT_H
#define DAEMON_BACKEND_CONNECT_H

#include <sockfront/address.h>
#include <stdbool.h>
#include <stdint.h>

struct attempt;
struct backend;
struct loop;
struct server;

/*
 *	            the pause is over             addresses           one answers
 *	WAITING ----------------------> RESOLVING ----------> TRYING -------------> ENDED
 *	   ^   |                            |                   |
 *	   |   | every server   no answer   |     all failed    |
 *	   |   | is full, or <--------------+-------------------'
 *	   |   | the unit     10 ms, doubling to 1 s
 *	   |   v is not up
 *	   '-- QUEUED
 *	    there is room, the unit is up, or has failed, which ends it
 *
 * It begins with a pause of no length, or, with a literal address that did not answer at
 * once, by TRYING that.  connect-timeout, a failure that is not worth trying again, and
 * being cancelled end it from anywhere.
 */
enum connect_state {
	CONNECT_WAITING,   /* for the next round */
	CONNECT_QUEUED,    /* for room at a server, or for the unit of the backend */
	CONNECT_RESOLVING, /* for the addresses of the servers that were begun with */
	CONNECT_TRYING,    /* one or several addresses are being connected to */
	CONNECT_ENDED,     /* but the answer to a question is on its way, and frees it */
};

/* What has come of it. */
struct outcome {
	int fd; /* the connected socket, the receiver's from now on; -1: failed */
	/*
	 * ECONNRESET if the server has reset the connection since, which the kernel says
	 * only once; what it sent before can still be read.  Else 0.
	 */
	int error;
	/*
	 * That of fd: for the receiver to leave, see backend_leave() and backend_client_goes(),
	 * with its backend kept till then.
	 */
	struct server *server;
	const char *reason; /* why it failed, in words; NULL on success, and if it is_moved */
	/*
	 * On success, if they were asked for: from the beginning until the address that answered
	 * was begun with, and from then on.
	 */
	uint64_t queued_us, connect_us;
	unsigned int retries; /* addresses that were begun with besides the last one */
	/*
	 * The backend has been replaced before a server was found, and the newest one is to be
	 * asked: see attempt_resume().
	 */
	bool is_moved;
	struct {
		uint64_t deadline_ms, arrived;
		uint64_t began_us;
		unsigned int n_tries;
	} moved;
};

/* Whom an attempt is for. */
struct attempt_client {
	uint64_t source;             /* see backend_wants_source() */
	struct sfront_sockaddr addr; /* see backend_wants_client(); len 0: it has none */
	const char *id;              /* borrowed: for log-level debug; NULL: that is told nothing */
	bool is_timed;               /* somebody wants the times of the outcome */
};

/* Told of the outcome, once, unless the attempt is given up before. */
typedef void attempt_done(void *arg, const struct outcome *outcome);

/*
 * Starts to connect.  A loop and a backend are borrowed until the outcome; the
 * attempt holds a reference to the backend.
 *
 * @client:      copied
 * @ret_attempt: set with -EINPROGRESS; gone once @done was called
 * @ret_outcome: set with 0
 *
 * Returns 0 when a server answered at once (no memory is taken then, and @done is not
 * called); -EINPROGRESS: @done will be called later; or another -errno when there is not
 * even memory to try.
 */
int attempt_start(struct loop *loop, struct backend *backend, const struct attempt_client *client,
		  attempt_done *done, void *arg, struct attempt **ret_attempt,
		  struct outcome *ret_outcome);

/*
 * Goes on at another backend with what has moved, until the same deadline and in the same place
 * of the queue.
 *
 * @outcome: that of the attempt before; read, not kept
 *
 * Returns it, or NULL when out of memory.
 */
struct attempt *attempt_resume(struct loop *loop, struct backend *backend,
			       const struct attempt_client *client, const struct outcome *outcome,
			       attempt_done *done, void *arg);

/*
 * Connects to one server, whoever else there is, to learn whether it answers: once, within
 * @timeout_ms, counted nowhere.  Its outcome is not to be left.  A failure is noted as one of a
 * check; what success means is the caller's to say.
 *
 * Returns it, or NULL when out of memory.
 */
struct attempt *attempt_probe(struct loop *loop, struct backend *backend, struct server *server,
			      uint64_t timeout_ms, attempt_done *done, void *arg);

/*
 * Ends with an outcome that is_moved where the backend was replaced, and no server is tried that
 * the new one has as well.  May call @done.
 */
void attempt_follow(struct attempt *attempt);

/* Gives up: @done will not be called.  NULL is allowed. */
void attempt_cancel(struct attempt *attempt);

enum connect_state attempt_state(const struct attempt *attempt);

#endif
