/* SPDX-License-Identifier: MIT */
/*
 * The pieces that the bench times: each counts once, however its bytes come,
 * and nothing else passes for one.
 */
#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/clock.h"
#include "tests/bench/piece.h"

#define SIZE   ((size_t)50)
#define PIECES ((size_t)4)

static unsigned char stream[SIZE * PIECES];
static struct delays delays;

/* Piece @i was sent at @first_ns + i. */
static void make_stream(uint64_t first_ns)
{
	for (size_t i = 0; i < PIECES; i++) {
		struct stamp stamp = { .sent_ns = first_ns + i, .size = SIZE };

		memcpy(stream + i * SIZE, &stamp, sizeof(stamp));
	}
	delays = (struct delays){ 0 };
}

static void test_in_parts_of_any_size(void **state)
{
	(void)state;
	for (size_t part = 1; part <= sizeof(stream); part++) {
		struct piece piece = { 0 };

		make_stream(1000);
		for (size_t at = 0; at < sizeof(stream); at += part) {
			size_t n = sizeof(stream) - at < part ? sizeof(stream) - at : part;

			assert_true(piece_take(&piece, &delays, stream + at, n));
			assert_int_equal(delays.histogram.total, (at + n) / SIZE);
		}
		assert_int_equal(delays.bytes, sizeof(stream));
		assert_int_equal(delays.first_ns, 1000);
		assert_int_equal(delays.last_ns, 1000 + PIECES - 1);
	}
}

static void test_earlier_ones_do_not_count(void **state)
{
	struct piece piece = { 0 };

	(void)state;
	make_stream(1000);
	delays.counted_from_ns = 1002;
	assert_true(piece_take(&piece, &delays, stream, sizeof(stream)));
	assert_int_equal(delays.histogram.total, 2);
	assert_int_equal(delays.first_ns, 1002);
}

/* From the time that it says to now. */
static void test_how_long_it_took(void **state)
{
	struct piece piece = { 0 };
	uint64_t least = 100 * NS_PER_S, sent = clock_ns() - least, most;

	(void)state;
	make_stream(sent);
	assert_true(piece_take(&piece, &delays, stream, SIZE));
	most = clock_ns() - sent;
	/* A bucket of the histogram is less than 1 in 50 wide. */
	assert_in_range(histogram_at(&delays.histogram, 0.5), least - least / 50, most + most / 50);
}

static void test_what_is_none(void **state)
{
	static const struct stamp bad[] = {
		{ .sent_ns = 1, .size = PIECE_MIN - 1 },
		{ .sent_ns = 1, .size = PIECE_MAX + 1 },
		{ .sent_ns = UINT64_MAX, .size = SIZE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct piece piece = { 0 };

		assert_false(piece_take(&piece, &delays, (const unsigned char *)&bad[i],
					sizeof(bad[i])));
	}
}

/* Exits with the errno that ended it. */
static pid_t start_sender(int fd, int others)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		close(others);
		_exit(-pieces_send(fd, 0, SIZE, UINT64_MAX));
	}
	close(fd);
	return pid;
}

/* As fast as it is taken, and until it is not taken any more. */
static void test_what_is_sent_is_taken(void **state)
{
	unsigned char buffer[1000];
	struct piece piece = { 0 };
	uint64_t bytes = 0;
	int fds[2], status;
	pid_t pid;

	(void)state;
	delays = (struct delays){ 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	pid = start_sender(fds[0], fds[1]);
	while (bytes < 1000000) {
		ssize_t n = recv(fds[1], buffer, sizeof(buffer), 0);

		assert_true(n > 0);
		assert_true(piece_take(&piece, &delays, buffer, (size_t)n));
		bytes += (uint64_t)n;
	}
	assert_int_equal(delays.histogram.total, bytes / SIZE);
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), EPIPE);
}

static void test_nothing_is_sent_after_the_end(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(pieces_send(fds[0], 1e6, SIZE, clock_ns()), 0);
	assert_int_equal(recv(fds[1], stream, sizeof(stream), MSG_DONTWAIT), -1);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_in_parts_of_any_size),  counted(test_earlier_ones_do_not_count),
		counted(test_how_long_it_took),      counted(test_what_is_none),
		counted(test_what_is_sent_is_taken), counted(test_nothing_is_sent_after_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
