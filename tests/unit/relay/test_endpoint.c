/* SPDX-License-Identifier: MIT */
/*
 * What an end tells of itself, with real descriptors: whether it is gone for good, what a
 * reset would throw away, what ended it.
 */
#include "daemon/relay/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/sockets.h"

/* An end and what its peer has: the same descriptor twice for a socket. */
struct rig {
	struct endpoint end;
	int peer_writes, peer_reads;
};

static void socket_end(struct rig *rig, int fd, int peer, uint8_t stream)
{
	memset(rig, 0, sizeof(*rig));
	rig->end.read_fd = rig->end.write_fd = fd;
	rig->end.read_stream = rig->end.write_stream = stream;
	rig->peer_writes = rig->peer_reads = peer;
}

static void set_up_unix(struct rig *rig)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	socket_end(rig, pair[0], pair[1], SFRONT_STREAM_UNIX);
}

static void set_up_tcp(struct rig *rig)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct sfront_connection connection;
	int peer = connect_to(listener, 0);

	assert_true(is_readable(sfront_listener_fd(listener, 0)));
	assert_int_equal(sfront_listener_accept_at(listener, 0, &connection), 0);
	sfront_listener_close(listener);
	socket_end(rig, connection.read_fd, peer, SFRONT_STREAM_TCP);
}

static void set_up_pipes(struct rig *rig)
{
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_NONBLOCK), 0);
	assert_int_equal(pipe2(out, O_NONBLOCK), 0);
	memset(rig, 0, sizeof(*rig));
	rig->end.read_fd = in[0];
	rig->end.write_fd = out[1];
	rig->end.read_stream = rig->end.write_stream = SFRONT_STREAM_PIPE;
	rig->peer_writes = in[1];
	rig->peer_reads = out[0];
}

static void set_up_terminal(struct rig *rig)
{
	int ours, theirs;

	assert_int_equal(openpty(&theirs, &ours, NULL, NULL, NULL), 0);
	memset(rig, 0, sizeof(*rig));
	rig->end.read_fd = ours;
	rig->end.write_fd = dup(ours);
	rig->end.read_stream = rig->end.write_stream = SFRONT_STREAM_TERMINAL;
	rig->peer_writes = rig->peer_reads = theirs;
}

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Both directions, if they are two descriptors. */
static void peer_closes(struct rig *rig)
{
	if (rig->peer_reads != rig->peer_writes)
		drop(&rig->peer_reads);
	drop(&rig->peer_writes);
	rig->peer_reads = -1;
}

static void tear_down(struct rig *rig)
{
	peer_closes(rig);
	endpoint_close(&rig->end, false);
}

static void (*const set_ups[])(struct rig *) = { set_up_unix, set_up_pipes, set_up_terminal };

static void test_who_has_closed_altogether_is_gone(void **state)
{
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < sizeof(set_ups) / sizeof(*set_ups); i++) {
		set_ups[i](&rig);
		assert_false(endpoint_is_gone(&rig.end));
		assert_false(endpoint_left_nothing(&rig.end));
		peer_closes(&rig);
		assert_true(endpoint_is_gone(&rig.end));
		assert_true(endpoint_left_nothing(&rig.end));
		tear_down(&rig);
	}
}

static void test_who_left_bytes_left_something(void **state)
{
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		set_ups[i](&rig);
		assert_int_equal(write(rig.peer_writes, "x", 1), 1);
		peer_closes(&rig);
		assert_true(endpoint_is_gone(&rig.end));
		assert_false(endpoint_left_nothing(&rig.end));
		tear_down(&rig);
	}
}

static void test_who_has_ended_its_sending_is_there(void **state)
{
	struct rig rig;

	(void)state;
	set_up_unix(&rig);
	assert_int_equal(shutdown(rig.peer_writes, SHUT_WR), 0);
	assert_false(endpoint_is_gone(&rig.end));
	assert_false(endpoint_left_nothing(&rig.end));
	tear_down(&rig);

	set_up_pipes(&rig);
	drop(&rig.peer_writes);
	rig.peer_writes = -1;
	assert_false(endpoint_is_gone(&rig.end));
	assert_false(endpoint_left_nothing(&rig.end));
	drop(&rig.peer_reads);
	assert_true(endpoint_is_gone(&rig.end));
	tear_down(&rig);

	set_up_tcp(&rig);
	assert_int_equal(shutdown(rig.peer_writes, SHUT_WR), 0);
	assert_false(endpoint_is_gone(&rig.end));
	tear_down(&rig);
}

static void test_plain_file_is_never_gone(void **state)
{
	struct rig rig;

	(void)state;
	set_up_pipes(&rig);
	close(rig.end.write_fd);
	rig.end.write_fd = memfd_create("answer", 0);
	rig.end.write_stream = SFRONT_STREAM_FILE;
	peer_closes(&rig);
	assert_false(endpoint_is_gone(&rig.end));
	assert_false(endpoint_left_nothing(&rig.end));
	tear_down(&rig);
}

