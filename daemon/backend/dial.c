/* SPDX-License-Identifier: MIT */
/*
 * Sockets to a backend: see dial.h.
 */
#include "daemon/backend/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/backend/loop_guard.h"
#include "daemon/backend/own_sockets.h"

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Urgent bytes stay in the stream: splice() and recv() would stop at them for ever otherwise. */
static int dial_socket(const struct dial_options *options, int family)
{
	int fd, r;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = set(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	if (r == 0 && options->nodelay)
		r = set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (r == 0 && options->keepalive.on)
		r = sfront_keepalive_apply(fd, &options->keepalive);
	if (r == 0 && options->user_timeout_ms > 0)
		r = set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)options->user_timeout_ms);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static unsigned int first_local_port = 1024;

static void read_local_ports(void)
{
	unsigned int first;
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

	if (!f)
		return;
	if (fscanf(f, "%u", &first) == 1)
		first_local_port = first;
	fclose(f);
}

/*
 * A connection to a port of this machine on which nobody listens can pick that
 * very port as its own, and is then connected to itself.
 */
static bool is_self_connected(int fd, const struct sfront_sockaddr *peer)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct sfront_sockaddr local = { .len = sizeof(local.sa) };
	unsigned int port;

	pthread_once(&once, read_local_ports);
	port = ntohs(peer->sa.any.sa_family == AF_INET ? peer->sa.in.sin_port
						       : peer->sa.in6.sin6_port);
	if (port < first_local_port)
		return false;
	if (getsockname(fd, &local.sa.any, &local.len) < 0)
		return false;
	return sfront_sockaddr_equal(&local, peer);
}

/* With a reset: what lingered would keep the backend from its own port for a minute. */
static int refuse_ourselves(int fd)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return -ECONNREFUSED;
}

int connect_result(int fd)
{
	struct sfront_sockaddr peer = { .len = sizeof(peer.sa) };
	int error = 0;
	socklen_t len = sizeof(error);

	if (getpeername(fd, &peer.sa.any, &peer.len) == 0)
		return is_self_connected(fd, &peer) ? refuse_ourselves(fd) : 0;
	if (errno != ENOTCONN || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	if (error == EPIPE) /* a reset behind an end of stream */
		return -ECONNRESET;
	return error != 0 ? -error : -EINPROGRESS;
}

/*
 * On the loopback the handshake is over when connect() returns EINPROGRESS: asking
 * at once says so, where waiting for the event would cost four calls.
 */
static int connect_start(const struct dial_options *options, int fd,
			 const struct sfront_sockaddr *addr)
{
	int r = 0;

	if (loop_guard_has_port(options->guard, addr))
		r = own_sockets_connect(fd, addr);
	else if (connect(fd, &addr->sa.any, addr->len) < 0)
		r = -errno;
	if (r < 0 && r != -EINPROGRESS && r != -EINTR)
		return r;
	return connect_result(fd);
}

bool dial_is_connected(int result)
{
	return result == 0 || result == -ECONNRESET;
}

int dial(const struct dial_options *options, const struct sfront_sockaddr *addr, int *ret_fd)
{
	int fd, r;

	fd = dial_socket(options, addr->sa.any.sa_family);
	if (fd < 0)
		return fd;
	r = connect_start(options, fd, addr);
	if (!dial_is_connected(r) && r != -EINPROGRESS) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return r;
}
