/* SPDX-License-Identifier: MIT */
/*
 * The relay over real sockets, without events: a case plays both peers and
 * calls one turn after the other.  Every case runs on both data paths.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sockfront/listener.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/relay/relay.h"
#include "tests/unit/descriptors.h"

#define MANY ((size_t)3 << 20)

/* The linker sends malloc() here: test_relay.wrap. */
static bool memory_is_out;
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return memory_is_out ? NULL : __real_malloc(size);
}

struct rig {
	struct event_base *base;
	struct pipe_pool pool;
	struct endpoint ends[2]; /* bytes go from the first to the second */
	int source;              /* what the sending peer writes to */
	int sink;                /* what the receiving peer reads from */
	bool splices;
};

/* A pair of connected sockets of that family, both non-blocking. */
static void make_pair(int family, int pair[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int listener;

	if (family == AF_UNIX) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
		return;
	}
	listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(pair[0], (struct sockaddr *)&addr, len), 0);
	pair[1] = accept(listener, NULL, NULL);
	assert_true(pair[1] >= 0);
	close(listener);
	for (int i = 0; i < 2; i++)
		assert_int_equal(fcntl(pair[i], F_SETFL, O_NONBLOCK), 0);
}

static void end_init(struct endpoint *end, bool is_backend, int fd, int family)
{
	uint8_t stream = family == AF_UNIX ? SFRONT_STREAM_UNIX : SFRONT_STREAM_TCP;
	int one = 1;

	*end = (struct endpoint){ .is_backend = is_backend,
				  .read_fd = fd,
				  .write_fd = fd,
				  .read_stream = stream,
				  .write_stream = stream };
	if (family == AF_INET)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)), 0);
}

static void rig_up(struct rig *rig, int from_family, int to_family, bool splices)
{
	int pair[2];

	memset(rig, 0, sizeof(*rig));
	rig->splices = splices;
	rig->base = event_base_new();
	assert_non_null(rig->base);
	pipe_pool_init(&rig->pool, splices ? 65536 : 0, 4);
	make_pair(from_family, pair);
	rig->source = pair[0];
	end_init(&rig->ends[0], false, pair[1], from_family);
	make_pair(to_family, pair);
	rig->sink = pair[0];
	end_init(&rig->ends[1], true, pair[1], to_family);
	rig->ends[0].bulk = splices;
}

static void rig_down(struct rig *rig)
{
	pending_drop(&rig->pool, rig->ends[0].pending);
	pipe_pool_clear(&rig->pool);
	assert_int_equal(rig->pool.n_pipes, 0);
	event_base_free(rig->base);
	for (int fd = 0; fd < 4; fd++) {
		int fds[] = { rig->source, rig->sink, rig->ends[0].read_fd, rig->ends[1].read_fd };

		if (fds[fd] >= 0)
			close(fds[fd]);
	}
}

static void hang_up(int *fd)
{
	close(*fd);
	*fd = -1;
}

static void reset(int *fd)
{
	struct linger linger = { .l_onoff = 1 };

	assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	hang_up(fd);
}

/* Waits as the daemon's events would, so that a turn is taken only when it makes sense. */
static bool ready(int fd, short what)
{
	struct pollfd pfd = { .fd = fd, .events = what };

	return poll(&pfd, 1, what == POLLIN ? 1 : 0) == 1;
}

