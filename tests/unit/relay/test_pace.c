/* SPDX-License-Identifier: MIT */
/*
 * How long bytes wait at any pace, on simulated time: a table of streams, each run through a
 * socket that is made of numbers.
 */
#include "daemon/relay/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MS       UINT64_C(1000000)
#define WAIT     (2 * MS)
#define KIB      ((size_t)1024)
#define MOST     (1024 * KIB)
#define PIECES   20000
#define MB_PER_S 0.001 /* in bytes a nanosecond */

/* A stream, and what becomes of it. */
struct stream {
	struct pace pace;
	struct pace_look last;
	unsigned int looks;
	uint64_t look_ns; /* the next one; 0: it does not coalesce */
	size_t low_water;
	uint64_t arrived_ns[PIECES]; /* of the pieces that wait */
	size_t n_waiting;
	uint64_t waiting_bytes, moved;
	uint64_t longest_ns;
	bool is_late; /* in the second half: what follows is counted there */
	uint64_t waited_ns;
	size_t n_late, n_wakes;
};

static void plan_look(struct stream *stream, uint64_t now)
{
	stream->look_ns = now + pace_step_ns(pace_step_of(stream->looks), WAIT);
}

static void start(struct stream *stream, uint64_t now)
{
	stream->looks = 0;
	stream->last = (struct pace_look){ .moved = stream->moved };
	plan_look(stream, now);
}

static void stop(struct stream *stream)
{
	stream->look_ns = 0;
	stream->low_water = 0;
}

/* As coalesce.c has it, for a stream that is long already. */
static void follow(struct stream *stream, uint64_t now)
{
	bool coalesces = stream->look_ns != 0;
	size_t low_water;

	pace_note(&stream->pace, now, stream->moved, coalesces ? 0 : 1);
	low_water = pace_low_water(&stream->pace, WAIT, MOST, stream->low_water);
	if (!coalesces && (low_water == 0 || !pace_comes_in_pieces(&stream->pace, WAIT)))
		return;
	stream->low_water = low_water;
	if (!coalesces)
		start(stream, now);
	else if (low_water == 0)
		stop(stream);
	else
		plan_look(stream, now);
}

static void wake(struct stream *stream, uint64_t now)
{
	for (size_t i = 0; i < stream->n_waiting; i++) {
		uint64_t waited = now - stream->arrived_ns[i];

		if (waited > stream->longest_ns)
			stream->longest_ns = waited;
		stream->waited_ns += stream->is_late ? waited : 0;
		stream->n_late += stream->is_late;
	}
	stream->n_wakes += stream->is_late;
	stream->moved += stream->waiting_bytes;
	stream->n_waiting = 0;
	stream->waiting_bytes = 0;
	follow(stream, now);
}

static void look(struct stream *stream, uint64_t now)
{
	struct pace_look seen = { .moved = stream->moved, .waiting = stream->waiting_bytes };
	enum pace_verdict verdict =
		pace_judge(pace_step_of(stream->looks), &stream->last, &seen, stream->low_water);

	stream->last = seen;
	stream->looks += verdict != PACE_SAMPLED;
	plan_look(stream, now);
	if (verdict == PACE_RESTS || verdict == PACE_STANDS)
		stop(stream);
	if (stream->waiting_bytes > 0 && verdict != PACE_GOES_ON && verdict != PACE_SAMPLED)
		wake(stream, now);
	else
		stream->n_wakes += stream->is_late;
}

static void arrive(struct stream *stream, uint64_t now, size_t size)
{
	while (stream->look_ns != 0 && stream->look_ns <= now)
		look(stream, stream->look_ns);
	stream->arrived_ns[stream->n_waiting++] = now;
	stream->waiting_bytes += size;
	if (stream->waiting_bytes >= stream->low_water)
		wake(stream, now);
}

/* As many as @burst pieces come at once, so that the pace is as said. */
static const struct {
	double mb_per_s;
	size_t size;
	size_t burst;
	double most_wakes_per_ms; /* looks count, too */
} paces[] = {
	{ 1, 1024, 1, 1.1 },     { 1, 65536, 1, 0.1 },    { 10, 16384, 1, 0.7 },
	{ 30, 16384, 1, 0.9 },   { 70, 16384, 1, 0.9 },   { 70, 65536, 1, 1.1 },
	{ 100, 1448, 1, 0.9 },   { 100, 16384, 1, 0.9 },  { 119, 1448, 44, 0.9 },
	{ 150, 16384, 4, 0.9 },  { 150, 65536, 1, 0.9 },  { 500, 65536, 1, 1.1 },
	{ 1000, 65536, 1, 2 },   { 2000, 65536, 1, 2.6 }, { 100, 65536, 16, 2 },
	{ 4000, 65536, 1, 4.5 },
};

static void run(struct stream *stream, double mb_per_s, size_t size, size_t burst)
{
	uint64_t each = (uint64_t)((double)(size * burst) / (mb_per_s * MB_PER_S));

	memset(stream, 0, sizeof(*stream));
	for (size_t i = 0; i < PIECES; i++) {
		stream->is_late = i >= PIECES / 2;
		arrive(stream, MS + i / burst * each, size);
	}
}

