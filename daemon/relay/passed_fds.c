/* SPDX-License-Identifier: MIT */
/*
 * Passed descriptors: see passed_fds.h.
 */
#include "daemon/relay/passed_fds.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/base/thread.h"

/* Of Linux 6.16; the number is the architecture's. */
#ifndef SO_PASSRIGHTS
#if defined(__hppa__)
#define SO_PASSRIGHTS 0x4051
#elif defined(__sparc__)
#define SO_PASSRIGHTS 0x005c
#else
#define SO_PASSRIGHTS 83
#endif
#endif

/* As many as one message carries: SCM_MAX_FD of the kernel. */
#define MOST_FDS 253

/* More descriptors than fs.nr_open lets a process have, by default. */
#define BITS ((size_t)1 << 20)

/* A bit for each that waits to be closed: there is always room to note one. */
static struct {
	pthread_mutex_t mutex;
	uint64_t waits[BITS / 64];
	size_t n, end; /* how many wait; all of them are below this word */
	bool running;  /* there is a thread that closes them */
} closing = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static pthread_once_t probed = PTHREAD_ONCE_INIT;
static bool may_come;

static void probe(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), on;
	socklen_t len = sizeof(on);

	if (fd < 0)
		return;
	may_come = getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &on, &len) < 0;
	close(fd);
}

bool passed_fds_may_come(void)
{
	pthread_once(&probed, probe);
	return may_come;
}

void passed_fds_refuse(int fd)
{
	const int off = 0;

	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

/* The next that waits, and no longer does; -1: there is none, and the thread is over. */
static int take(void)
{
	int fd = -1;

	pthread_mutex_lock(&closing.mutex);
	for (size_t i = 0; closing.n > 0 && fd < 0 && i < closing.end; i++) {
		if (closing.waits[i] == 0)
			continue;
		fd = (int)(i * 64) + __builtin_ctzll(closing.waits[i]);
		closing.waits[i] &= closing.waits[i] - 1;
		closing.n--;
	}
	if (fd < 0) {
		closing.end = 0;
		closing.running = false;
	}
	pthread_mutex_unlock(&closing.mutex);
	return fd;
}

static void *close_them(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = take()) >= 0)
		close(fd);
	return NULL;
}

/* Without a thread, they stay open until the next ones come. */
static void start_thread(void)
{
	if (!closing.running)
		closing.running = thread_start_detached(close_them, NULL, 0) == 0;
}

/* A connection that lingers need not: it is no longer anybody's but its maker's. */
static void close_later(const int *fds, size_t n)
{
	const struct linger off = { .l_onoff = 0 };

	pthread_mutex_lock(&closing.mutex);
	for (size_t i = 0; i < n; i++) {
		size_t word = (size_t)fds[i] / 64;

		(void)setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &off, sizeof(off));
		if (word >= BITS / 64)
			continue; /* it cannot be noted, and stays open */
		closing.waits[word] |= UINT64_C(1) << fds[i] % 64;
		closing.n++;
		if (closing.end <= word)
			closing.end = word + 1;
	}
	start_thread();
	pthread_mutex_unlock(&closing.mutex);
}

static void close_passed(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		int fds[MOST_FDS];
		size_t size = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || size > sizeof(fds))
			continue;
		memcpy(fds, CMSG_DATA(c), size);
		close_later(fds, size / sizeof(*fds));
	}
}

ssize_t passed_fds_recv(int fd, void *data, size_t size)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MOST_FDS * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);

	if (n >= 0)
		close_passed(&message);
	return n;
}

void passed_fds_clear(int fd)
{
	char bytes[4096];
	ssize_t n;

	/* Nobody adds to it from here on. */
	(void)shutdown(fd, SHUT_RD);
	do {
		n = passed_fds_recv(fd, bytes, sizeof(bytes));
	} while (n > 0 || (n < 0 && errno == EINTR));
}
