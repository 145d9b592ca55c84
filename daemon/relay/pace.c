/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic of waiting for bytes: see pace.h.
 */
#include "daemon/relay/pace.h"

/* What the averages forget: short enough to follow, long enough to see the pauses. */
#define AVERAGE_NS 8000000.0

/* Waiting is for at least so many pieces. */
#define PIECES 3

/* Half of it comes while it is waited for: for less than that, splice() saves nothing. */
#define LEAST ((size_t)32 << 10)

/* Looks in the beginning, each for what was seen at the one before. */
#define FIRST_LOOKS 4
/* Then, of as many as ROUND, so many just move what is there; the last two judge. */
#define ROUND 10
#define MOVES 8

static void follow(double *average, double amount, double past)
{
	if (past >= AVERAGE_NS)
		*average = amount / past;
	else
		*average += (amount - *average * past) / AVERAGE_NS;
}

void pace_note(struct pace *pace, uint64_t now_ns, uint64_t moved, unsigned int pieces)
{
	double past = (double)(now_ns - pace->at_ns);

	if (pace->at_ns != 0) {
		follow(&pace->bytes, (double)(moved - pace->moved), past);
		if (pieces > 0)
			follow(&pace->wakes, (double)pieces, past);
	}
	pace->at_ns = now_ns;
	pace->moved = moved;
}

bool pace_comes_in_pieces(const struct pace *pace, uint64_t wait_ns)
{
	return pace->wakes * (double)wait_ns >= PIECES;
}

/* Within a quarter of each other. */
static bool are_close(size_t a, size_t b)
{
	return a / 4 * 5 >= b && b / 4 * 5 >= a;
}

size_t pace_low_water(const struct pace *pace, uint64_t wait_ns, size_t most, size_t present)
{
	double wanted = pace->bytes * (double)wait_ns * 2;
	size_t bytes = wanted < (double)most ? (size_t)wanted : most;

	if (bytes < (present > 0 ? LEAST / 2 : LEAST))
		return 0;
	return present > 0 && present <= most && are_close(bytes, present) ? present : bytes;
}

enum pace_step pace_step_of(unsigned int number)
{
	if (number >= FIRST_LOOKS && (number - FIRST_LOOKS) % ROUND < MOVES)
		return PACE_MOVE;
	return number % 2 == 0 ? PACE_SAMPLE : PACE_JUDGE;
}

uint64_t pace_step_ns(enum pace_step step, uint64_t wait_ns)
{
	return step == PACE_MOVE ? wait_ns : wait_ns / 2;
}

static enum pace_verdict judge_sampled(const struct pace_look *before, const struct pace_look *now)
{
	if (now->moved != before->moved)
		return PACE_SAMPLED;
	if (now->waiting == 0)
		return PACE_RESTS;
	return now->waiting == before->waiting ? PACE_STANDS : PACE_IS_DUE;
}

enum pace_verdict pace_judge(enum pace_step step, const struct pace_look *before,
			     const struct pace_look *now, size_t low_water)
{
	if (step == PACE_SAMPLE || now->waiting >= low_water) /* which is about to be read */
		return PACE_GOES_ON;
	if (step == PACE_JUDGE)
		return judge_sampled(before, now);
	return now->waiting > 0 ? PACE_IS_DUE : PACE_RESTS;
}