static void check(const struct stream *stream, size_t i)
{
	double bytes = (double)(stream->n_late * paces[i].size);
	double late_ms = bytes / (paces[i].mb_per_s * MB_PER_S) / (double)MS;
	double mean_ms = (double)stream->waited_ns / (double)stream->n_late / (double)MS;
	double wakes_per_ms = (double)stream->n_wakes / late_ms;

	print_message(
		"%4.0f MB/s in %zu x %zu: longest %.2f ms, mean %.2f ms, %.2f wake-ups a ms\n",
		paces[i].mb_per_s, paces[i].burst, paces[i].size,
		(double)stream->longest_ns / (double)MS, mean_ms, wakes_per_ms);
	assert_true(stream->longest_ns <= WAIT);
	assert_true(mean_ms <= 1.1);
	assert_true(wakes_per_ms <= paces[i].most_wakes_per_ms);
}

static void test_no_byte_waits_for_longer_than_it_may(void **state)
{
	static struct stream stream;

	(void)state;
	for (size_t i = 0; i < sizeof(paces) / sizeof(*paces); i++) {
		run(&stream, paces[i].mb_per_s, paces[i].size, paces[i].burst);
		check(&stream, i);
	}
}

/* At each kind of look: what was there before, what is there now, whether anything moved. */
static void test_what_a_look_says(void **state)
{
	static const struct {
		enum pace_step step;
		uint64_t before, now;
		bool moved;
		enum pace_verdict verdict;
	} looks[] = {
		{ PACE_SAMPLE, 0, 0, false, PACE_GOES_ON },
		{ PACE_SAMPLE, 0, 5, false, PACE_GOES_ON },
		{ PACE_SAMPLE, 5, 5, true, PACE_GOES_ON },
		{ PACE_JUDGE, 0, 0, false, PACE_RESTS },
		{ PACE_JUDGE, 5, 5, false, PACE_STANDS },
		{ PACE_JUDGE, 5, 6, false, PACE_IS_DUE },
		{ PACE_JUDGE, 0, 5, false, PACE_IS_DUE },
		{ PACE_JUDGE, 5, 5, true, PACE_SAMPLED },
		{ PACE_JUDGE, 5, 0, true, PACE_SAMPLED },
		{ PACE_JUDGE, 9, 10, false, PACE_GOES_ON },
		{ PACE_JUDGE, 10, 10, false, PACE_GOES_ON },
		{ PACE_MOVE, 5, 5, false, PACE_IS_DUE },
		{ PACE_MOVE, 0, 9, true, PACE_IS_DUE },
		{ PACE_MOVE, 0, 0, false, PACE_RESTS },
		{ PACE_MOVE, 0, 0, true, PACE_RESTS },
		{ PACE_MOVE, 0, 10, false, PACE_GOES_ON },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(looks) / sizeof(*looks); i++) {
		struct pace_look before = { .moved = 7, .waiting = looks[i].before };
		struct pace_look now = { .moved = 7 + looks[i].moved, .waiting = looks[i].now };

		if (pace_judge(looks[i].step, &before, &now, 10) != looks[i].verdict)
			fail_msg("row %zu", i);
	}
}

static void test_average_follows(void **state)
{
	struct pace pace = { 0 };
	uint64_t now = 5 * MS, moved = 0;

	(void)state;
	assert_int_equal(pace_low_water(&pace, WAIT, MOST, 0), 0);
	pace_note(&pace, now, moved, 1);
	for (int i = 0; i < 100; i++)
		pace_note(&pace, now += MS, moved += 100 * KIB, 1);
	assert_in_range(pace_low_water(&pace, WAIT, MOST, 0), 399 * KIB, 400 * KIB);
	assert_int_equal(pace_low_water(&pace, WAIT, 100 * KIB, 0), 100 * KIB);
	/* Little changes are none. */
	assert_int_equal(pace_low_water(&pace, WAIT, MOST, 330 * KIB), 330 * KIB);
	assert_in_range(pace_low_water(&pace, WAIT, MOST, 300 * KIB), 399 * KIB, 400 * KIB);
	assert_false(pace_comes_in_pieces(&pace, 2 * MS));
	assert_true(pace_comes_in_pieces(&pace, 4 * MS));
	/* What is noted seldom is counted no less. */
	for (int i = 0; i < 100; i++)
		pace_note(&pace, now += 4 * MS, moved += 400 * KIB, 4);
	assert_false(pace_comes_in_pieces(&pace, 2 * MS));
	assert_true(pace_comes_in_pieces(&pace, 4 * MS));
	/* What was waited for is not counted. */
	pace_note(&pace, now += 4 * MS, moved += 400 * KIB, 0);
	assert_true(pace_comes_in_pieces(&pace, 4 * MS));
	/* A pause is forgotten no sooner than what came before it. */
	pace_note(&pace, now + 100 * MS, moved, 1);
	assert_int_equal(pace_low_water(&pace, WAIT, MOST, 250 * KIB), 0);
	assert_false(pace_comes_in_pieces(&pace, 100 * MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_byte_waits_for_longer_than_it_may),
		cmocka_unit_test(test_what_a_look_says),
		cmocka_unit_test(test_average_follows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
