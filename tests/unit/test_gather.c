/* SPDX-License-Identifier: MIT */
/*
 * Gathering, without a clock: a case says what has come and when it is looked after.
 */
#include "daemon/gather.h"

#include <netinet/in.h>
#include <sockfront/listener.h>
#include <string.h>
#include <unistd.h>

#include "daemon/relay.h"
#include "sockets.h"

#define KIB   ((size_t)1024)
#define MIB   (1024 * KIB)
#define PIPE  MIB
#define BEGIN (4 * MIB) /* a long stream */

struct rig {
	struct gather gather;
	struct end ends[2]; /* the second is the backend, to which nothing is sent here */
	int source;         /* what the peer of the first writes to */
};

static void set_up(struct rig *rig)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "recv-buffer-size=8M");
	struct sfront_connection connection;

	memset(rig, 0, sizeof(*rig));
	rig->source = connect_to(listener, 0);
	assert_true(is_readable(sfront_listener_fd(listener, 0)));
	assert_int_equal(sfront_listener_accept_at(listener, 0, &connection), 0);
	sfront_listener_close(listener);
	rig->ends[0].read_fd = connection.read_fd;
	rig->ends[0].read_stream = rig->ends[1].write_stream = SFRONT_STREAM_TCP;
	rig->ends[1].is_backend = true;
}

static void tear_down(struct rig *rig)
{
	close(rig->source);
	close(rig->ends[0].read_fd);
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
	return gather_note(&rig->gather, &rig->ends[0], PIPE);
}

static void begin(struct rig *rig)
{
	assert_false(move(rig, MIB));
	assert_false(move(rig, BEGIN - 1));
	assert_int_equal(low_water(rig), 1);
	assert_true(move(rig, 1));
	assert_int_equal(low_water(rig), PIPE);
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
	return gather_check(&rig->gather, &rig->ends[0]);
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
	struct transit transit = { .length = 1 };
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	send_bytes(&rig, KIB);
	rig.ends[0].transit = &transit;
	assert_false(look(&rig));
	assert_int_equal(low_water(&rig), PIPE);
	tear_down(&rig);
}

static void ends_with_bulk(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	rig.ends[0].bulk = false;
	assert_false(gather_note(&rig.gather, &rig.ends[0], PIPE));
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
		assert_false(gather_note(&rig.gather, &rig.ends[0], 0));
	rig.ends[1].write_stream = SFRONT_STREAM_UNIX;
	for (int i = 0; i < 3; i++, rig.ends[0].moved += BEGIN)
		assert_false(gather_note(&rig.gather, &rig.ends[0], PIPE));
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
		counted(ends_with_bulk),
		counted(only_tcp_with_pipes_gathers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
