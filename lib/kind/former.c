/* SPDX-License-Identifier: MIT */
/*
 * The record of what inherited listening sockets had: asked of the kernel, set
 * back, and as text for a process that takes over.
 */
#include <sys/socket.h> /* before <linux/vm_sockets.h>, which needs it in older versions */

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kind/former.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72 /* Linux 5.14 */
#endif

/* What is no option of setsockopt(). */
enum { BLOCKING = 1, BACKLOG = 2 };
#define NO_LEVEL (-1)

/*
 * In the order in which they are set back: a buffer's size locks it against the
 * kernel's own tuning, so that its lock comes after it.
 */
static const struct {
	unsigned int kinds;
	int level;
	int name;
	bool wide; /* 64 bits */
} rows[] = {
	{ KIND_TCP | KIND_UNIX, SOL_SOCKET, SO_OOBINLINE, false },
	{ KIND_UNIX, SOL_SOCKET, SO_PASSRIGHTS, false },
	{ KIND_TCP, SOL_SOCKET, SO_MARK, false },
	{ KIND_TCP, IPPROTO_TCP, TCP_NODELAY, false },
	{ KIND_TCP, IPPROTO_TCP, TCP_USER_TIMEOUT, false },
	{ KIND_TCP, IPPROTO_TCP, TCP_FASTOPEN, false },
	{ KIND_TCP, IPPROTO_TCP, TCP_DEFER_ACCEPT, false },
	{ KIND_TCP, IPPROTO_TCP, TCP_KEEPIDLE, false },
	{ KIND_TCP, IPPROTO_TCP, TCP_KEEPCNT, false },
	{ KIND_TCP, IPPROTO_TCP, TCP_KEEPINTVL, false },
	{ KIND_TCP, SOL_SOCKET, SO_KEEPALIVE, false },
	{ KIND_TCP, IPPROTO_IP, IP_TOS, false },
	{ KIND_TCP6, IPPROTO_IPV6, IPV6_TCLASS, false },
	{ KIND_TCP, NO_LEVEL, BACKLOG, false },
	{ KIND_VSOCK, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, true },
	{ KIND_VSOCK, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, true },
	{ KIND_TCP | KIND_UNIX, SOL_SOCKET, SO_RCVBUF, false },
	{ KIND_TCP | KIND_UNIX, SOL_SOCKET, SO_SNDBUF, false },
	{ KIND_TCP | KIND_UNIX, SOL_SOCKET, SO_BUF_LOCK, false },
	{ KIND_TCP | KIND_UNIX | KIND_VSOCK, NO_LEVEL, BLOCKING, false },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

struct former {
	int fd;
	uint32_t known; /* a bit for each row */
	uint64_t values[ROWS];
	char congestion[CONGESTION_SIZE]; /* or "" */
};

static struct {
	pthread_mutex_t lock;
	void *all; /* tsearch's, of struct former, by number */
} record = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* How many clients may wait at a listening TCP socket. */
static int get_backlog(int fd, int *ret)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return -errno;
	*ret = (int)info.tcpi_sacked; /* of a listening socket: that number */
	return 0;
}

static int get_value(int fd, size_t row, uint64_t *ret)
{
	socklen_t len = rows[row].wide ? sizeof(uint64_t) : sizeof(int);
	uint64_t wide = 0;
	int value = 0, r = 0;

	if (rows[row].level == NO_LEVEL && rows[row].name == BLOCKING) {
		value = fcntl(fd, F_GETFL);
		r = value < 0 ? -errno : 0;
		value = !(value & O_NONBLOCK);
	} else if (rows[row].level == NO_LEVEL) {
		r = get_backlog(fd, &value);
	} else if (getsockopt(fd, rows[row].level, rows[row].name,
			      rows[row].wide ? (void *)&wide : &value, &len) < 0) {
		r = -errno;
	}
	if (r == 0)
		*ret = rows[row].wide ? wide : (uint64_t)(unsigned int)value;
	return r;
}

/* The kernel doubles what is asked for, and cuts it to a limit that only CAP_NET_ADMIN exceeds. */
static int set_buffer(int fd, int name, int value)
{
	int half = value / 2, got = 0;
	socklen_t len = sizeof(got);

	if (setsockopt(fd, SOL_SOCKET, name, &half, sizeof(half)) < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, name, &got, &len) == 0 && got >= half * 2)
		return 0;
	name = name == SO_RCVBUF ? SO_RCVBUFFORCE : SO_SNDBUFFORCE;
	return setsockopt(fd, SOL_SOCKET, name, &half, sizeof(half)) < 0 ? -errno : 0;
}

static int set_value(int fd, size_t row, uint64_t wide)
{
	int level = rows[row].level, name = rows[row].name, value = (int)(unsigned int)wide;

	if (level == NO_LEVEL && name == BLOCKING) {
		sfront_restore_blocking(fd, value);
		return 0;
	}
	if (level == NO_LEVEL)
		return listen(fd, value) < 0 ? -errno : 0;
	if (level == SOL_SOCKET && (name == SO_RCVBUF || name == SO_SNDBUF))
		return set_buffer(fd, name, value);
	return setsockopt(fd, level, name, rows[row].wide ? (void *)&wide : &value,
			  rows[row].wide ? sizeof(wide) : sizeof(value)) < 0
		       ? -errno
		       : 0;
}

static struct former ask(int fd, unsigned int kinds)
{
	struct former former = { .fd = fd };
	socklen_t len = sizeof(former.congestion);

