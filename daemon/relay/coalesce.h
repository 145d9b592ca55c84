/* SPDX-License-Identifier: MIT */
/*
 * Letting bytes coalesce: a long stream costs least when it is moved in few,
 * large pieces, and the kernel wakes us for each small one.  So a TCP socket that
 * has been streaming for a while is asked to wake us for more at a time
 * (SO_RCVLOWAT).  Other sources cannot be asked: there the TCP socket that they
 * stream to is asked not to send a small piece behind each that we move (TCP_NODELAY
 * off).
 *
 * What the last piece lacks is not waited for: when nothing worth mentioning has
 * come to it for COALESCE_MS, the sockets are as they were, which sends what was held
 * back, and if bytes were kept waiting at the one it must stream twice as long as
 * before until all this is done once more.  A protocol that sends large messages and
 * waits for answers thus loses a few milliseconds a few times in its life.
 */
#ifndef DAEMON_RELAY_COALESCE_H
#define DAEMON_RELAY_COALESCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct endpoint;

/* How long a coalescing end may be without a byte before it is looked after. */
#define COALESCE_MS 2

/* Of one end; zeroed at first. */
struct coalesce {
	uint64_t begin;   /* coalescing begins once so many bytes have moved; 0: not set yet */
	uint64_t step;    /* how many more that is each time */
	uint64_t seen;    /* bytes that had moved when it was last looked at */
	int lay;          /* bytes to be read by then, since they last moved */
	int low_water;    /* bytes, while it coalesces */
	bool had_nodelay; /* where the bytes go to, before it coalesced */
};

/*
 * After a turn: begins or ends coalescing as the traffic says.
 *
 * @pipe_size: more than a pipe takes is not worth waiting for; 0: there are no
 *             pipes, and nothing coalesces
 *
 * Returns whether coalesce_check() is to be called in COALESCE_MS.
 */
bool coalesce_note(struct coalesce *coalesce, struct endpoint *end, size_t pipe_size);

/* Ends coalescing: there is no timer to look after it. */
void coalesce_stop(struct coalesce *coalesce, struct endpoint *end);

/* Ends coalescing if the last piece has been kept waiting.  Returns as coalesce_note(). */
bool coalesce_check(struct coalesce *coalesce, struct endpoint *end);

#endif
