/* SPDX-License-Identifier: MIT */
/*
 * Letting bytes gather: a long stream costs least when it is moved in few,
 * large pieces, and the kernel wakes us for each small one.  So a TCP socket that
 * has been streaming for a while is asked to wake us for more at a time
 * (SO_RCVLOWAT).  Other sources cannot be asked: there the TCP socket that they
 * stream to is asked not to send a small piece behind each that we move (TCP_NODELAY
 * off).
 *
 * What the last piece lacks is not waited for: when nothing worth mentioning has
 * come to it for GATHER_MS, the sockets are as they were, which sends what was held
 * back, and if bytes were kept waiting at the one it must stream twice as long as
 * before until all this is done once more.  A protocol that sends large messages and
 * waits for answers thus loses a few milliseconds a few times in its life.
 */
#ifndef DAEMON_RELAY_COALESCE_H
#define DAEMON_RELAY_COALESCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct end;

/* How long a gathering end may be without a byte before it is looked after. */
#define GATHER_MS 2

/* Of one end; zeroed at first. */
struct gather {
	uint64_t begin;   /* gathering begins once so many bytes have moved; 0: not set yet */
	uint64_t step;    /* how many more that is each time */
	uint64_t seen;    /* bytes that had moved when it was last looked at */
	int lay;          /* bytes to be read by then, since they last moved */
	int low_water;    /* bytes, while it gathers */
	bool had_nodelay; /* where the bytes go to, before it gathered */
};

/*
 * After a turn: begins or ends gathering as the traffic says.
 *
 * @pipe_size: more than a pipe takes is not worth waiting for; 0: there are no
 *             pipes, and nothing gathers
 *
 * Returns whether gather_check() is to be called in GATHER_MS.
 */
bool gather_note(struct gather *gather, struct end *end, size_t pipe_size);

/* Ends gathering: there is no timer to look after it. */
void gather_end(struct gather *gather, struct end *end);

/* Ends gathering if the last piece has been kept waiting.  Returns as gather_note(). */
bool gather_check(struct gather *gather, struct end *end);

#endif
