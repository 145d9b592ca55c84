/* SPDX-License-Identifier: MIT */
/*
 * Bytes in transit and the pool of pipes: see transit.h.  Used by relay.c.
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

void transit_pool_init(struct transit_pool *pool, size_t pipe_size, unsigned int max_pipes)
{
	*pool = (struct transit_pool){ .pipe_size = pipe_size, .max_pipes = max_pipes };
}

static void pipe_free(struct transit_pool *pool, struct transit *pipe)
{
	close(pipe->pipe[0]);
	close(pipe->pipe[1]);
	free(pipe);
	pool->n_pipes--;
}

void transit_pool_trim(struct transit_pool *pool)
{
	while (pool->pipes != NULL) {
		struct transit *pipe = pool->pipes;

		pool->pipes = pipe->next;
		pipe_free(pool, pipe);
	}
	pool->n_idle = 0;
}

void transit_pool_clear(struct transit_pool *pool)
{
	transit_pool_trim(pool);
	free(pool->buffer);
	pool->buffer = NULL;
}

static struct transit *transit_new(size_t data_size)
{
	struct transit *transit = malloc(sizeof(*transit) + data_size);

	if (transit == NULL)
		return NULL;
	memset(transit, 0, sizeof(*transit));
	transit->pipe[0] = transit->pipe[1] = -1;
	transit->capacity = data_size;
	return transit;
}

static struct transit *pipe_new(struct transit_pool *pool)
{
	struct transit *pipe = transit_new(0);
	int size;

	if (pipe == NULL)
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

struct transit *transit_borrow_pipe(struct transit_pool *pool)
{
	struct transit *pipe = pool->pipes;

	if (pipe != NULL) {
		pool->pipes = pipe->next;
		pool->n_idle--;
		return pipe;
	}
	if (pool->pipe_size == 0 || pool->n_pipes >= pool->max_pipes ||
	    (pool->no_pipe_until_ms != 0 && clock_ms() < pool->no_pipe_until_ms))
		return NULL;
	pipe = pipe_new(pool);
	pool->no_pipe_until_ms = pipe == NULL ? clock_ms() + NO_PIPE_MS : 0;
	pool->pipe_capacity = pipe == NULL ? 0 : pipe->capacity;
	return pipe;
}

unsigned char *transit_buffer(struct transit_pool *pool)
{
	if (pool->buffer == NULL)
		pool->buffer = transit_new(COPY_SIZE);
	return pool->buffer != NULL ? pool->buffer->data : NULL;
}

struct transit *transit_keep(struct transit_pool *pool, size_t offset, size_t length)
{
	struct transit *kept = transit_new(length);

	if (kept != NULL) {
		memcpy(kept->data, pool->buffer->data + offset, length);
	} else {
		kept = pool->buffer;
		kept->offset = offset;
		pool->buffer = NULL;
	}
	kept->length = length;
	return kept;
}

static void stop_waiting(struct transit *transit)
{
	if (!transit->waiting)
		return;
	event_del(&transit->writable);
	transit->waiting = false;
}

struct transit *transit_from_pipe(struct transit_pool *pool, struct transit *pipe)
{
	struct transit *memory = transit_new(pipe->length);

	stop_waiting(pipe);
	while (memory != NULL && memory->length < pipe->length) {
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

void transit_give_back(struct transit_pool *pool, struct transit *transit)
{
	if (transit == NULL)
		return;
	stop_waiting(transit);
	if (transit->pipe[0] < 0) {
		free(transit);
	} else if (transit->length > 0 || pool->n_idle >= KEEP_IDLE) {
		pipe_free(pool, transit);
	} else {
		transit->next = pool->pipes;
		pool->pipes = transit;
		pool->n_idle++;
	}
}
