/* SPDX-License-Identifier: MIT */
/*
 * Which network namespace a socket is in: see netns.h.
 */
#include "daemon/base/netns.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE /* older headers */
#define SO_NETNS_COOKIE 71
#endif

/* 0: the kernel does not say. */
static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

/* It never changes: no thread of ours goes to another one. */
static uint64_t our_cookie(void)
{
	static _Atomic uint64_t ours;
	uint64_t cookie = atomic_load(&ours);
	int fd;

	if (cookie != 0)
		return cookie;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	cookie = cookie_of(fd);
	close(fd);
	atomic_store(&ours, cookie);
	return cookie;
}

bool netns_is_ours(int fd)
{
	uint64_t its = cookie_of(fd), ours = our_cookie();

	return its == 0 || ours == 0 || its == ours;
}
