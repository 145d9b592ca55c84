/* SPDX-License-Identifier: MIT */
/*
 * The relay while the kernel, or we, have no memory: nothing is lost, nothing arrives
 * twice, and the same call succeeds once there is some.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/relay/relay.h"
#include "tests/unit/descriptors.h"

#define SIZE ((size_t)40000)

/* Which call fails, and with what; 0: it does not. */
static struct {
	int recv, send, splice_in, splice_out;
	bool malloc;
} fails;

ssize_t __real_recv(int fd, void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags)
{
	errno = fails.recv;
	return fails.recv ? -1 : __real_recv(fd, data, size, flags);
}

ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
	errno = fails.send;
	return fails.send ? -1 : __real_send(fd, data, size, flags);
}

static bool is_pipe(int fd)
{
	return lseek(fd, 0, SEEK_CUR) < 0 && errno == ESPIPE &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &(int){ 0 }, &(socklen_t){ sizeof(int) }) < 0;
}

ssize_t __real_splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t size,
		      unsigned int flags);
ssize_t __wrap_splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t size,
		      unsigned int flags);
ssize_t __wrap_splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t size,
		      unsigned int flags)
{
	int error = is_pipe(in) ? fails.splice_out : fails.splice_in;

	errno = error;
	return error ? -1 : __real_splice(in, in_at, out, out_at, size, flags);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return fails.malloc ? NULL : __real_malloc(size);
}

struct rig {
	struct pipe_pool pool;
	struct endpoint ends[2];
	int source, sink;
	unsigned char sent[SIZE], received[SIZE + 1];
	size_t n_received;
};

static void set_up(struct rig *rig, bool splices)
{
	int pair[2];

	memset(rig, 0, sizeof(*rig));
	memset(&fails, 0, sizeof(fails));
	pipe_pool_init(&rig->pool, splices ? 65536 : 0, 4);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
		*(i == 0 ? &rig->source : &rig->sink) = pair[0];
		rig->ends[i].read_fd = rig->ends[i].write_fd = pair[1];
		rig->ends[i].read_stream = rig->ends[i].write_stream = SFRONT_STREAM_UNIX;
		rig->ends[i].is_backend = i == 1;
	}
	rig->ends[0].bulk = splices;
	for (size_t i = 0; i < SIZE; i++)
		rig->sent[i] = (unsigned char)(i * 7 + i / 256);
	assert_int_equal(write(rig->source, rig->sent, SIZE), SIZE);
}

static void drain(struct rig *rig)
{
	ssize_t n;

	while ((n = read(rig->sink, rig->received + rig->n_received,
			 sizeof(rig->received) - rig->n_received)) > 0)
		rig->n_received += (size_t)n;
}

/* There is memory again: everything arrives, once. */
static void arrives(struct rig *rig)
{
	int error = 0;

	memset(&fails, 0, sizeof(fails));
	for (int i = 0; i < 100 && rig->n_received < SIZE; i++) {
		enum relay_result result = rig->ends[0].pending
						   ? relay_flush(&rig->pool, rig->ends, &error)
						   : relay_turn(&rig->pool, rig->ends, &error);

		assert_true(result == RELAY_MOVED || result == RELAY_BLOCKED);
		drain(rig);
	}
	assert_int_equal(rig->n_received, SIZE);
	assert_memory_equal(rig->received, rig->sent, SIZE);
	assert_int_equal(rig->ends[0].moved, SIZE);
	assert_null(rig->ends[0].pending);
	close(rig->source);
	close(rig->sink);
	close(rig->ends[0].read_fd);
	close(rig->ends[1].read_fd);
	pipe_pool_clear(&rig->pool);
}

static void assert_no_memory(struct rig *rig, bool pending)
{
	int error = 0;

	for (int i = 0; i < 3; i++) {
		enum relay_result result = rig->ends[0].pending
						   ? relay_flush(&rig->pool, rig->ends, &error)
						   : relay_turn(&rig->pool, rig->ends, &error);

		assert_int_equal(result, RELAY_NO_MEMORY);
		assert_int_equal(rig->ends[0].pending != NULL, pending);
		assert_int_equal(error, 0);
		assert_int_equal(rig->ends[0].broken, 0);
	}
}

static const int errors[] = { ENOMEM, ENOBUFS };

static void test_of_the_kernel_to_read(void **state)
{
	struct rig rig;

	(void)state;
	for (int i = 0; i < 2; i++)
		for (int splices = 0; splices < 2; splices++) {
			set_up(&rig, splices);
			fails.recv = fails.splice_in = errors[i];
			assert_no_memory(&rig, false);
			arrives(&rig);
		}
}

/* What splice cannot have, recv may. */
static void test_of_the_kernel_to_splice_alone(void **state)
{
	struct rig rig;
	int error = 0;

	(void)state;
	for (int i = 0; i < 2; i++) {
		set_up(&rig, true);
		fails.splice_in = errors[i];
		assert_int_equal(relay_turn(&rig.pool, rig.ends, &error), RELAY_MOVED);
		drain(&rig);
		assert_true(rig.n_received > 0);
		arrives(&rig);
	}
}

static void test_of_the_kernel_to_write(void **state)
{
	struct rig rig;

	(void)state;
	for (int i = 0; i < 2; i++)
		for (int splices = 0; splices < 2; splices++) {
			set_up(&rig, splices);
			fails.send = fails.splice_out = errors[i];
			assert_no_memory(&rig, true);
			arrives(&rig);
		}
}

/* The destination refuses to be spliced to, and there is no memory to copy what is in the pipe. */
static void test_of_ours_to_leave_the_pipe(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig, true);
	assert_non_null(pipe_pool_buffer(&rig.pool));
	pending_drop(&rig.pool, pipe_pool_borrow(&rig.pool)); /* there is one in stock */
	fails.splice_out = EINVAL;
	fails.malloc = true;
	assert_no_memory(&rig, true);
	assert_false(rig.ends[0].copy_only);
	fails.malloc = false;
	assert_int_equal(relay_flush(&rig.pool, rig.ends, &(int){ 0 }), RELAY_MOVED);
	assert_true(rig.ends[0].copy_only);
	drain(&rig);
	arrives(&rig);
}

static void test_of_ours_to_read(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig, false);
	fails.malloc = true;
	assert_no_memory(&rig, false);
	arrives(&rig);
}

/* Any other error is one. */
static void test_what_is_no_want_of_memory(void **state)
{
	struct rig rig;
	int error = 0;

	(void)state;
	set_up(&rig, false);
	fails.recv = EIO;
	assert_int_equal(relay_turn(&rig.pool, rig.ends, &error), RELAY_READ_FAILED);
	assert_int_equal(error, EIO);
	fails.recv = 0;
	fails.send = ECONNRESET;
	assert_int_equal(relay_turn(&rig.pool, rig.ends, &error), RELAY_WRITE_FAILED);
	assert_int_equal(error, ECONNRESET);
	rig.n_received = SIZE;
	close(rig.source);
	close(rig.sink);
	close(rig.ends[0].read_fd);
	close(rig.ends[1].read_fd);
	pipe_pool_clear(&rig.pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_of_the_kernel_to_read),  counted(test_of_the_kernel_to_splice_alone),
		counted(test_of_the_kernel_to_write), counted(test_of_ours_to_leave_the_pipe),
		counted(test_of_ours_to_read),        counted(test_what_is_no_want_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
