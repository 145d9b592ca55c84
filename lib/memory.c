/* SPDX-License-Identifier: MIT */
/*
 * A listener for tests: a queue of socket pairs, with an eventfd that counts
 * them to be polled.  Made of custom.c.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <sockfront/memory.h>

#include "internal.h"

struct memory {
	pthread_mutex_t lock;
	int waiting_fd; /* eventfd; counts the ends that wait */
	int *ends;      /* owned, in the order in which they came */
	size_t n_ends;
};

static int take_first(struct memory *memory)
{
	eventfd_t one;
	int fd = -EAGAIN;

	pthread_mutex_lock(&memory->lock);
	if (memory->n_ends > 0 && eventfd_read(memory->waiting_fd, &one) == 0) {
		fd = memory->ends[0];
		memory->n_ends--;
		memmove(memory->ends, memory->ends + 1, memory->n_ends * sizeof(*memory->ends));
	}
	pthread_mutex_unlock(&memory->lock);
	return fd;
}

static int memory_accept(void *data, struct sfront_connection *ret_connection)
{
	int fd = take_first(data);

	if (fd < 0)
		return fd;
	*ret_connection = (struct sfront_connection){
		.read_fd = fd,
		.write_fd = fd,
		.read_stream = SFRONT_STREAM_UNIX,
		.write_stream = SFRONT_STREAM_UNIX,
		.peer = { .len = sizeof(sa_family_t), .sa.any.sa_family = AF_UNIX },
	};
	return 0;
}

static void memory_close(void *data)
{
	struct memory *memory = data;

	for (size_t i = 0; i < memory->n_ends; i++)
		close(memory->ends[i]);
	close(memory->waiting_fd);
	pthread_mutex_destroy(&memory->lock);
	free(memory->ends);
	free(memory);
}

int sfront_memory_listener_new(struct sfront_listener **ret_listener, struct sfront_error *err)
{
	static const struct sfront_listener_ops ops = {
		.size = sizeof(ops),
		.accept = memory_accept,
		.close = memory_close,
	};
	struct memory *memory = calloc(1, sizeof(*memory));
	int r;

	if (!memory || pthread_mutex_init(&memory->lock, NULL) != 0) {
		free(memory);
		return sfront_fail(err, -ENOMEM, "memory: out of memory");
	}
	memory->waiting_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE);
	if (memory->waiting_fd < 0) {
		r = sfront_fail(err, -errno, "memory: no descriptor to poll can be made: %s",
				strerror(errno));
		free(memory);
		return r;
	}
	r = sfront_listener_new(&ops, memory, memory->waiting_fd, "memory", ret_listener, err);
	if (r < 0)
		memory_close(memory);
	return r;
}

static int queue(struct memory *memory, int fd)
{
	int *ends, r = 0;

	pthread_mutex_lock(&memory->lock);
	ends = realloc(memory->ends, (memory->n_ends + 1) * sizeof(*ends));
	if (!ends) {
		r = -ENOMEM;
	} else {
		memory->ends = ends;
		if (eventfd_write(memory->waiting_fd, 1) < 0)
			r = -errno;
		else
			ends[memory->n_ends++] = fd;
	}
	pthread_mutex_unlock(&memory->lock);
	return r;
}

int sfront_memory_connect(struct sfront_listener *listener)
{
	struct memory *memory = sfront_custom_data(listener, memory_accept);
	bool was_blocking;
	int pair[2], r;

	if (!memory)
		return -EINVAL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;

	r = sfront_set_nonblocking(pair[0], &was_blocking);
	if (r == 0)
		r = queue(memory, pair[0]);
	if (r < 0) {
		close(pair[0]);
		close(pair[1]);
		return r;
	}
	return pair[1];
}
