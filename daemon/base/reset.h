/* SPDX-License-Identifier: MIT */
/*
 * Ending a connection so that the other side knows that it was broken off.
 */
#ifndef DAEMON_BASE_RESET_H
#define DAEMON_BASE_RESET_H

#include <sys/socket.h>

/*
 * From now on, closing the socket resets the connection at once: what is unsent is dropped,
 * and nothing of it lingers.  It has a meaning for TCP alone.
 */
static inline void reset_on_close(int fd)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

#endif
