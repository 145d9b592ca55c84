/* SPDX-License-Identifier: MIT */
/*
 * Sockets to a backend: see dial.h.
 */
#include "daemon/backend/dial.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/backend/dial_source.h"
#include "daemon/backend/loop_guard.h"
#include "daemon/backend/mux.h"
#include "daemon/backend/own_sockets.h"
#include "daemon/base/reset.h"
#include "daemon/relay/passed_fds.h"

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int set_tcp_options(const struct dial_options *options, int fd)
{
	int r = 0;

	if (options->nodelay)
		r = set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (r == 0 && options->keepalive.on)
		r = sfront_keepalive_apply(fd, &options->keepalive);
	if (r == 0 && options->user_timeout_ms > 0)
		r = set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)options->user_timeout_ms);
	return r;
}

static bool is_internet(int family)
{
	return family == AF_INET || family == AF_INET6;
}

/* Urgent bytes stay in the stream: splice() and recv() would stop at them for ever otherwise. */
static int dial_socket(const struct dial_options *options, int family)
{
	int fd, r;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = set(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	if (r == 0 && is_internet(family))
		r = set_tcp_options(options, fd);
	if (family == AF_UNIX)
		passed_fds_refuse(fd);
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

	if (!is_internet(peer->sa.any.sa_family))
		return false;
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
	reset_on_close(fd);
	return -ECONNREFUSED;
}

/*
 * Where a connection stands that was begun.  A second connect() would say so too,
 * and throw away what the backend had sent before it reset the connection.
 */
static int connect_result(int fd)
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

/* A vsock port on which nobody listens says it with a reset. */
static int result_of(int family, int r)
{
	return family == AF_VSOCK && r == -ECONNRESET ? -ECONNREFUSED : r;
}

/*
 * On the loopback the handshake is over when connect() returns EINPROGRESS: asking
 * at once says so, where waiting for the event would cost four calls.  A UNIX socket
 * has none.
 */
static int connect_start(const struct dial_options *options, int fd,
			 const struct sfront_sockaddr *addr)
{
	int family = addr->sa.any.sa_family, r = 0;

	if (loop_guard_may_return(options->guard, addr))
		r = own_sockets_connect(fd, addr);
	else if (connect(fd, &addr->sa.any, addr->len) < 0)
		r = -errno;
	if (family == AF_UNIX || (r < 0 && r != -EINPROGRESS && r != -EINTR))
		return result_of(family, r);
	return result_of(family, connect_result(fd));
}

bool dial_is_connected(int result)
{
	return result == 0 || result == -ECONNRESET;
}

short dial_awaits(const struct dial_options *options)
{
	return options->mux_port == 0 ? EV_WRITE : EV_READ;
}

int dial_result(const struct dial_options *options, const struct sfront_sockaddr *addr, int fd,
		struct mux_answer *answer)
{
	int r;

	if (options->mux_port == 0)
		return result_of(addr->sa.any.sa_family, connect_result(fd));
	r = mux_read(fd, answer);
	return r == -EAGAIN ? -EINPROGRESS : r;
}

/* Through a multiplexer, whether there is a server is known once it has answered. */
static int ask_mux(const struct dial_options *options, int fd)
{
	int r = mux_ask(fd, options->mux_port);

	return r == 0 ? -EINPROGRESS : r;
}

/* @nth: which of several addresses it comes from */
static int dial_from(const struct dial_options *options, unsigned int nth,
		     const struct sfront_sockaddr *client, const struct sfront_sockaddr *addr,
		     int *ret_fd)
{
	int fd, r = 0;

	fd = dial_socket(options, addr->sa.any.sa_family);
	if (fd < 0)
		return fd;
	if (options->source)
		r = dial_source_bind(options->source, nth, client, addr, fd);
	if (r == 0)
		r = connect_start(options, fd, addr);
	if (r == 0 && options->mux_port != 0)
		r = ask_mux(options, fd);
	if (!dial_is_connected(r) && r != -EINPROGRESS) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return r;
}

/* Whether another address to come from may do better: that one is not there, or its ports are. */
static bool may_come_from_another(int r)
{
	return r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT;
}

int dial(const struct dial_options *options, const struct sfront_sockaddr *client,
	 const struct sfront_sockaddr *addr, int *ret_fd)
{
	unsigned int n, first;
	int r = -EAFNOSUPPORT; /* that none is of its family */

	if (!options->source)
		return dial_from(options, 0, client, addr, ret_fd);
	n = dial_source_count(options->source);
	first = dial_source_turn(options->source);
	for (unsigned int i = 0; i < n; i++) {
		int error = dial_from(options, first + i, client, addr, ret_fd);

		if (!may_come_from_another(error))
			return error;
		if (error == -EADDRNOTAVAIL)
			r = error;
	}
	return r;
}
