/* SPDX-License-Identifier: MIT */
/*
 * SO_RCVLOWAT and TCP_NODELAY for long streams: see coalesce.h.  Between relay.c,
 * which tells bulk traffic from small, and whoever has a timer.
 */
#include "daemon/relay/coalesce.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sockfront/listener.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "daemon/relay/endpoint.h"

/* Wake-ups are for as much as this at a time: measured, less saves less, and more no more. */
#define LOW_WATER_MAX ((size_t)1 << 20)

/*
 * A stream goes on as long as this part of the low water comes in COALESCE_MS: what
 * lies there is enough for a wake-up after as many times that, at the latest.  The
 * streams that share a machine with others come in no faster, each by itself.
 */
#define PARTS 8

/* A stream is long once it has moved this much as bulk. */
#define FIRST_STEP ((uint64_t)4 << 20)

/* Only a TCP socket has one. */
static void set_low_water(const struct endpoint *end, int bytes)
{
	/* Refused or capped by a small buffer: then we are woken more often, no more. */
	if (end->read_stream == SFRONT_STREAM_TCP)
		(void)setsockopt(end->read_fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static bool get_nodelay(const struct endpoint *to)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(to->write_fd, IPPROTO_TCP, TCP_NODELAY, &on, &len) == 0 && on;
}

/* Turned on, it sends what was held back. */
static void set_nodelay(const struct endpoint *to, int on)
{
	(void)setsockopt(to->write_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void start(struct coalesce *coalesce, struct endpoint *end, size_t pipe_size)
{
	struct endpoint *to = end_peer(end);

	coalesce->low_water = (int)(pipe_size < LOW_WATER_MAX ? pipe_size : LOW_WATER_MAX);
	/* What has coalesced on the way in leaves little to coalesce on the way out. */
	coalesce->had_nodelay = end->read_stream != SFRONT_STREAM_TCP && get_nodelay(to);
	coalesce->seen = end->moved;
	coalesce->lay = 0;
	set_low_water(end, coalesce->low_water);
	if (coalesce->had_nodelay)
		set_nodelay(to, 0);
	end->coalesces = true;
}

/* Ends coalescing until @more bytes have moved. */
static void stop(struct coalesce *coalesce, struct endpoint *end, uint64_t more)
{
	set_low_water(end, 1);
	if (coalesce->had_nodelay)
		set_nodelay(end_peer(end), 1);
	end->coalesces = false;
	coalesce->begin = end->moved + more;
}

void coalesce_stop(struct coalesce *coalesce, struct endpoint *end)
{
	if (end->coalesces)
		stop(coalesce, end, coalesce->step);
}

/*
 * Only TCP takes so much at a time: a UNIX socket or a pipe would be given it
 * in five pieces or more, while the source stands still.
 */
static bool can_gather(struct endpoint *end)
{
	return end_peer(end)->write_stream == SFRONT_STREAM_TCP;
}

bool coalesce_note(struct coalesce *coalesce, struct endpoint *end, size_t pipe_size)
{
	if (!end->bulk) {
		coalesce_stop(coalesce, end);
	} else if (!end->coalesces && pipe_size > 0 && can_gather(end)) {
		if (coalesce->begin == 0) {
			coalesce->step = FIRST_STEP;
			coalesce->begin = end->moved + coalesce->step;
		} else if (end->moved >= coalesce->begin) {
			start(coalesce, end, pipe_size);
		}
	}
	return end->coalesces;
}

/* Whether something was written there that has not even been sent. */
static bool is_held_back(const struct endpoint *to)
{
	int unsent = 0;

	return ioctl(to->write_fd, SIOCOUTQNSD, &unsent) == 0 && unsent > 0;
}

/*
 * Nothing has moved since the last look.  More than the low water is only waiting
 * for its turn, and without one so is anything; less, and growing, is a stream that
 * goes on.  With nothing to read, it rests, and may coalesce again when it goes on;
 * else its last piece was kept waiting.
 */
static void look_after(struct coalesce *coalesce, struct endpoint *end)
{
	int waiting = 0, before = coalesce->lay;
	int enough = end->read_stream == SFRONT_STREAM_TCP ? coalesce->low_water : 1;
	bool kept;

	if (ioctl(end->read_fd, SIOCINQ, &waiting) == 0 && waiting >= enough)
		return;
	coalesce->lay = waiting;
	if (waiting - before >= coalesce->low_water / PARTS)
		return;
	kept = waiting > 0 || is_held_back(end_peer(end));
	if (kept)
		coalesce->step *= 2;
	stop(coalesce, end, kept ? coalesce->step : 0);
}

bool coalesce_check(struct coalesce *coalesce, struct endpoint *end)
{
	/* While the peer takes no more, nothing can move. */
	bool can_move = end->coalesces && !end->ended && !end->pending;

	if (end->moved != coalesce->seen) {
		coalesce->seen = end->moved;
		coalesce->lay = 0;
	} else if (can_move) {
		look_after(coalesce, end);
	}
	return can_move && end->coalesces;
}
