/* SPDX-License-Identifier: MIT */
/*
 * The pace of a stream: how fast it comes and in how many pieces, how much of it is worth
 * waiting for, and what a look at what has come says.  Arithmetic alone, on times and counts
 * that others have read.  Used by coalesce.c.
 */
#ifndef DAEMON_RELAY_PACE_H
#define DAEMON_RELAY_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed at first.  Both are averages over some milliseconds, pauses included. */
struct pace {
	double bytes;   /* a nanosecond */
	double wakes;   /* a nanosecond, while every piece wakes us */
	uint64_t at_ns; /* when that was; 0: never */
	uint64_t moved; /* bytes in all by then */
};

/*
 * Something has moved.
 *
 * @moved:  bytes in all, by @now_ns
 * @pieces: in how many it came by itself; 0: more was waited for
 */
void pace_note(struct pace *pace, uint64_t now_ns, uint64_t moved, unsigned int pieces);

/* Whether bytes come in so many pieces that to wait for @wait_ns saves wake-ups. */
bool pace_comes_in_pieces(const struct pace *pace, uint64_t wait_ns);

/*
 * For how many bytes to be woken before @wait_ns is over: twice as many as come by then, so
 * that a steady stream is moved when the time is over, and one that has become faster
 * before.  0: too few to be worth it.
 *
 * @most:    more is never worth waiting for
 * @present: what is waited for now; 0: nothing
 *
 * Little changes of the pace change nothing, since each change of the mark is a call.
 */
size_t pace_low_water(const struct pace *pace, uint64_t wait_ns, size_t most, size_t present);

/* What a look is for. */
enum pace_step {
	PACE_SAMPLE, /* to have something to compare with: half the time is over */
	PACE_JUDGE,  /* to tell a stream that goes on from a last piece: all of it is over */
	PACE_MOVE    /* to move what is there: all of the time is over */
};

/*
 * What look number @number is for: a stream is judged twice at the beginning, and then every
 * now and then.
 */
enum pace_step pace_step_of(unsigned int number);

/* How long before such a look is the one before it, or the last move if that was later. */
uint64_t pace_step_ns(enum pace_step step, uint64_t wait_ns);

/* What was seen of an end at a look. */
struct pace_look {
	uint64_t moved;   /* bytes in all */
	uint64_t waiting; /* bytes to be read */
};

enum pace_verdict {
	PACE_GOES_ON, /* nothing is to be done */
	PACE_SAMPLED, /* the same; it has moved since the sample, and this look is the new one */
	PACE_IS_DUE,  /* what is there has waited for long enough, and more will come */
	PACE_RESTS,   /* nothing has come for all of the time */
	PACE_STANDS   /* what is there has waited, and nothing has come after it */
};

/* @low_water: what is waited for */
enum pace_verdict pace_judge(enum pace_step step, const struct pace_look *before,
			     const struct pace_look *now, size_t low_water);

#endif
