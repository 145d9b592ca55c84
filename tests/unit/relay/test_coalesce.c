/* SPDX-License-Identifier: MIT */
/*
 * Coalescing on a clock of the test's own: a case says what has come, when it moved and when it
 * is looked after.
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
#define MS    UINT64_C(1000000)

/* One MiB each millisecond is more than a pipe takes in half of that. */
static const struct coalesce_terms terms = { .wait_ns = 8 * MS, .pipe_size = PIPE };

struct rig {
	struct coalesce coalesce;
	uint64_t now_ns;
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
	rig->now_ns = 1000 * MS;
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

/* Returns whether the end coalesces, and is to be looked after. */
static bool note(struct rig *rig)
{
	struct coalesce_result result = { 0 };

	if (coalesce_count(&rig->coalesce, &rig->ends[0]))
		result = coalesce_note(&rig->coalesce, &rig->ends[0], &terms, rig->now_ns);
	assert_false(result.is_due);
	assert_int_equal(rig->ends[0].coalesces, result.look_in_ns > 0);
	assert_true(result.look_in_ns <= terms.wait_ns);
	return rig->ends[0].coalesces;
}

/* As a turn that has moved @size bytes of bulk, @ns after the one before. */
static bool move_after(struct rig *rig, uint64_t ns, size_t size)
{
	rig->now_ns += ns;
	rig->ends[0].bulk = true;
	rig->ends[0].moved += size;
	return note(rig);
}

static bool move(struct rig *rig, size_t size)
{
	return move_after(rig, MS, size);
}

/* It does once that much has moved, in as many pieces as make it worth it, and not before. */
static void begins_after(struct rig *rig, size_t size)
{
	for (int i = 0; i < 7; i++)
		assert_false(move(rig, size / 8));
	assert_false(move(rig, size / 8 - 1));
	assert_int_equal(low_water(rig), 1);
	assert_true(has_nodelay(rig));
	assert_true(move(rig, 1));
}

static void begin(struct rig *rig)
{
	assert_false(move(rig, MIB));
	begins_after(rig, BEGIN);
	assert_int_equal(low_water(rig), PIPE);
	assert_true(has_nodelay(rig));
}

/* Nobody has to pay for the pause. */
static void goes_on_at_once(struct rig *rig)
{
	for (int i = 0; i < 8 && !rig->ends[0].coalesces; i++)
		move(rig, BEGIN / 16);
	assert_true(rig->ends[0].coalesces);
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

enum seen { GOES_ON, IS_DUE, HAS_ENDED };

static enum seen check(struct rig *rig)
{
	struct coalesce_result result =
		coalesce_check(&rig->coalesce, &rig->ends[0], &terms, rig->now_ns);

	if (result.look_in_ns == 0)
		return HAS_ENDED;
	return result.is_due ? IS_DUE : GOES_ON;
}

/* When it is due. */
static enum seen look(struct rig *rig)
{
	rig->now_ns = rig->coalesce.look_ns;
	return check(rig);
}

/* Nothing comes any more. */
static void rest(struct rig *rig)
{
	uint64_t before = rig->now_ns;

	while (look(rig) != HAS_ENDED)
		assert_int_equal(low_water(rig), PIPE);
	assert_true(rig->now_ns - before <= 8 * terms.wait_ns);
	assert_int_equal(low_water(rig), 1);
}

/* What is there is the last that comes: it goes on in time, and that is judged three times. */
static void stand(struct rig *rig)
{
	for (int i = 0; i < 2; i++) {
		while (pace_step_of(rig->coalesce.looks) != PACE_SAMPLE)
			assert_int_equal(look(rig), IS_DUE);
		assert_int_equal(look(rig), GOES_ON);
		assert_int_equal(look(rig), IS_DUE);
	}
	assert_int_equal(look(rig), GOES_ON);
	assert_int_equal(low_water(rig), PIPE);
	assert_int_equal(look(rig), HAS_ENDED);
	assert_int_equal(low_water(rig), 1);
}

static void read_all(struct rig *rig)
{
	char bytes[64 * KIB];
	ssize_t n;

	while ((n = recv(rig->ends[0].read_fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		rig->ends[0].moved += (uint64_t)n;
	assert_true(note(rig));
}

/* Each byte goes on when it has waited for as long as it may. */
static void what_has_waited_is_due(void **state)
{
	uint64_t before;
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	for (int i = 0; i < 30; i++) {
		before = rig.now_ns;
		send_bytes(&rig, 100 * KIB);
		if (pace_step_of(rig.coalesce.looks) == PACE_SAMPLE)
			assert_int_equal(look(&rig), GOES_ON);
		send_bytes(&rig, 100 * KIB);
		assert_int_equal(look(&rig), IS_DUE);
		assert_true(rig.now_ns - before <= terms.wait_ns);
		assert_in_range(low_water(&rig), 200 * KIB, PIPE);
		read_all(&rig);
	}
	tear_down(&rig);
}

/* A turn stops at the urgent mark, and where the pipe is full. */
static void what_a_turn_leaves_is_due(void **state)
{
	struct coalesce_result result;
	struct rig rig;
	enum seen seen;

	(void)state;
	set_up(&rig);
	begin(&rig);
	send_bytes(&rig, 100 * KIB);
	do {
		seen = look(&rig);
	} while (seen == GOES_ON);
	assert_int_equal(seen, IS_DUE);
	for (int i = 0; i < 2; i++) {
		rig.ends[0].moved += 50 * KIB;
		result = coalesce_note(&rig.coalesce, &rig.ends[0], &terms, rig.now_ns);
		assert_int_equal(result.is_due, i == 0);
	}
	tear_down(&rig);
}

/* That of another stream was due. */
static void look_that_comes_too_soon_is_none(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	send_bytes(&rig, KIB);
	assert_int_equal(look(&rig), GOES_ON);
	for (int i = 0; i < 5; i++) {
		rig.now_ns += MS / 2;
		assert_int_equal(check(&rig), GOES_ON);
	}
	/* So near, it saves a wake-up. */
	rig.now_ns += MS / 2;
	assert_int_equal(check(&rig), IS_DUE);
	tear_down(&rig);
}

static void mark_follows_the_pace(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	for (int i = 0; i < 100; i++)
		assert_true(move(&rig, 40 * KIB));
	assert_in_range(low_water(&rig), 512 * KIB, 800 * KIB);
	for (int i = 0; i < 100; i++)
		assert_true(move(&rig, 20 * KIB));
	assert_in_range(low_water(&rig), 256 * KIB, 400 * KIB);
	tear_down(&rig);
}

static void slow_stream_does_not_coalesce(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	for (int i = 0; i < 100; i++)
		move(&rig, KIB / 2);
	assert_false(rig.ends[0].coalesces);
	assert_int_equal(low_water(&rig), 1);
	tear_down(&rig);
}

/* As a piece does whose receiver tells elsewhere that it has come, before there is another. */
static void stream_that_becomes_slow_must_go_on_for_long(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	assert_false(move_after(&rig, 8 * MS, KIB));
	for (int i = 0; i < 7; i++)
		assert_false(move(&rig, MIB));
	assert_false(move(&rig, MIB - 1));
	assert_true(move(&rig, 1));
	tear_down(&rig);
}

/* At 128 KiB each millisecond. */
static void go_on_until_it_coalesces(struct rig *rig)
{
	for (int i = 0; i < 1000 && !rig->ends[0].coalesces; i++)
		move_after(rig, 2 * MS, 256 * KIB);
	assert_true(rig->ends[0].coalesces);
}

/* Until it is no longer looked after, or for long. */
static unsigned int moves_until_it_stops(struct rig *rig, uint64_t ns, size_t size)
{
	unsigned int n = 0;

	while (n < 1000 && move_after(rig, ns, size))
		n++;
	return n;
}

/*
 * No look sees a last piece of such messages, but somebody waits for it: what took 2 ms takes 3.
 * It must go on for twice as long each time.
 */
static void stream_that_waiting_makes_slower_stops(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	for (uint64_t step = BEGIN; step <= 16 * BEGIN; step *= 2) {
		uint64_t before = rig.ends[0].moved;

		go_on_until_it_coalesces(&rig);
		assert_in_range(rig.ends[0].moved - before, step, step + MIB);
		assert_in_range(moves_until_it_stops(&rig, 3 * MS, 256 * KIB), 80, 90);
	}
	tear_down(&rig);
}

/* As it does for other reasons: its own speed is compared with what it was just before. */
static void stream_that_is_as_fast_goes_on(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	go_on_until_it_coalesces(&rig);
	assert_int_equal(moves_until_it_stops(&rig, 2 * MS, 240 * KIB), 1000);
	/* It is slower for a while, again and again. */
	for (int i = 0; i < 10; i++) {
		move_after(&rig, 100 * MS, 256 * KIB);
		for (int j = 0; j < 200; j++)
			assert_true(move_after(&rig, 2 * MS, 256 * KIB));
	}
	tear_down(&rig);
}

/* It wakes us as seldom by itself. */
static void few_large_pieces_do_not_coalesce(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	for (int i = 0; i < 100; i++)
		assert_false(move_after(&rig, 3 * MS, MIB));
	tear_down(&rig);
}

static void last_piece_is_not_kept(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	send_bytes(&rig, 500 * KIB);
	stand(&rig);
	/* Twice as long until the next time. */
	begins_after(&rig, 2 * BEGIN);
	tear_down(&rig);
}

/* It stands still once in a while, but goes on for long in between. */
static void kept_piece_is_forgiven(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	send_bytes(&rig, KIB);
	stand(&rig);
	begins_after(&rig, 2 * BEGIN);
	for (int i = 0; i < 64; i++)
		assert_true(move_after(&rig, 8 * MS, 8 * MIB));
	stand(&rig);
	begins_after(&rig, BEGIN);
	tear_down(&rig);
}

static void stream_that_rests_may_go_on(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	rest(&rig);
	assert_true(move(&rig, MIB));
	/* How fast it was is still known. */
	assert_in_range(moves_until_it_stops(&rig, MS, MIB / 4), 250, 260);
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
	assert_int_equal(look(&rig), HAS_ENDED);
	assert_int_equal(low_water(&rig), PIPE);
	assert_true(rig.ends[0].coalesces);
	/* A look would tell nothing: there is none until the peer has taken it. */
	assert_true(coalesce_note(&rig.coalesce, &rig.ends[0], &terms, rig.now_ns).look_in_ns == 0);
	rig.ends[0].pending = NULL;
	assert_true(move(&rig, MIB));
	tear_down(&rig);
}

static void begin_from_unix(struct rig *rig)
{
	set_up_from(rig, "@sockfront-test-gather", SFRONT_STREAM_UNIX);
	for (int i = 0; i < 9; i++)
		move(rig, BEGIN / 8);
	assert_true(rig->ends[0].coalesces);
	assert_false(has_nodelay(rig));
}

/* It comes and goes, but goes on between: nobody waits for an answer. */
static void standing_once_is_no_last_piece(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	begin(&rig);
	for (int i = 0; i < 10; i++) {
		send_bytes(&rig, 100 * KIB);
		assert_int_equal(look(&rig), GOES_ON);
		if (i % 3 == 2)
			send_bytes(&rig, 80 * KIB); /* it has not stood still */
		assert_int_equal(look(&rig), IS_DUE);
		read_all(&rig);
		rig.coalesce.looks = 0;
	}
	tear_down(&rig);
}

/* What was written and waits for more is no less kept. */
static void last_piece_is_not_held_back(void **state)
{
	static char bytes[64 * KIB];
	struct rig rig;

	(void)state;
	begin_from_unix(&rig);
	while (send(rig.ends[1].write_fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		; /* until the peer's window is full */
	assert_int_equal(look(&rig), GOES_ON);
	assert_int_equal(look(&rig), HAS_ENDED);
	assert_true(has_nodelay(&rig));
	for (int i = 0; i < 15; i++)
		assert_false(move(&rig, BEGIN / 8));
	assert_true(move(&rig, BEGIN / 8));
	tear_down(&rig);
}

static void option_that_was_off_stays_off(void **state)
{
	struct rig rig;

	(void)state;
	begin_from_unix(&rig);
	while (look(&rig) != HAS_ENDED)
		;
	assert_int_equal(setsockopt(rig.ends[1].write_fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 0 },
				    sizeof(int)),
			 0);
	goes_on_at_once(&rig);
	while (look(&rig) != HAS_ENDED)
		;
	assert_false(has_nodelay(&rig));
	tear_down(&rig);
}

/* Nothing can coalesce there, but on the way out. */
static void unix_source(void **state)
{
	struct rig rig;

	(void)state;
	begin_from_unix(&rig);
	send_bytes(&rig, 1);
	for (int i = 0; i < 30; i++)
		assert_int_equal(look(&rig), GOES_ON); /* it is about to be read */
	assert_false(has_nodelay(&rig));
	assert_int_equal(read(rig.ends[0].read_fd, &(char){ 0 }, 1), 1);
	while (look(&rig) != HAS_ENDED)
		;
	assert_true(has_nodelay(&rig));
	goes_on_at_once(&rig);
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
	assert_false(note(&rig));
	assert_int_equal(low_water(&rig), 1);
	tear_down(&rig);
}

/* Whether it coalesces after MiBs of copies of 16 KiB, @ns each. */
static bool coalesces_by_copies(struct rig *rig, uint64_t ns)
{
	for (int i = 0; i < 640 && !rig->ends[0].coalesces; i++) {
		rig->now_ns += ns;
		rig->ends[0].moved += 16 * KIB;
		note(rig);
	}
	return rig->ends[0].coalesces;
}

/* No read ever finds much: an idle machine is quick. */
static void fast_copies_coalesce(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	rig.ends[0].moved = COALESCE_AFTER;
	assert_true(coalesces_by_copies(&rig, MS / 5));
	assert_true(rig.ends[0].bulk);
	assert_in_range(low_water(&rig), 256 * KIB, PIPE); /* and follows */
	/* A stream that ends to be bulk must go on for long. */
	rig.ends[0].bulk = false;
	assert_false(note(&rig));
	for (uint64_t before = rig.ends[0].moved; rig.ends[0].moved < before + BEGIN - 16 * KIB;) {
		rig.now_ns += MS / 5;
		rig.ends[0].moved += 16 * KIB;
		assert_false(note(&rig));
	}
	assert_true(coalesces_by_copies(&rig, MS / 5));
	tear_down(&rig);
}

static void slow_copies_do_not_coalesce(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	rig.ends[0].moved = COALESCE_AFTER;
	assert_false(coalesces_by_copies(&rig, 5 * MS));
	assert_false(rig.ends[0].bulk);
	assert_int_equal(low_water(&rig), 1);
	tear_down(&rig);
}

/* Each piece is the question to an answer. */
static void conversation_does_not_coalesce(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	rig.ends[0].moved = COALESCE_AFTER;
	for (int i = 0; i < 100; i++) {
		for (int piece = 0; piece < 16; piece++) {
			rig.now_ns += MS / 5;
			rig.ends[0].moved += 16 * KIB;
			assert_false(note(&rig));
		}
		rig.ends[1].moved++;
	}
	assert_true(coalesces_by_copies(&rig, MS / 5));
	tear_down(&rig);
}

/* Where no mark can be set, or no pipe be used. */
static void such_copies_do_not_coalesce(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	rig.ends[0].moved = COALESCE_AFTER;
	rig.ends[0].copy_only = true;
	assert_false(coalesces_by_copies(&rig, MS / 5));
	rig.ends[0].copy_only = false;
	rig.ends[0].read_stream = SFRONT_STREAM_UNIX;
	assert_false(coalesces_by_copies(&rig, MS / 5));
	rig.ends[0].read_stream = SFRONT_STREAM_TCP;
	assert_true(coalesces_by_copies(&rig, MS / 5));
	tear_down(&rig);
}

/* A note of each would cost more than it is worth. */
static void copies_are_noted_many_at_a_time(void **state)
{
	struct rig rig;
	int notes = 0;

	(void)state;
	set_up(&rig);
	for (int i = 0; i < 1024; i++) {
		rig.ends[0].moved += KIB;
		if (!coalesce_count(&rig.coalesce, &rig.ends[0]))
			continue;
		coalesce_note(&rig.coalesce, &rig.ends[0], &terms, rig.now_ns);
		notes++;
	}
	assert_int_equal(notes, 4);
	tear_down(&rig);
}

static void assert_never_coalesces(struct rig *rig, const struct coalesce_terms *such)
{
	rig->ends[0].bulk = true;
	for (int i = 0; i < 100; i++) {
		rig->ends[0].moved += BEGIN;
		rig->now_ns += MS;
		coalesce_note(&rig->coalesce, &rig->ends[0], such, rig->now_ns);
		assert_false(rig->ends[0].coalesces);
	}
	assert_int_equal(low_water(rig), 1);
}

static void only_tcp_with_pipes_and_time_coalesces(void **state)
{
	const struct coalesce_terms no_pipe = { .wait_ns = 8 * MS };
	const struct coalesce_terms no_time = { .pipe_size = PIPE };
	struct rig rig;

	(void)state;
	set_up(&rig);
	assert_never_coalesces(&rig, &no_pipe);
	assert_never_coalesces(&rig, &no_time);
	rig.ends[1].write_stream = SFRONT_STREAM_UNIX;
	assert_never_coalesces(&rig, &terms);
	tear_down(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(what_has_waited_is_due),
		counted(what_a_turn_leaves_is_due),
		counted(look_that_comes_too_soon_is_none),
		counted(mark_follows_the_pace),
		counted(slow_stream_does_not_coalesce),
		counted(stream_that_becomes_slow_must_go_on_for_long),
		counted(stream_that_waiting_makes_slower_stops),
		counted(stream_that_is_as_fast_goes_on),
		counted(few_large_pieces_do_not_coalesce),
		counted(last_piece_is_not_kept),
		counted(kept_piece_is_forgiven),
		counted(standing_once_is_no_last_piece),
		counted(stream_that_rests_may_go_on),
		counted(peer_that_reads_nothing_is_waited_for),
		counted(last_piece_is_not_held_back),
		counted(option_that_was_off_stays_off),
		counted(unix_source),
		counted(ends_with_bulk),
		counted(fast_copies_coalesce),
		counted(slow_copies_do_not_coalesce),
		counted(conversation_does_not_coalesce),
		counted(such_copies_do_not_coalesce),
		counted(copies_are_noted_many_at_a_time),
		counted(only_tcp_with_pipes_and_time_coalesces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
