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

uint64_t delivery_look(struct delivery *delivery, uint64_t moved, uint64_t unsent, bool in_steps)
{
	uint64_t now = clock_ms(), left, patience = in_steps ? PATIENCE_STEPS_MS : PATIENCE_MS;
	bool begins = delivery->moved_ms == 0;

	if (begins || moved != delivery->moved || unsent < delivery->unsent)
		delivery->moved_ms = now;
	delivery->moved = moved;
	delivery->unsent = unsent;
	if (now - delivery->moved_ms >= patience)
		return 0;

	delivery->pause_ms = begins ? FIRST_PAUSE_MS : 2 * delivery->pause_ms;
	if (delivery->pause_ms > LONGEST_PAUSE_MS)
		delivery->pause_ms = LONGEST_PAUSE_MS;
	left = patience - (now - delivery->moved_ms);
	return delivery->pause_ms < left ? delivery->pause_ms : left;
}
