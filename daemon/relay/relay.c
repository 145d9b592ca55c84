/* SPDX-License-Identifier: MIT */
/*
 * Moves bytes from one end to its peer: small traffic by recv() and send()
 * through the worker's one buffer, bulk traffic by splice() through a borrowed
 * pipe.  One read and one write a turn: a busy connection cannot starve
 * others, and bytes that coalesce meanwhile go in fewer, larger moves.
 *
 * Level-triggered on purpose: a short read never means "drained" (a UNIX socket
 * stops at a passed descriptor, TCP at the urgent mark), so nobody here infers
 * it.
 */
#include "daemon/relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <sockfront/listener.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/relay/passed_fds.h"

/* A direction is bulk after this many full copies in a row ... */
#define BULK_AFTER 2
/* ... and small again after this many splices in a row that a copy would have done better. */
#define SMALL_AFTER 4
#define THIN_SPLICE 16384

/*
 * What one splice() may read.  A pipe counts in buffers, and the network's are
 * often larger than the pages that its size is given in: it may take far more
 * than that, and stops when it is full.
 */
#define SPLICE_SIZE ((size_t)1 << 20)

static bool is_refusal(int error)
{
	return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

/* Errors that the socket tells once; others, such as a lack of memory, are the call's own. */
static bool is_of_the_connection(int error)
{
	return error == ECONNRESET || error == ETIMEDOUT || error == EPIPE ||
	       error == EHOSTUNREACH || error == ENETUNREACH || error == ECONNABORTED;
}

static ssize_t receive(const struct endpoint *end, unsigned char *data, size_t size)
{
	if (!is_socket(end->read_stream))
		return read(end->read_fd, data, size);
	if (end->fds_may_come)
		return passed_fds_recv(end->read_fd, data, size);
	return recv(end->read_fd, data, size, 0);
}

/* A terminal whose other side was closed says EIO for ever: that is its end of file. */
static ssize_t read_once(const struct endpoint *end, unsigned char *data, size_t size)
{
	ssize_t n;

	do {
		n = receive(end, data, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EIO && end->read_stream == SFRONT_STREAM_TERMINAL)
		return 0;
	return n;
}

static ssize_t write_once(const struct endpoint *end, const unsigned char *data, size_t size)
{
	ssize_t n;

	do {
		n = is_socket(end->write_stream) ? send(end->write_fd, data, size, MSG_NOSIGNAL)
						 : write(end->write_fd, data, size);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* The kernel has no memory for this call: it may have some for a later one. */
static bool is_memory(int error)
{
	return error == ENOMEM || error == ENOBUFS;
}

/*
 * Writes as much as the descriptor takes now.  A plain file is never polled,
 * so a short write to one is followed up here.  Returns how much, or -errno.
 *
 * @ret_starved: whether it stopped because the kernel has no memory
 */
static ssize_t write_some(const struct endpoint *end, const unsigned char *data, size_t size,
			  bool *ret_starved)
{
	size_t done = 0;

	*ret_starved = false;
	do {
		ssize_t n = write_once(end, data + done, size - done);

		if (n < 0 && (errno == EAGAIN || is_memory(errno))) {
			*ret_starved = errno != EAGAIN;
			break;
		}
		if (n < 0)
			return -errno;
		done += (size_t)n;
	} while (done < size && end->write_stream == SFRONT_STREAM_FILE);
	return (ssize_t)done;
}

static enum relay_result write_failed(ssize_t error, int *ret_error)
{
	*ret_error = (int)-error;
	return RELAY_WRITE_FAILED;
}

static enum relay_result read_failed(int *ret_error)
{
	if (errno == EAGAIN)
		return RELAY_IDLE;
	if (is_memory(errno))
		return RELAY_NO_MEMORY;
	*ret_error = errno;
	return RELAY_READ_FAILED;
}

/* The kernel tells of a reset once; whoever heard of it left a note. */
static enum relay_result ended(const struct endpoint *from, int *ret_error)
{
	if (from->broken == 0)
		return RELAY_ENDED;
	*ret_error = from->broken;
	return RELAY_READ_FAILED;
}

/* Counts what the copy path reads: full buffers in a row are bulk traffic. */
static void note_copy(struct endpoint *from, size_t n)
{
	from->full_runs = n == COPY_SIZE ? (uint8_t)(from->full_runs + 1) : 0;
	if (from->full_runs < BULK_AFTER)
		return;
	from->bulk = endpoint_can_splice(from);
	from->full_runs = 0;
	from->thin_runs = 0;
}

static void note_splice(struct endpoint *from, size_t n)
{
	from->thin_runs = n < THIN_SPLICE ? (uint8_t)(from->thin_runs + 1) : 0;
	if (from->thin_runs >= SMALL_AFTER)
		from->bulk = false;
}

static enum relay_result turn_by_copy(struct pipe_pool *pool, struct endpoint *from, int *ret_error)
{
	unsigned char *buffer = pipe_pool_buffer(pool);
	ssize_t n, written;
	bool starved;

	if (!buffer)
		return RELAY_NO_MEMORY;

	n = read_once(from, buffer, COPY_SIZE);
	if (n < 0)
		return read_failed(ret_error);
	if (n == 0)
		return ended(from, ret_error);
	note_copy(from, (size_t)n);

	written = write_some(end_peer(from), buffer, (size_t)n, &starved);
	if (written < 0)
		return write_failed(written, ret_error);
	from->moved += (uint64_t)written;
	if (written == n)
		return RELAY_MOVED;

	from->pending = pending_keep(pool, (size_t)written, (size_t)(n - written));
	return starved ? RELAY_NO_MEMORY : RELAY_BLOCKED;
}

static ssize_t splice_once(int from, int to, size_t size)
{
	ssize_t n;

	do {
		n = splice(from, NULL, to, NULL, size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* @n: what splice() from @from gave, not more than 0. */
static void note_read_failure(struct endpoint *from, ssize_t n)
{
	if (n == 0 || errno == EAGAIN)
		return;
	if (is_refusal(errno))
		from->copy_only = true;
	else
		from->broken = is_of_the_connection(errno) ? (uint8_t)errno : 0;
	from->bulk = false;
}

/* Counts @n bytes that the peer took: what we have said ourselves comes first. */
static void note_taken(struct endpoint *from, size_t n)
{
	struct pending *pending = from->pending;
	size_t own = n < pending->own ? n : pending->own;

	pending->own -= own;
	pending->offset += n;
	pending->length -= n;
	from->moved += n - own;
}

static enum relay_result flush_memory(struct pipe_pool *pool, struct endpoint *from, int *ret_error)
{
	struct pending *pending = from->pending;
	bool starved;
	ssize_t n = write_some(end_peer(from), pending->data + pending->offset, pending->length,
			       &starved);

	if (n < 0)
		return write_failed(n, ret_error);
	note_taken(from, (size_t)n);
	if (pending->length > 0)
		return starved ? RELAY_NO_MEMORY : RELAY_BLOCKED;

	from->pending = NULL;
	pending_drop(pool, pending);
	return RELAY_MOVED;
}

/* The destination refused to be spliced to with bytes already in the pipe: copy those, and all that
 * follow. */
static enum relay_result flush_refused(struct pipe_pool *pool, struct endpoint *from,
				       int *ret_error)
{
	struct pending *memory = pending_from_pipe(pool, from->pending);

	if (!memory)
		return RELAY_NO_MEMORY;
	from->copy_only = true;
	from->bulk = false;
	from->pending = memory;
	return flush_memory(pool, from, ret_error);
}

/* RELAY_MOVED leaves the empty pipe with @from, unless splicing to the peer was refused. */
static enum relay_result drain_pipe(struct pipe_pool *pool, struct endpoint *from, int *ret_error)
{
	struct pending *pipe = from->pending;
	ssize_t n = splice_once(pipe->pipe[0], end_peer(from)->write_fd, pipe->length);

	if (n < 0 && is_refusal(errno))
		return flush_refused(pool, from, ret_error);
	if (n < 0 && is_memory(errno))
		return RELAY_NO_MEMORY;
	if (n < 0)
		return errno == EAGAIN ? RELAY_BLOCKED : write_failed(-errno, ret_error);
	from->moved += (uint64_t)n;
	pipe->length -= (size_t)n;
	return pipe->length > 0 ? RELAY_BLOCKED : RELAY_MOVED;
}

/*
 * Where the destination sets the pace, waiting for it and for the source in
 * turns costs four changes of events for each pipe full.  So the pipe is filled
 * again as soon as the destination has taken all, and goes on waiting for it.
 * What else reading may tell is left for the next turn.
 */
static bool refill_pipe(struct endpoint *from)
{
	struct pending *pipe = from->pending;
	ssize_t n;

	if (!pipe->waiting || !from->bulk ||
	    (from->coalesces && from->read_stream == SFRONT_STREAM_TCP))
		return false;
	n = splice_once(from->read_fd, pipe->pipe[1], SPLICE_SIZE);
	if (n <= 0) {
		note_read_failure(from, n);
		return false;
	}
	note_splice(from, (size_t)n);
	pipe->length = (size_t)n;
	return true;
}

static enum relay_result flush_pipe(struct pipe_pool *pool, struct endpoint *from, int *ret_error)
{
	struct pending *pipe = from->pending;
	enum relay_result result = drain_pipe(pool, from, ret_error);

	if (result == RELAY_MOVED && from->pending == pipe && refill_pipe(from))
		result = drain_pipe(pool, from, ret_error);
	if (result == RELAY_MOVED && from->pending == pipe) {
		from->pending = NULL;
		pending_drop(pool, pipe);
	}
	return result;
}

/*
 * TCP's splice() stops at the urgent mark, with EAGAIN for as long as the
 * socket is readable, and after a FIN with a 0 that leaves bytes unread.  So
 * both are believed only when recv() says the same; a pipe or a UNIX socket is
 * asked again too, which costs one call at the end of its stream.
 */
static enum relay_result turn_by_splice(struct pipe_pool *pool, struct endpoint *from,
					struct pending *pipe, int *ret_error)
{
	ssize_t n = splice_once(from->read_fd, pipe->pipe[1], SPLICE_SIZE);

	if (n <= 0) {
		note_read_failure(from, n);
		pending_drop(pool, pipe);
		return turn_by_copy(pool, from, ret_error);
	}
	note_splice(from, (size_t)n);
	pipe->length = (size_t)n;
	from->pending = pipe;
	return flush_pipe(pool, from, ret_error);
}

enum relay_result relay_turn(struct pipe_pool *pool, struct endpoint *from, int *ret_error)
{
	struct pending *pipe = from->bulk ? pipe_pool_borrow(pool) : NULL;

	/* What a copy leaves behind must not wait for as much as a pipe takes. */
	from->bulk = pipe != NULL;
	return pipe ? turn_by_splice(pool, from, pipe, ret_error)
		    : turn_by_copy(pool, from, ret_error);
}

enum relay_result relay_flush(struct pipe_pool *pool, struct endpoint *from, int *ret_error)
{
	return from->pending->pipe[0] >= 0 ? flush_pipe(pool, from, ret_error)
					   : flush_memory(pool, from, ret_error);
}
