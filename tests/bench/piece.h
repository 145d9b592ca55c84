/* SPDX-License-Identifier: MIT */
/*
 * A stream of pieces at a steady pace, and how long each piece is on the way:
 * the sender stamps each one, and the receiver looks at the clock once its
 * last byte is there.
 *
 * Used by paced.c, and by delay.c and the backend, of which one sends and the
 * other receives.
 */
#ifndef BENCH_PIECE_H
#define BENCH_PIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/histogram.h"

/* At the front of every piece. */
struct stamp {
	uint64_t sent_ns;
	uint64_t size; /* of the whole piece */
};

#define PIECE_MIN sizeof(struct stamp)
#define PIECE_MAX ((size_t)1 << 20)

/* What one recv() asks for: the same at every receiver. */
#define PIECE_BUFFER ((size_t)1 << 18)

/*
 * Sends pieces until @end_ns.  A socket that takes no more is waited for.
 *
 * @rate: bytes a second; 0: as fast as it goes
 *
 * Returns 0, or the -errno of a stream that was cut.
 */
int pieces_send(int fd, double rate, size_t size, uint64_t end_ns);

/* The piece that is coming in on a stream; all zero at the beginning. */
struct piece {
	struct stamp stamp;
	size_t have; /* bytes of it */
};

/* What came of all pieces that count, of one stream or of several. */
struct delays {
	struct histogram histogram;
	uint64_t counted_from_ns;   /* those that were sent earlier do not count */
	uint64_t first_ns, last_ns; /* sent: the first and the last one */
	uint64_t bytes;
};

/* Takes what has just been received.  Returns false when that cannot be pieces. */
bool piece_take(struct piece *piece, struct delays *delays, const unsigned char *data, size_t n);

#endif
