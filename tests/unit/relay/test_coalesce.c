/* SPDX-License-Identifier: MIT */
/*
 * Gathering, without a clock: a case says what has come and when it is looked after.
 */
#include "daemon/relay/coalesce.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sockfront/listener.h>
#include <string.h>
#include <unistd.h>

#include "daemon/relay/endpoint.h"
#include "daemon/relay/pipe_pool.h"
#include "tests/unit/sockets.h"

#define KIB   ((size_t)1024)
#define MIB   (1024 * KIB)
#define PIPE  MIB
#define BEGIN (4 * MIB) /* a long stream */

struct rig {
	struct coalesce coalesce;
	struct endpoint ends[2]; /* the second is the backend, to which nothing is sent here */
	int source;              /* what the peer of the first writes to */
	int sink;                /* what the peer of the second would read from */
};

/* A connection through a listener there: its accepted side, and in *ret_peer the other. */
static int connection_through(const char *address, const char *options, int *ret_peer)
{
	struct sfront_listener *listener = must_open(address, options);
	struct sfront_connection connection;

	*ret_peer = connect_to(listener, 0);
	assert_true(is_readable(sfront_listener_fd(listener, 0)));
	assert_int_equal(sfront_listener_accept_at(listener, 0, &connection), 0);
	sfront_listener_close(listener);
	return connection.read_fd;
}

static void set_up_from(struct rig *rig, const char *address, uint8_t stream)
{
	memset(rig, 0, sizeof(*rig));
	rig->ends[0].read_fd = connection_through(address, "recv-buffer-size=8M", &rig->source);
	rig->ends[0].read_stream = stream;
	rig->ends[1].write_fd = connection_through("127.0.0.1:0", "", &rig->sink);
	rig->ends[1].write_stream = SFRONT_STREAM_TCP;
	rig->ends[1].is_backend = true;
}

static void set_up(struct rig *rig)
{
	set_up_from(rig, "127.0.0.1:0", SFRONT_STREAM_TCP);
}

static void tear_down(struct rig *rig)
{
	close(rig->source);
	close(rig->sink);
	close(rig->ends[0].read_fd);
	close(rig->ends[1].write_fd);
}

/* Whether small pieces are sent on at once. */
static bool has_nodelay(const struct rig *rig)
{
	return socket_option(rig->ends[1].write_fd, IPPROTO_TCP, TCP_NODELAY) > 0;
}

static int low_water(const struct rig *rig)
{
	return socket_option(rig->ends[0].read_fd, SOL_SOCKET, SO_RCVLOWAT);
}

/* As a turn that has moved @size bytes of bulk. */
static bool move(struct rig *rig, size_t size)
{
	rig->ends[0].bulk = true;
	rig->ends[0].moved += size;
	return coalesce_note(&rig->coalesce, &rig->ends[0], PIPE);
}

static void begin(struct rig *rig)
{
	assert_false(move(rig, MIB));
	assert_false(move(rig, BEGIN - 1));
	assert_int_equal(low_water(rig), 1);
	assert_true(has_nodelay(rig));
	assert_true(move(rig, 1));
	assert_int_equal(low_water(rig), PIPE);
	assert_true(has_nodelay(rig));
}

/* What comes in, until it can be read. */
static void send_bytes(struct rig *rig, size_t size)
{
	static char bytes[64 * KIB];

	for (size_t n; size > 0; size -= n) {
		n = size < sizeof(bytes) ? size : sizeof(bytes);
		assert_int_equal(write(rig->source, bytes, n), n);
	}
}

static bool look(struct rig *rig)
{
	return coalesce_check(&rig->coalesce, &rig->ends[0]);
}

static void goes_on_while_bytes_come(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	/* Slower than a wake-up every time, for as long as the low water takes to come. */
	for (int i = 0; i < 7; i++) {
		send_bytes(&rig, 128 * KIB);
		assert_true(look(&rig));
		assert_int_equal(low_water(&rig), PIPE);
	}
	/* And then they are read: all begins anew, with nobody to wait for. */
	assert_true(move(&rig, 896 * KIB));
	assert_true(look(&rig));
	assert_int_equal(low_water(&rig), PIPE);
	tear_down(&rig);
}

static void last_piece_is_not_kept(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	send_bytes(&rig, 500 * KIB);
	assert_true(look(&rig));
	assert_false(look(&rig));
	assert_int_equal(low_water(&rig), 1);
	assert_true(has_nodelay(&rig));

	/* Twice as long until the next time. */
	assert_false(move(&rig, 2 * BEGIN - 1));
	assert_true(move(&rig, 1));
	tear_down(&rig);
}

static void trickle_is_not_kept(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	send_bytes(&rig, 128 * KIB - 1);
	assert_false(look(&rig));
	assert_int_equal(low_water(&rig), 1);
	tear_down(&rig);
}

