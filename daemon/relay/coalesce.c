/* SPDX-License-Identifier: MIT */
/*
 * SO_RCVLOWAT and TCP_NODELAY for long streams: see gather.h.  Between relay.c,
 * which tells bulk traffic from small, and session_timer.c, which has the timer.
 */
#include "daemon/relay/coalesce.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sockfront/listener.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "daemon/relay/relay.h"

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

/* Only a TCP socket has one. */
static void set_low_water(const struct end *end, int bytes)
{
	/* Refused or capped by a small buffer: then we are woken more often, no more. */
	if (end->read_stream == SFRONT_STREAM_TCP)
		(void)setsockopt(end->read_fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static bool get_nodelay(const struct end *to)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(to->write_fd, IPPROTO_TCP, TCP_NODELAY, &on, &len) == 0 && on;
}

/* Turned on, it sends what was held back. */
static void set_nodelay(const struct end *to, int on)
{
	(void)setsockopt(to->write_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void start(struct gather *gather, struct end *end, size_t pipe_size)
{
	struct end *to = end_peer(end);

	gather->low_water = (int)(pipe_size < LOW_WATER_MAX ? pipe_size : LOW_WATER_MAX);
	/* What has gathered on the way in leaves little to gather on the way out. */
	gather->had_nodelay = end->read_stream != SFRONT_STREAM_TCP && get_nodelay(to);
	gather->seen = end->moved;
	gather->lay = 0;
	set_low_water(end, gather->low_water);
	if (gather->had_nodelay)
		set_nodelay(to, 0);
	end->gathers = true;
}

/* Ends gathering until @more bytes have moved. */
static void stop(struct gather *gather, struct end *end, uint64_t more)
{
	set_low_water(end, 1);
	if (gather->had_nodelay)
		set_nodelay(end_peer(end), 1);
	end->gathers = false;
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
	return end_peer(end)->write_stream == SFRONT_STREAM_TCP;
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
			start(gather, end, pipe_size);
		}
	}
	return end->gathers;
}

/* Whether something was written there that has not even been sent. */
static bool is_held_back(const struct end *to)
{
	int unsent = 0;

	return ioctl(to->write_fd, SIOCOUTQNSD, &unsent) == 0 && unsent > 0;
}

/*
 * Nothing has moved since the last look.  More than the low water is only waiting
 * for its turn, and without one so is anything; less, and growing, is a stream that
 * goes on.  With nothing to read, it rests, and may gather again when it goes on;
 * else its last piece was kept waiting.
 */
static void look_after(struct gather *gather, struct end *end)
{
	int waiting = 0, before = gather->lay;
	int enough = end->read_stream == SFRONT_STREAM_TCP ? gather->low_water : 1;
	bool kept;

	if (ioctl(end->read_fd, SIOCINQ, &waiting) == 0 && waiting >= enough)
		return;
	gather->lay = waiting;
	if (waiting - before >= gather->low_water / PARTS)
		return;
	kept = waiting > 0 || is_held_back(end_peer(end));
	if (kept)
		gather->step *= 2;
	stop(gather, end, kept ? gather->step : 0);
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
