/* SPDX-License-Identifier: MIT */
/*
 * Connecting to a backend: its addresses one after the other, as RFC 8305 has it, again
 * and again with growing pauses, until one answers or connect-timeout is over.
 */
#ifndef DAEMON_BACKEND_CONNECT_H
#define DAEMON_BACKEND_CONNECT_H

struct attempt;
struct backend;
struct loop;
struct sfront_sockaddr;

/*
 *	            the pause is over             addresses           one answers
 *	WAITING ----------------------> RESOLVING ----------> TRYING -------------> ENDED
 *	   ^                                |                   |
 *	   |              no answer         |     all failed    |
 *	   '--------------------------------+-------------------'
 *	     10 ms, doubling to 1 s
 *
 * It begins with a pause of no length, or, with a literal address that did not answer at
 * once, by TRYING that.  connect-timeout, a failure that is not worth trying again, and
 * being cancelled end it from anywhere.
 */
enum connect_state {
	CONNECT_WAITING,   /* for the next round */
	CONNECT_RESOLVING, /* for the addresses */
	CONNECT_TRYING,    /* one or several addresses are being connected to */
	CONNECT_ENDED,     /* but the answer to a question is on its way, and frees it */
};

/*
 * Told of the outcome, once, unless the attempt is given up before.
 *
 * @fd:     the connected socket, the receiver's from now on; -1: failed
 * @error:  ECONNRESET if the backend has reset the connection since, which the
 *          kernel says only once; what it sent before can still be read.  Else 0
 * @reason: why it failed, in words; NULL on success
 */
typedef void attempt_done(void *arg, int fd, int error, const char *reason);

/*
 * Starts to connect.  A loop and a backend are borrowed until the outcome; the
 * attempt holds a reference to the backend.
 *
 * @client:      copied; for backend_wants_client(), else NULL.  Its len is 0 where it has
 *               no address
 * @ret_attempt: set with -EINPROGRESS; gone once @done was called
 * @ret_error:   set with a socket; as for @done
 *
 * Returns the connected socket when the backend answered at once (no memory is
 * taken then, and @done is not called); -EINPROGRESS: @done will be called
 * later; or another -errno when there is not even memory to try.
 */
int attempt_start(struct loop *loop, struct backend *backend, const struct sfront_sockaddr *client,
		  attempt_done *done, void *arg, struct attempt **ret_attempt, int *ret_error);

/* Gives up: @done will not be called.  NULL is allowed. */
void attempt_cancel(struct attempt *attempt);

enum connect_state attempt_state(const struct attempt *attempt);

#endif