	for (size_t i = 0; i < ROWS; i++)
		if ((rows[i].kinds & kinds) && get_value(fd, i, &former.values[i]) == 0)
			former.known |= 1u << i;
	if (!(kinds & KIND_TCP) ||
	    getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, former.congestion, &len) < 0)
		former.congestion[0] = '\0';
	return former;
}

static int set_back_congestion(const struct former *former)
{
	char now[CONGESTION_SIZE] = "";
	socklen_t len = sizeof(now);

	if (!former->congestion[0] ||
	    getsockopt(former->fd, IPPROTO_TCP, TCP_CONGESTION, now, &len) < 0 ||
	    strncmp(now, former->congestion, sizeof(now)) == 0)
		return 0;
	len = (socklen_t)strnlen(former->congestion, sizeof(now));
	return setsockopt(former->fd, IPPROTO_TCP, TCP_CONGESTION, former->congestion, len) < 0
		       ? -errno
		       : 0;
}

/* What is as it was is not touched: setting it may take a right, or have effects of its own. */
static int set_back(const struct former *former)
{
	int error = set_back_congestion(former), r;
	uint64_t now = 0;

	for (size_t i = 0; i < ROWS; i++) {
		if (!(former->known >> i & 1) || get_value(former->fd, i, &now) < 0 ||
		    now == former->values[i])
			continue;
		r = set_value(former->fd, i, former->values[i]);
		if (error == 0)
			error = r;
	}
	return error;
}

static int compare(const void *a, const void *b)
{
	const struct former *one = a, *other = b;

	return (one->fd > other->fd) - (one->fd < other->fd);
}

/* With the lock held. */
static struct former *find(int fd)
{
	const struct former wanted = { .fd = fd };
	struct former **found = tfind(&wanted, &record.all, compare);

	return found ? *found : NULL;
}

/* One that is not there yet, with the lock held.  Returns 0 or -ENOMEM. */
static int add(const struct former *former)
{
	struct former *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = *former;
	if (tsearch(copy, &record.all, compare))
		return 0;
	free(copy);
	return -ENOMEM;
}

int sfront_former_note(int fd, unsigned int kinds, bool *ret_first)
{
	const struct former former = ask(fd, kinds);
	int r = 0;

	pthread_mutex_lock(&record.lock);
	*ret_first = !find(fd);
	if (*ret_first)
		r = add(&former);
	pthread_mutex_unlock(&record.lock);
	return r;
}

/* Takes @fd's out of the record.  Returns whether there was one. */
static bool take(int fd, struct former *ret)
{
	struct former *found;
	bool is_there;

	pthread_mutex_lock(&record.lock);
	found = find(fd);
	is_there = found;
	if (is_there) {
		*ret = *found;
		tdelete(found, &record.all, compare);
		free(found);
	}
	pthread_mutex_unlock(&record.lock);
	return is_there;
}

int sfront_former_restore(int fd)
{
	struct former former;

	return take(fd, &former) ? set_back(&former) : 0;
}

void sfront_former_drop(int fd)
{
	struct former former;

	take(fd, &former);
}

/* "LEVEL.NAME=VALUE", a blank after each. */
static size_t format(const struct former *former, char *buf, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < ROWS; i++) {
		if (!(former->known >> i & 1))
			continue;
		len += (size_t)snprintf(len < size ? buf + len : NULL, len < size ? size - len : 0,
					"%s%d.%d=%llu", len ? " " : "", rows[i].level, rows[i].name,
					(unsigned long long)former->values[i]);
	}
	if (former->congestion[0])
		len += (size_t)snprintf(len < size ? buf + len : NULL, len < size ? size - len : 0,
					"%s%.*s", len ? " " : "", CONGESTION_SIZE,
					former->congestion);
	return len;
}

size_t sfront_former_format(int fd, char *buf, size_t size)
{
	const struct former *found;
	size_t len = 0;

	if (size > 0)
		buf[0] = '\0';
	pthread_mutex_lock(&record.lock);
	found = find(fd);
	if (found)
		len = format(found, buf, size);
	pthread_mutex_unlock(&record.lock);
	return len;
}

/* One word of the text.  What this version does not set needs not be set back. */
static int parse_word(const char *word, size_t len, struct former *ret)
{
	const char *equals = memchr(word, '=', len);
	int level, name;
	uint64_t value;

	if (!equals) {
		if (len >= sizeof(ret->congestion))
			return -EINVAL;
		memcpy(ret->congestion, word, len);
		ret->congestion[len] = '\0';
		return 0;
	}
	if (sscanf(word, "%d.%d=", &level, &name) != 2 ||
	    sfront_parse_digits(equals + 1, (size_t)(word + len - equals) - 1, &value) < 0)
		return -EINVAL;
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].level != level || rows[i].name != name)
			continue;
		ret->known |= 1u << i;
		ret->values[i] = value;
	}
	return 0;
}

int sfront_former_parse(int fd, const char *text)
{
	struct former former = { .fd = fd };
	int r = 0;

	for (size_t len; *text && r == 0; text += len + (text[len] == ' ')) {
		len = strcspn(text, " ");
		r = parse_word(text, len, &former);
	}
	if (r < 0)
		return r;
	pthread_mutex_lock(&record.lock);
	r = find(fd) ? -EBUSY : add(&former);
	pthread_mutex_unlock(&record.lock);
	return r;
}
