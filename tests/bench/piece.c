/* SPDX-License-Identifier: MIT */
/*
 * Stamped pieces, sent at a pace and taken: see piece.h.
 */
#include "tests/bench/piece.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "tests/bench/clock.h"

#define CATCH_UP_S 0.02 /* a sender that was held up for longer starts its pace anew */

/* ---- the sender ---- */

static void await_room(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };

	(void)poll(&pfd, 1, -1);
}

static int send_piece(int fd, unsigned char *piece, size_t size)
{
	struct stamp stamp = { .sent_ns = clock_ns(), .size = size };

	memcpy(piece, &stamp, sizeof(stamp));
	for (size_t done = 0; done < size;) {
		ssize_t n = send(fd, piece + done, size - done, MSG_NOSIGNAL);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			await_room(fd);
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int pieces_send(int fd, double rate, size_t size, uint64_t end_ns)
{
	double pause = rate > 0 ? (double)size / rate * (double)NS_PER_S : 0;
	unsigned char *piece = calloc(1, size);
	uint64_t now = clock_ns();
	double due = (double)now;
	int r = piece ? 0 : -ENOMEM;

	(void)prctl(PR_SET_TIMERSLACK, 1);
	for (; r == 0 && now < end_ns; now = clock_ns()) {
		due += pause;
		if (pause > 0 && due > (double)now)
			clock_sleep_until((uint64_t)due);
		else if (due < (double)now - CATCH_UP_S * (double)NS_PER_S)
			due = (double)now;
		r = send_piece(fd, piece, size);
	}
	free(piece);
	return r;
}

/* ---- the receiver ---- */

static bool is_stamp(const struct stamp *stamp, uint64_t now)
{
	return stamp->size >= PIECE_MIN && stamp->size <= PIECE_MAX && stamp->sent_ns <= now;
}

static void note(struct delays *delays, const struct stamp *stamp, uint64_t now)
{
	if (stamp->sent_ns < delays->counted_from_ns)
		return;
	if (delays->first_ns == 0)
		delays->first_ns = stamp->sent_ns;
	delays->last_ns = stamp->sent_ns;
	delays->bytes += stamp->size;
	histogram_add(&delays->histogram, now - stamp->sent_ns);
}

/* How much of @n bytes belongs to the stamp, or, when that is whole, to what follows it. */
static size_t part_of(const struct piece *piece, size_t n)
{
	size_t end = piece->have < PIECE_MIN ? PIECE_MIN : (size_t)piece->stamp.size;
	size_t want = end - piece->have;

	return n < want ? n : want;
}

bool piece_take(struct piece *piece, struct delays *delays, const unsigned char *data, size_t n)
{
	uint64_t now = clock_ns();

	while (n > 0) {
		size_t part = part_of(piece, n);

		if (piece->have < PIECE_MIN)
			memcpy((unsigned char *)&piece->stamp + piece->have, data, part);
		piece->have += part;
		data += part;
		n -= part;
		if (piece->have == PIECE_MIN && !is_stamp(&piece->stamp, now))
			return false;
		if (piece->have >= PIECE_MIN && piece->have == piece->stamp.size) {
			note(delays, &piece->stamp, now);
			piece->have = 0;
		}
	}
	return true;
}
