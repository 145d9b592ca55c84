/* SPDX-License-Identifier: MIT */
/*
 * SO_RCVLOWAT for long streams: see gather.h.  Between relay.c, which tells
 * bulk traffic from small, and session.c, which has the timer.
 */
#include "daemon/gather.h"

#include <linux/sockios.h>
#include <sockfront/listener.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "daemon/relay.h"

/* Wake-ups are for as much as this at a time: measured, less saves less, and more no more. */
#define LOW_WATER_MAX ((size_t)1 << 20)

/*
 * A stream goes on as long as this part of the low water comes in GATHER_MS: what
 * lies there is enough for a wake-up after as many times that, at the latest.  The
 * streams that share a machine with others come in no faster, each by itself.
 */
#define PARTS 8

/* A stream is long once it has moved this much as bulk. */
#define FIRST_STEP ((uint64_t)4 << 20)

static void set_low_water(struct end *end, int bytes)
{
	/* Refused or capped by a small buffer: then we are woken more often, no more. */
	(void)setsockopt(end->read_fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
	end->gathers = bytes > 1;
}

/* Ends gathering until @more bytes have moved. */
static void stop(struct gather *gather, struct end *end, uint64_t more)
{
	set_low_water(end, 1);
	gather->begin = end->moved + more;
}

void gather_end(struct gather *gather, struct end *end)
{
	if (end->gathers)
		stop(gather, end, gather->step);
}

/*
 * Only TCP takes so much at a time: a UNIX socket or a pipe would be given it
 * in five pieces or more, while the source stands still.
 */
static bool can_gather(struct end *end)
{
	return end->read_stream == SFRONT_STREAM_TCP &&
	       end_peer(end)->write_stream == SFRONT_STREAM_TCP;
}

bool gather_note(struct gather *gather, struct end *end, size_t pipe_size)
{
	if (!end->bulk) {
		gather_end(gather, end);
	} else if (!end->gathers && pipe_size > 0 && can_gather(end)) {
		if (gather->begin == 0) {
			gather->step = FIRST_STEP;
			gather->begin = end->moved + gather->step;
		} else if (end->moved >= gather->begin) {
			gather->low_water =
				(int)(pipe_size < LOW_WATER_MAX ? pipe_size : LOW_WATER_MAX);
			set_low_water(end, gather->low_water);
			gather->seen = end->moved;
			gather->lay = 0;
		}
	}
	return end->gathers;
}

/*
 * Nothing has moved since the last look.  More than the low water is only waiting
 * for its turn; less, and growing, is a stream that goes on.  With nothing to read,
 * it rests, and may gather again when it goes on; else its last piece was kept
 * waiting.
 */
static void look_after(struct gather *gather, struct end *end)
{
	int waiting = 0, before = gather->lay;

	if (ioctl(end->read_fd, SIOCINQ, &waiting) < 0 || waiting >= gather->low_water)
		return;
	gather->lay = waiting;
	if (waiting - before >= gather->low_water / PARTS)
		return;
	if (waiting > 0)
		gather->step *= 2;
	stop(gather, end, waiting > 0 ? gather->step : 0);
}

bool gather_check(struct gather *gather, struct end *end)
{
	/* While the peer takes no more, nothing can move. */
	bool can_move = end->gathers && !end->ended && end->transit == NULL;

	if (end->moved != gather->seen) {
		gather->seen = end->moved;
		gather->lay = 0;
	} else if (can_move) {
		look_after(gather, end);
	}
	return can_move && end->gathers;
}
