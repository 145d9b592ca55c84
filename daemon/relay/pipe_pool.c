/* SPDX-License-Identifier: MIT */
/*
 * Bytes pending and the pool of pipes: see pipe_pool.h.  Used by relay.c.
 */
#include "daemon/relay/pipe_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"

/* Idle pipes beyond these are closed: each is two descriptors. */
#define KEEP_IDLE 16

/*
 * An unprivileged user's pipes shrink to two pages once the user has too many
 * of them (pipe-user-pages-soft); through such a one, copying is cheaper.
 */
#define SMALLEST_PIPE 65536

/* Without descriptors, or past that limit: how long connections copy before the next try. */
#define NO_PIPE_MS 1000

void pipe_pool_init(struct pipe_pool *pool, size_t pipe_size, unsigned int max_pipes)
{
	*pool = (struct pipe_pool){
		.pipe_size = pipe_size,
		.pipe_capacity = pipe_size,
		.max_pipes = max_pipes,
	};
}

static void pipe_free(struct pipe_pool *pool, struct pending *pipe)
{
	close(pipe->pipe[0]);
	close(pipe->pipe[1]);
	free(pipe);
	pool->n_pipes--;
}

void pipe_pool_trim(struct pipe_pool *pool)
{
	while (pool->pipes) {
		struct pending *pipe = pool->pipes;

		pool->pipes = pipe->next;
		pipe_free(pool, pipe);
	}
	pool->n_idle = 0;
}

void pipe_pool_clear(struct pipe_pool *pool)
{
	pipe_pool_trim(pool);
	free(pool->buffer);
	pool->buffer = NULL;
}

static struct pending *pending_new(size_t data_size)
{
	struct pending *pending = malloc(sizeof(*pending) + data_size);

	if (!pending)
		return NULL;
	memset(pending, 0, sizeof(*pending));
	pending->pipe[0] = pending->pipe[1] = -1;
	pending->capacity = data_size;
	return pending;
}

static struct pending *pipe_new(struct pipe_pool *pool)
{
	struct pending *pipe = pending_new(0);
	int size;

	if (!pipe)
		return NULL;
	if (pipe2(pipe->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
		free(pipe);
		return NULL;
	}
	pool->n_pipes++;

	/* Refused or cut down for the unprivileged: what it then holds is what counts. */
	(void)fcntl(pipe->pipe[1], F_SETPIPE_SZ, (int)pool->pipe_size);
	size = fcntl(pipe->pipe[1], F_GETPIPE_SZ);
	if (size < 0 || ((size_t)size < pool->pipe_size && size < SMALLEST_PIPE)) {
		pipe_free(pool, pipe);
		return NULL;
	}
	pipe->capacity = (size_t)size;
	return pipe;
}

struct pending *pipe_pool_borrow(struct pipe_pool *pool)
{
	struct pending *pipe = pool->pipes;

	if (pipe) {
		pool->pipes = pipe->next;
		pool->n_idle--;
		return pipe;
	}
	if (pool->pipe_size == 0 || pool->n_pipes >= pool->max_pipes ||
	    (pool->no_pipe_until_ms != 0 && clock_ms() < pool->no_pipe_until_ms))
		return NULL;
	pipe = pipe_new(pool);
	pool->no_pipe_until_ms = !pipe ? clock_ms() + NO_PIPE_MS : 0;
	pool->pipe_capacity = !pipe ? 0 : pipe->capacity;
	return pipe;
}

unsigned char *pipe_pool_buffer(struct pipe_pool *pool)
{
	if (!pool->buffer)
		pool->buffer = pending_new(COPY_SIZE);
	return pool->buffer ? pool->buffer->data : NULL;
}

struct pending *pending_keep(struct pipe_pool *pool, size_t offset, size_t length)
{
	struct pending *kept = pending_new(length);

	if (kept) {
		memcpy(kept->data, pool->buffer->data + offset, length);
	} else {
		kept = pool->buffer;
		kept->offset = offset;
		pool->buffer = NULL;
	}
	kept->length = length;
	return kept;
}

static void stop_waiting(struct pending *pending)
{
	if (!pending->waiting)
		return;
	event_del(&pending->writable);
	pending->waiting = false;
}

struct pending *pending_from_pipe(struct pipe_pool *pool, struct pending *pipe)
{
	struct pending *memory = pending_new(pipe->length);

	if (!memory)
		return NULL;
	stop_waiting(pipe);
	while (memory->length < pipe->length) {
		ssize_t n = read(pipe->pipe[0], memory->data + memory->length,
				 pipe->length - memory->length);

		if (n > 0)
			memory->length += (size_t)n;
		else if (n == 0 || errno != EINTR)
			break; /* the pipe holds less than was counted: cannot be */
	}
	pipe_free(pool, pipe);
	return memory;
}

void pending_drop(struct pipe_pool *pool, struct pending *pending)
{
	if (!pending)
		return;
	stop_waiting(pending);
	if (pending->pipe[0] < 0) {
		free(pending);
	} else if (pending->length > 0 || pool->n_idle >= KEEP_IDLE) {
		pipe_free(pool, pending);
	} else {
		pending->next = pool->pipes;
		pool->pipes = pending;
		pool->n_idle++;
	}
}
