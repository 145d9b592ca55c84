/* SPDX-License-Identifier: MIT */
/*
 * The last bytes of a connection: see delivery.h.  The kernel tells nobody that its queue
 * has shrunk, so that it is asked, ever more seldom.
 */
#include "daemon/session/delivery.h"

#include "daemon/base/clock.h"

/* Without progress for this long, nobody is there to read. */
#define PATIENCE_MS       1000
#define PATIENCE_STEPS_MS 3000 /* 64 KiB, half a small buffer, at 30 kB/s and more */

#define FIRST_PAUSE_MS   10
#define LONGEST_PAUSE_MS 200

static uint64_t left_of(uint64_t limit, uint64_t since, uint64_t now)
{
	return now - since < limit ? limit - (now - since) : 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t delivery_look(struct delivery *delivery, uint64_t moved, uint64_t unsent, bool in_steps)
{
	uint64_t now = clock_ms();
	bool begins = delivery->moved_ms == 0;

	if (begins || moved != delivery->moved || unsent < delivery->unsent)
		delivery->moved_ms = delivery->open_ms = now;
	if (in_steps)
		delivery->open_ms = now;
	delivery->moved = moved;
	delivery->unsent = unsent;
	delivery->pause_ms =
		begins ? FIRST_PAUSE_MS : smaller(2 * delivery->pause_ms, LONGEST_PAUSE_MS);
	return smaller(delivery->pause_ms,
		       smaller(left_of(PATIENCE_MS, delivery->open_ms, now),
			       left_of(PATIENCE_STEPS_MS, delivery->moved_ms, now)));
}