/* Until the peer's kernel has it. */
static void wait_delivered(const struct rig *rig)
{
	for (int i = 0; i < 5000 && endpoint_unsent(&rig->end) > 0; i++)
		poll(NULL, 0, 1);
	assert_int_equal(endpoint_unsent(&rig->end), 0);
}

/* Until the peer's kernel has acknowledged all that it has room for. */
static void wait_for_shut_window(const struct rig *rig)
{
	for (int i = 0; i < 5000 && !endpoint_awaits_window(&rig->end); i++)
		poll(NULL, 0, 1);
	assert_true(endpoint_awaits_window(&rig->end));
}

static void test_what_is_not_delivered_is_counted_without_the_end(void **state)
{
	static char bytes[65536];
	uint64_t undelivered, read_there = 0;
	struct rig rig;
	size_t sent = 0;
	ssize_t n;

	(void)state;
	set_up_tcp(&rig);
	assert_int_equal(endpoint_undelivered(&rig.end), 0);
	while ((n = send(rig.end.write_fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		sent += (size_t)n;
	wait_for_shut_window(&rig);
	undelivered = endpoint_undelivered(&rig.end);
	assert_in_range(undelivered, 1, sent);
	endpoint_finish(&rig.end);
	assert_int_equal(endpoint_undelivered(&rig.end), undelivered);
	assert_int_equal(endpoint_unsent(&rig.end), undelivered + 1);

	/* What the peer reads after a reset is what was counted as delivered. */
	undelivered = endpoint_undelivered(&rig.end);
	endpoint_close(&rig.end, true);
	while ((n = recv(rig.peer_reads, bytes, sizeof(bytes), 0)) > 0)
		read_there += (uint64_t)n;
	assert_int_equal(n, -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(read_there, sent - undelivered);
	tear_down(&rig);
}

static void test_shut_window_is_told_from_a_cut_cable(void **state)
{
	static char bytes[65536];
	struct rig rig;

	(void)state;
	set_up_tcp(&rig);
	while (send(rig.end.write_fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	wait_for_shut_window(&rig);
	assert_true(endpoint_unsent(&rig.end) > 0);
	tear_down(&rig);

	set_up_unix(&rig);
	assert_false(endpoint_awaits_window(&rig.end));
	tear_down(&rig);
}

static void test_a_close_without_reset_delivers(void **state)
{
	struct rig rig;
	char byte;

	(void)state;
	set_up_tcp(&rig);
	assert_int_equal(write(rig.end.write_fd, "x", 1), 1);
	wait_delivered(&rig);
	endpoint_close(&rig.end, false);
	assert_int_equal(recv(rig.peer_reads, &byte, 1, 0), 1);
	assert_int_equal(recv(rig.peer_reads, &byte, 1, 0), 0);
	tear_down(&rig);
}

static void test_reset_is_told_once(void **state)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	struct rig rig;

	(void)state;
	set_up_tcp(&rig);
	assert_int_equal(endpoint_error(&rig.end), 0);
	assert_int_equal(setsockopt(rig.peer_writes, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)),
			 0);
	peer_closes(&rig);
	poll(&(struct pollfd){ .fd = rig.end.read_fd, .events = POLLIN }, 1, 5000);
	assert_int_equal(endpoint_error(&rig.end), ECONNRESET);
	assert_int_equal(endpoint_error(&rig.end), 0);
	tear_down(&rig);
}

static void test_silent_peer_is_probed(void **state)
{
	static const struct {
		int on, idle, expected;
	} rows[] = { { 0, 7200, 60 }, { 1, 3600, 60 }, { 1, 20, 20 }, { 0, 20, 60 } };
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int fd;

		set_up_tcp(&rig);
		fd = rig.end.read_fd;
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &rows[i].on, sizeof(int)),
				 0);
		assert_int_equal(
			setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &rows[i].idle, sizeof(int)), 0);
		endpoint_probe(&rig.end);
		assert_int_equal(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
		assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE), rows[i].expected);
		if (rows[i].expected == 60) {
			assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 10);
			assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT), 6);
		}
		tear_down(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_who_has_closed_altogether_is_gone),
		counted(test_who_left_bytes_left_something),
		counted(test_who_has_ended_its_sending_is_there),
		counted(test_plain_file_is_never_gone),
		counted(test_what_is_not_delivered_is_counted_without_the_end),
		counted(test_shut_window_is_told_from_a_cut_cable),
		counted(test_a_close_without_reset_delivers),
		counted(test_reset_is_told_once),
		counted(test_silent_peer_is_probed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
