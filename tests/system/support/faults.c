/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into a proxy by faults.py: makes calls fail that nothing else on a
 * healthy machine makes fail.  A fault is on while a file of its name lies in
 * the directory FAULTS:
 *
 *	watch   epoll takes no further descriptor
 *	clock   the wall clock jumps by years, forth and back, with every look at it
 *	rights  the kernel does not know SO_PASSRIGHTS: it is older than 6.16
 *	starve  the kernel has no memory to receive, send and splice
 *	later   the clocks that count since boot are a minute ahead
 *	accept  nobody may accept from a listener whose path ends in "forbidden"
 *	bend    whoever else has a listener makes it blocking just before it is accepted from;
 *	        those at paths excepted
 *	mute    the new process of an upgrade does not come to say that it accepts
 *	exec    a program takes its time to be started
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon/handover/upgrade_protocol.h"

#define PASSRIGHTS 83 /* of Linux 6.16 */
#define TEN_YEARS  ((time_t)10 * 365 * 86400)

static bool is_on(const char *fault)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", getenv("FAULTS"), fault);
	return access(path, F_OK) == 0;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) ; libc's names are reserved */

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int (*real)(int, int, int, struct epoll_event *) =
		(int (*)(int, int, int, struct epoll_event *))dlsym(RTLD_NEXT, "epoll_ctl");

	if (op == EPOLL_CTL_ADD && is_on("watch")) {
		errno = ENOSPC;
		return -1;
	}
	return real(epfd, op, fd, event);
}

/* A different word for it each time. */
static bool starves(void)
{
	static atomic_uint n;

	if (!is_on("starve"))
		return false;
	errno = atomic_fetch_add(&n, 1) % 2 == 0 ? ENOMEM : ENOBUFS;
	return true;
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
	ssize_t (*real)(int, void *, size_t, int) =
		(ssize_t(*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");

	return starves() ? -1 : real(fd, data, size, flags);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	ssize_t (*real)(int, const void *, size_t, int) =
		(ssize_t(*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send");

	return starves() ? -1 : real(fd, data, size, flags);
}

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned int flags)
{
	ssize_t (*real)(int, off64_t *, int, off64_t *, size_t, unsigned int) =
		(ssize_t(*)(int, off64_t *, int, off64_t *, size_t, unsigned int))dlsym(RTLD_NEXT,
											"splice");

	return starves() ? -1 : real(in, in_at, out, out_at, size, flags);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int (*real)(int, int, int, const void *, socklen_t) =
		(int (*)(int, int, int, const void *, socklen_t))dlsym(RTLD_NEXT, "setsockopt");

	if (level == SOL_SOCKET && name == PASSRIGHTS && is_on("rights")) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return real(fd, level, name, value, len);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
	int (*real)(int, int, int, void *, socklen_t *) =
		(int (*)(int, int, int, void *, socklen_t *))dlsym(RTLD_NEXT, "getsockopt");

	if (level == SOL_SOCKET && name == PASSRIGHTS && is_on("rights")) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return real(fd, level, name, value, len);
}

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	int (*real)(int, struct sockaddr *, socklen_t *, int) =
		(int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4");
	struct sockaddr_un bound = { 0 };
	socklen_t size = sizeof(bound);

	if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0 && bound.sun_family == AF_UNIX &&
	    strstr(bound.sun_path, "forbidden") && is_on("accept")) {
		errno = EACCES;
		return -1;
	}
	if (bound.sun_family != AF_UNIX && is_on("bend"))
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	return real(fd, addr, len, flags);
}

static time_t leap(void)
{
	static atomic_uint n;

	if (!is_on("clock"))
		return 0;
	return atomic_fetch_add(&n, 1) % 2 == 0 ? TEN_YEARS : -TEN_YEARS;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int (*real)(clockid_t, struct timespec *) =
		(int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int r = real(clock, now);

	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
		now->tv_sec += leap();
	else if ((clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE) && is_on("later"))
		now->tv_sec += 60;
	return r;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	*now = (struct timeval){ .tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000 };
	return 0;
}

time_t time(time_t *ret_now)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ret_now != NULL)
		*ret_now = ts.tv_sec;
	return ts.tv_sec;
}

ssize_t write(int fd, const void *data, size_t size)
{
	ssize_t (*real)(int, const void *, size_t) =
		(ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");

	while (size == NOTE_SIZE && ((const struct note *)data)->kind == NOTE_ACCEPTING &&
	       is_on("mute"))
		usleep(10000);
	return real(fd, data, size);
}

int execve(const char *path, char *const argv[], char *const envp[])
{
	int (*real)(const char *, char *const *, char *const *) =
		(int (*)(const char *, char *const *, char *const *))dlsym(RTLD_NEXT, "execve");

	while (is_on("exec"))
		usleep(10000);
	return real(path, argv, envp);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