static void what_lay_there_before_is_forgotten(void **state)
{
	struct rig rig;
	char bytes[64 * KIB];

	(void)state;
	set_up(&rig);
	begin(&rig);
	send_bytes(&rig, 600 * KIB);
	assert_true(look(&rig));
	for (size_t left = 600 * KIB; left > 0;)
		left -= (size_t)read(rig.ends[0].read_fd, bytes, sizeof(bytes));
	assert_true(move(&rig, 600 * KIB));
	assert_true(look(&rig));
	/* Less than lay there before it was read, but more than nothing. */
	send_bytes(&rig, 200 * KIB);
	assert_true(look(&rig));
	assert_int_equal(low_water(&rig), PIPE);
	tear_down(&rig);
}

static void stream_that_rests_may_go_on(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	assert_false(look(&rig));
	assert_int_equal(low_water(&rig), 1);
	assert_true(move(&rig, 1));
	assert_int_equal(low_water(&rig), PIPE);
	tear_down(&rig);
}

static void peer_that_reads_nothing_is_waited_for(void **state)
{
	struct pending pending = { .length = 1 };
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	send_bytes(&rig, KIB);
	rig.ends[0].pending = &pending;
	assert_false(look(&rig));
	assert_int_equal(low_water(&rig), PIPE);
	tear_down(&rig);
}

/* What was written and waits for more is no less kept. */
static void last_piece_is_not_held_back(void **state)
{
	static char bytes[64 * KIB];
	struct rig rig;
	int fd;

	(void)state;
	set_up_from(&rig, "@sockfront-test-gather", SFRONT_STREAM_UNIX);
	fd = rig.ends[1].write_fd;
	assert_false(move(&rig, MIB));
	assert_true(move(&rig, BEGIN));
	assert_false(has_nodelay(&rig));
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		; /* until the peer's window is full */
	assert_false(look(&rig));
	assert_true(has_nodelay(&rig));
	assert_false(move(&rig, 2 * BEGIN - 1));
	assert_true(move(&rig, 1));
	tear_down(&rig);
}

static void option_that_was_off_stays_off(void **state)
{
	const int off = 0;
	struct rig rig;

	(void)state;
	set_up_from(&rig, "@sockfront-test-gather", SFRONT_STREAM_UNIX);
	assert_int_equal(
		setsockopt(rig.ends[1].write_fd, IPPROTO_TCP, TCP_NODELAY, &off, sizeof(off)), 0);
	rig.ends[0].bulk = true;
	assert_false(move(&rig, MIB));
	assert_true(move(&rig, BEGIN));
	assert_false(look(&rig));
	assert_false(has_nodelay(&rig));
	tear_down(&rig);
}

/* Nothing can coalesce there, but on the way out. */
static void unix_source(void **state)
{
	struct rig rig;

	(void)state;
	set_up_from(&rig, "@sockfront-test-gather", SFRONT_STREAM_UNIX);
	assert_false(move(&rig, MIB));
	assert_true(move(&rig, BEGIN));
	assert_false(has_nodelay(&rig));
	send_bytes(&rig, 1);
	assert_true(look(&rig)); /* it is about to be read */
	assert_false(has_nodelay(&rig));
	assert_int_equal(read(rig.ends[0].read_fd, &(char){ 0 }, 1), 1);
	assert_false(look(&rig));
	assert_true(has_nodelay(&rig));
	assert_true(move(&rig, 1));
	assert_false(has_nodelay(&rig));
	tear_down(&rig);
}

static void ends_with_bulk(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	rig.ends[0].bulk = false;
	assert_false(coalesce_note(&rig.coalesce, &rig.ends[0], PIPE));
	assert_int_equal(low_water(&rig), 1);
	tear_down(&rig);
}

static void only_tcp_with_pipes_gathers(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	rig.ends[0].bulk = true;
	rig.ends[0].moved = 100 * BEGIN;
	for (int i = 0; i < 3; i++, rig.ends[0].moved += BEGIN)
		assert_false(coalesce_note(&rig.coalesce, &rig.ends[0], 0));
	rig.ends[1].write_stream = SFRONT_STREAM_UNIX;
	for (int i = 0; i < 3; i++, rig.ends[0].moved += BEGIN)
		assert_false(coalesce_note(&rig.coalesce, &rig.ends[0], PIPE));
	assert_int_equal(low_water(&rig), 1);
	tear_down(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(goes_on_while_bytes_come),
		counted(last_piece_is_not_kept),
		counted(trickle_is_not_kept),
		counted(what_lay_there_before_is_forgotten),
		counted(stream_that_rests_may_go_on),
		counted(peer_that_reads_nothing_is_waited_for),
		counted(last_piece_is_not_held_back),
		counted(option_that_was_off_stays_off),
		counted(unix_source),
		counted(ends_with_bulk),
		counted(only_tcp_with_pipes_gathers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
