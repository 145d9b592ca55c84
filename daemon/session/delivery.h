/* SPDX-License-Identifier: MIT */
/*
 * How the last bytes of a connection get on: a reset would throw away what is under way,
 * so that whoever still reads is waited for as long as he does.
 */
#ifndef DAEMON_SESSION_DELIVERY_H
#define DAEMON_SESSION_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed at first. */
struct delivery {
	uint64_t moved;    /* as was last seen: bytes handed to the kernel ... */
	uint64_t unsent;   /* ... and those still in its queue */
	uint64_t moved_ms; /* when that was another figure before; 0: not begun */
	uint64_t open_ms;  /* the same, or when the window was last seen to be shut */
	uint64_t pause_ms; /* between two looks */
};

/*
 * Looks how far it is.  Returns in how many milliseconds to look next; 0: nothing has
 * moved for too long.
 *
 * @in_steps: the receiver's window is shut.  It opens again once about half of its buffer
 *            was read, and not a byte before: a steady reader seems to rest meanwhile
 */
uint64_t delivery_look(struct delivery *delivery, uint64_t moved, uint64_t unsent, bool in_steps);

#endif