static void never(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* As session.c does: what is pending waits for the destination. */
static void wait_to_write(struct rig *rig)
{
	struct pending *pending = rig->ends[0].pending;

	if (pending->waiting)
		return;
	event_assign(&pending->writable, rig->base, -1, EV_WRITE, never, NULL);
	pending->waiting = true;
}

static enum relay_result step(struct rig *rig, int *ret_error)
{
	if (rig->ends[0].pending != NULL)
		wait_to_write(rig);
	if (rig->ends[0].pending != NULL)
		return ready(rig->ends[1].write_fd, POLLOUT)
			       ? relay_flush(&rig->pool, &rig->ends[0], ret_error)
			       : RELAY_BLOCKED;
	return ready(rig->ends[0].read_fd, POLLIN)
		       ? relay_turn(&rig->pool, &rig->ends[0], ret_error)
		       : RELAY_IDLE;
}

static unsigned char *pattern(size_t size)
{
	unsigned char *data = malloc(size);

	assert_non_null(data);
	for (size_t i = 0; i < size; i++)
		data[i] = (unsigned char)(i * 2654435761U >> 13);
	return data;
}

/*
 * Relays until it ends or breaks, while the source sends @data and hangs up as
 * told and the sink reads in pieces of @sip.  Returns the last result; what
 * came through must be the first bytes of @data.
 */
static enum relay_result pump(struct rig *rig, const unsigned char *data, size_t size, size_t sip,
			      void (*then)(int *fd), size_t *ret_received, int *ret_error)
{
	unsigned char *piece = malloc(sip);
	enum relay_result result;
	size_t sent = 0, received = 0;

	assert_non_null(piece);
	do {
		ssize_t n = 0;

		if (rig->source >= 0 && sent < size)
			n = send(rig->source, data + sent, size - sent, MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		if (rig->source >= 0 && sent == size && then != NULL)
			then(&rig->source);
		result = step(rig, ret_error);
		n = recv(rig->sink, piece, sip, 0);
		if (n > 0) {
			assert_true(received + (size_t)n <= size);
			assert_memory_equal(piece, data + received, (size_t)n);
			received += (size_t)n;
		}
	} while (result == RELAY_MOVED || result == RELAY_BLOCKED ||
		 (result == RELAY_IDLE && received < size));
	assert_null(rig->ends[0].pending);

	hang_up(&rig->ends[1].read_fd);
	for (ssize_t n = 1; n > 0; received += n > 0 ? (size_t)n : 0) {
		if (!ready(rig->sink, POLLIN))
			break;
		n = recv(rig->sink, piece, sip, 0);
		if (n > 0)
			assert_memory_equal(piece, data + received, (size_t)n);
	}
	free(piece);
	assert_true(rig->ends[0].moved == received);
	*ret_received = received;
	return result;
}

static void exact_to_the_end(bool splices)
{
	static const int families[] = { AF_INET, AF_UNIX };
	static const size_t sips[] = { 1000, 65536, 1 << 20 };
	unsigned char *data = pattern(MANY);

	for (size_t i = 0; i < 12; i++) {
		struct rig rig;
		size_t received;
		int error = 0;

		rig_up(&rig, families[i % 2], families[i / 2 % 2], splices);
		assert_int_equal(pump(&rig, data, MANY, sips[i / 4], hang_up, &received, &error),
				 RELAY_ENDED);
		assert_int_equal(received, MANY);
		rig_down(&rig);
	}
	free(data);
}

static void bytes_before_a_reset(bool splices)
{
	unsigned char *data = pattern(100000);
	struct rig rig;
	size_t received;
	int error = 0;

	rig_up(&rig, AF_INET, AF_INET, splices);
	assert_int_equal(pump(&rig, data, 100000, 65536, reset, &received, &error),
			 RELAY_READ_FAILED);
	assert_int_equal(error, ECONNRESET);
	assert_int_equal(received, 100000);
	rig_down(&rig);
	free(data);
}

static void send_urgent(int *fd)
{
	assert_int_equal(send(*fd, "!", 1, MSG_OOB), 1);
	assert_int_equal(send(*fd, "after", 5, 0), 5);
	hang_up(fd);
}

static void urgent_byte_stays(bool splices)
{
	static const unsigned char behind[6] = { '!', 'a', 'f', 't', 'e', 'r' };
	unsigned char *data = pattern(100006);
	struct rig rig;
	size_t received = 0;
	int error = 0;

	rig_up(&rig, AF_INET, AF_INET, splices);
	memcpy(data + 100000, behind, sizeof(behind));
	assert_int_equal(send(rig.source, data, 100000, 0), 100000);
	send_urgent(&rig.source);
	assert_int_equal(pump(&rig, data, 100006, 65536, NULL, &received, &error), RELAY_ENDED);
	assert_int_equal(received, 100006);
	rig_down(&rig);
	free(data);
}

static void broken_destination(bool splices)
{
	enum relay_result result;
	struct rig rig;
	int error = 0;

	rig_up(&rig, AF_INET, AF_UNIX, splices);
	hang_up(&rig.sink);
	assert_int_equal(send(rig.source, "lost", 4, 0), 4);
	do {
		result = step(&rig, &error);
	} while (result == RELAY_IDLE || result == RELAY_MOVED);
	assert_int_equal(result, RELAY_WRITE_FAILED);
	assert_int_equal(error, EPIPE);
	rig_down(&rig);
}

/* A file opened for appending refuses splice() with the bytes already in the pipe. */
static void refused_splice_loses_nothing(bool splices)
{
	unsigned char *data = pattern(200000), *back = malloc(200000);
	char path[] = "/tmp/test_relay.XXXXXX";
	enum relay_result result = RELAY_MOVED;
	struct rig rig;
	size_t sent = 0;
	int error = 0;

	rig_up(&rig, AF_UNIX, AF_UNIX, splices);
	close(rig.ends[1].read_fd);
	rig.ends[1].read_fd = rig.ends[1].write_fd = mkstemp(path);
	assert_int_equal(fcntl(rig.ends[1].write_fd, F_SETFL, O_APPEND), 0);
	rig.ends[1].write_stream = SFRONT_STREAM_PIPE;
	while (rig.ends[0].moved < 200000) {
		ssize_t n = send(rig.source, data + sent, 200000 - sent, MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		result = step(&rig, &error);
		assert_true(result == RELAY_MOVED || result == RELAY_IDLE);
	}
	assert_int_equal(rig.ends[0].copy_only, splices);
	assert_int_equal(pread(rig.ends[1].write_fd, back, 200000, 0), 200000);
	assert_memory_equal(back, data, 200000);
	unlink(path);
	rig_down(&rig);
	free(back);
	free(data);
}

static void nothing_to_read(bool splices)
{
	struct rig rig;
	int error = 0;

	rig_up(&rig, AF_INET, AF_INET, splices);
	assert_int_equal(relay_turn(&rig.pool, &rig.ends[0], &error), RELAY_IDLE);
	assert_null(rig.ends[0].pending);
	assert_int_equal(rig.pool.n_pipes, rig.pool.n_idle);
	rig_down(&rig);
}

#define BOTH_PATHS(name)                           \
	static void name##_by_copy(void **state)   \
	{                                          \
		(void)state;                       \
		name(false);                       \
	}                                          \
	static void name##_by_splice(void **state) \
	{                                          \
		(void)state;                       \
		name(true);                        \
	}

BOTH_PATHS(exact_to_the_end)
BOTH_PATHS(bytes_before_a_reset)
BOTH_PATHS(urgent_byte_stays)
BOTH_PATHS(broken_destination)
BOTH_PATHS(refused_splice_loses_nothing)
BOTH_PATHS(nothing_to_read)

/* Full buffers in a row are bulk traffic; thin splices in a row are not. */
static void path_follows_the_traffic(void **state)
{
	unsigned char *data = pattern(COPY_SIZE);
	unsigned char back[COPY_SIZE];
	struct rig rig;
	int error = 0;

	(void)state;
	rig_up(&rig, AF_UNIX, AF_UNIX, true);
	rig.ends[0].bulk = false;
	for (int i = 0; i < 2; i++) {
		assert_false(rig.ends[0].bulk);
		assert_int_equal(send(rig.source, data, COPY_SIZE, 0), COPY_SIZE);
		assert_int_equal(relay_turn(&rig.pool, &rig.ends[0], &error), RELAY_MOVED);
		assert_int_equal(recv(rig.sink, back, COPY_SIZE, MSG_WAITALL), COPY_SIZE);
	}
	assert_true(rig.ends[0].bulk);
	for (int i = 0; i < 100 && rig.ends[0].bulk; i++) {
		assert_int_equal(send(rig.source, "thin", 4, 0), 4);
		assert_int_equal(relay_turn(&rig.pool, &rig.ends[0], &error), RELAY_MOVED);
		assert_int_equal(recv(rig.sink, back, 4, 0), 4);
	}
	assert_false(rig.ends[0].bulk);
	rig_down(&rig);
	free(data);
}

/* Without a pipe to be had, bulk traffic is copied and nobody notices; so it is no longer bulk. */
static void copies_without_pipes(void **state)
{
	unsigned char *data = pattern(MANY);
	struct rig rig;
	size_t received;
	int error = 0;

	(void)state;
	rig_up(&rig, AF_INET, AF_INET, true);
	rig.pool.max_pipes = 0;
	assert_int_equal(pump(&rig, data, MANY, 65536, hang_up, &received, &error), RELAY_ENDED);
	assert_int_equal(received, MANY);
	assert_false(rig.ends[0].bulk);
	assert_int_equal(rig.pool.n_pipes, 0);
	rig_down(&rig);
	free(data);
}

/* A pipe with somebody's bytes in it must not go to the next connection. */
static void full_pipe_is_never_pooled(void **state)
{
	unsigned char *data = pattern(65536);
	struct rig rig;
	int error = 0, small = 4096;

	(void)state;
	rig_up(&rig, AF_INET, AF_UNIX, true);
	assert_int_equal(
		setsockopt(rig.ends[1].write_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	while (step(&rig, &error) != RELAY_BLOCKED)
		(void)send(rig.source, data, 65536, MSG_NOSIGNAL);
	assert_non_null(rig.ends[0].pending);
	assert_int_equal(rig.pool.n_pipes, 1);
	pending_drop(&rig.pool, rig.ends[0].pending);
	rig.ends[0].pending = NULL;
	assert_int_equal(rig.pool.n_pipes, 0);
	assert_int_equal(rig.pool.n_idle, 0);
	rig_down(&rig);
	free(data);
}

/* A pipe that was emptied is filled again without the wait for the destination ending. */
static void destination_sets_the_pace(void **state)
{
	unsigned char *data = pattern(65536), piece[65536];
	const struct pending *pipe;
	struct rig rig;
	int error = 0, small = 4096;

	(void)state;
	rig_up(&rig, AF_INET, AF_UNIX, true);
	assert_int_equal(
		setsockopt(rig.ends[1].write_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	while (step(&rig, &error) != RELAY_BLOCKED)
		(void)send(rig.source, data, 65536, MSG_NOSIGNAL);
	pipe = rig.ends[0].pending;
	wait_to_write(&rig);
	while (rig.ends[0].moved < MANY) {
		(void)send(rig.source, data, 65536, MSG_NOSIGNAL);
		while (recv(rig.sink, piece, sizeof(piece), 0) > 0)
			;
		assert_int_equal(step(&rig, &error), RELAY_BLOCKED);
		assert_ptr_equal(rig.ends[0].pending, pipe);
		assert_true(pipe->waiting);
	}
	rig_down(&rig);
	free(data);
}

/* Without memory for the buffer nothing is read, so that nothing is lost; later it is. */
static void no_memory(void **state)
{
	struct rig rig;
	char piece[8];
	int error = 0;

	(void)state;
	rig_up(&rig, AF_INET, AF_INET, false);
	assert_int_equal(send(rig.source, "early", 5, 0), 5);
	memory_is_out = true;
	assert_int_equal(step(&rig, &error), RELAY_NO_MEMORY);
	assert_int_equal(rig.ends[0].moved, 0);
	assert_null(rig.ends[0].pending);
	memory_is_out = false;
	assert_int_equal(step(&rig, &error), RELAY_MOVED);
	assert_int_equal(recv(rig.sink, piece, sizeof(piece), 0), 5);
	assert_memory_equal(piece, "early", 5);
	rig_down(&rig);
}

/* What was read has a place without more memory: the buffer that it lies in. */
static void no_memory_to_keep_what_was_read(void **state)
{
	char *data = malloc(MANY), *received = malloc(MANY);
	const int small = 16384;
	size_t sent = 0, got = 0;
	struct rig rig;
	int error = 0;

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		data[i] = (char)(i * 7 + i / 251);
	rig_up(&rig, AF_INET, AF_INET, false);
	assert_int_equal(
		setsockopt(rig.ends[1].write_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	assert_int_equal(setsockopt(rig.sink, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_non_null(pipe_pool_buffer(&rig.pool));
	memory_is_out = true;
	while (step(&rig, &error) != RELAY_BLOCKED) {
		ssize_t n = send(rig.source, data + sent, MANY - sent, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		assert_true(rig.ends[0].moved < MANY);
	}
	assert_non_null(rig.ends[0].pending);
	assert_null(rig.pool.buffer);
	while (got < rig.ends[0].moved || rig.ends[0].pending) {
		ssize_t n = recv(rig.sink, received + got, MANY - got, 0);

		got += n > 0 ? (size_t)n : 0;
		if (rig.ends[0].pending)
			(void)step(&rig, &error);
	}
	memory_is_out = false;
	assert_memory_equal(received, data, got);
	assert_true(got >= COPY_SIZE);
	rig_down(&rig);
	free(data);
	free(received);
}

/* What we say in front of the client's bytes is sent before them, in part where it must, and not
 * counted. */
static void own_bytes_are_not_counted(void **state)
{
	unsigned char *data = pattern(COPY_SIZE), received[4096];
	size_t own = 40000, got = 0;
	struct rig rig;
	int error = 0, small = 4096;
	ssize_t n;

	(void)state;
	rig_up(&rig, AF_INET, AF_UNIX, false);
	assert_int_equal(
		setsockopt(rig.ends[1].write_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	memcpy(pipe_pool_buffer(&rig.pool), data, COPY_SIZE);
	rig.ends[0].pending = pending_keep(&rig.pool, 0, COPY_SIZE);
	rig.ends[0].pending->own = own;
	while (rig.ends[0].pending || got < COPY_SIZE) {
		if (rig.ends[0].pending)
			(void)relay_flush(&rig.pool, rig.ends, &error);
		assert_int_equal(error, 0);
		n = recv(rig.sink, received, sizeof(received), 0);
		if (n <= 0)
			continue;
		assert_memory_equal(received, data + got, (size_t)n);
		got += (size_t)n;
		if (got < own / 2)
			assert_int_equal(rig.ends[0].moved, 0);
	}
	assert_int_equal(rig.ends[0].moved, COPY_SIZE - own);
	rig_down(&rig);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(exact_to_the_end_by_copy),
		counted(exact_to_the_end_by_splice),
		counted(bytes_before_a_reset_by_copy),
		counted(bytes_before_a_reset_by_splice),
		counted(urgent_byte_stays_by_copy),
		counted(urgent_byte_stays_by_splice),
		counted(broken_destination_by_copy),
		counted(broken_destination_by_splice),
		counted(refused_splice_loses_nothing_by_copy),
		counted(refused_splice_loses_nothing_by_splice),
		counted(nothing_to_read_by_copy),
		counted(nothing_to_read_by_splice),
		counted(path_follows_the_traffic),
		counted(copies_without_pipes),
		counted(full_pipe_is_never_pooled),
		counted(destination_sets_the_pace),
		counted(no_memory),
		counted(no_memory_to_keep_what_was_read),
		counted(own_bytes_are_not_counted),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does: splice() knows no MSG_NOSIGNAL */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
