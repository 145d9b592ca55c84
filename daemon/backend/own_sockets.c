/* SPDX-License-Identifier: MIT */
/*
 * The table of our own connections: see own_sockets.h.  A socket is not taken off it when it
 * is closed, since its other end may still be waiting in our listener's queue; what has been
 * dead for a while is swept as others come.
 */
#include "daemon/backend/own_sockets.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/netns.h"

#define N_BUCKETS 1024

/* How long a closed one is remembered: its port is not used for the same way again before. */
#define DEAD_MS 60000

/* With more than that, closed ones are forgotten at once. */
#define CROWD 16384

/* IPv4 inside IPv6.  Without a scope: the two sides may see different ones. */
struct point {
	struct in6_addr addr;
	in_port_t port;
};

struct own_socket {
	TAILQ_ENTRY(own_socket) in_age;   /* swept from the first on */
	LIST_ENTRY(own_socket) in_bucket; /* of its own port */
	struct point from, to;
	int fd;          /* may be closed, and the number somebody else's */
	uint64_t cookie; /* which tells that */
	uint64_t since_ms;
};

static struct {
	pthread_mutex_t lock;
	atomic_bool has_unix; /* a UNIX socket of ours may have come back */
	atomic_size_t n;      /* with those about to be connected; guards nothing */
	TAILQ_HEAD(, own_socket) by_age;
	LIST_HEAD(, own_socket) buckets[N_BUCKETS];
} own = { .lock = PTHREAD_MUTEX_INITIALIZER, .by_age = TAILQ_HEAD_INITIALIZER(own.by_age) };

/* False: it has no port. */
static bool to_point(const struct sfront_sockaddr *addr, struct point *ret)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (addr->len == 0)
		return false;
	switch (addr->sa.any.sa_family) {
	case AF_INET:
		memcpy(ret->addr.s6_addr, mapped, sizeof(mapped));
		memcpy(ret->addr.s6_addr + sizeof(mapped), &addr->sa.in.sin_addr, 4);
		ret->port = addr->sa.in.sin_port;
		return true;
	case AF_INET6:
		ret->addr = addr->sa.in6.sin6_addr;
		ret->port = addr->sa.in6.sin6_port;
		return true;
	default:
		return false;
	}
}

static bool points_equal(const struct point *a, const struct point *b)
{
	return a->port == b->port && IN6_ARE_ADDR_EQUAL(&a->addr, &b->addr);
}

static bool local_point(int fd, struct point *ret)
{
	struct sfront_sockaddr local = { .len = sizeof(local.sa) };

	return getsockname(fd, &local.sa.any, &local.len) == 0 && to_point(&local, ret);
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

static bool is_open(const struct own_socket *socket)
{
	return cookie_of(socket->fd) == socket->cookie;
}

static bool is_old(const struct own_socket *socket)
{
	return clock_ms() - socket->since_ms >= DEAD_MS;
}

static void forget(struct own_socket *socket)
{
	TAILQ_REMOVE(&own.by_age, socket, in_age);
	LIST_REMOVE(socket, in_bucket);
	free(socket);
	atomic_fetch_sub(&own.n, 1);
}

/* Two for each that comes, so that the closed ones never become many. */
static void sweep(void)
{
	for (int i = 0; i < 2; i++) {
		struct own_socket *first = TAILQ_FIRST(&own.by_age);

		if (!first || (!is_old(first) && atomic_load(&own.n) <= CROWD))
			return;
		if (!is_open(first)) {
			forget(first);
			continue;
		}
		TAILQ_REMOVE(&own.by_age, first, in_age);
		TAILQ_INSERT_TAIL(&own.by_age, first, in_age);
	}
}

static void insert(struct own_socket *socket)
{
	TAILQ_INSERT_TAIL(&own.by_age, socket, in_age);
	LIST_INSERT_HEAD(&own.buckets[ntohs(socket->from.port) % N_BUCKETS], socket, in_bucket);
}

/* "Every address" is connected to as the loopback. */
static void note_target(struct own_socket *socket, const struct sfront_sockaddr *addr)
{
	static const struct in6_addr every_ipv4 = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	(void)to_point(addr, &socket->to);
	if (IN6_IS_ADDR_UNSPECIFIED(&socket->to.addr) ||
	    IN6_ARE_ADDR_EQUAL(&socket->to.addr, &every_ipv4))
		socket->to.addr = socket->from.addr;
}

/* The count comes first: a thread that accepts it at once must not find it 0. */
static int connect_noted(int fd, const struct sfront_sockaddr *addr, struct own_socket *socket)
{
	int r = 0;

	atomic_fetch_add(&own.n, 1);
	sweep();
	if (connect(fd, &addr->sa.any, addr->len) < 0)
		r = -errno;
	if ((r == 0 || r == -EINPROGRESS) && local_point(fd, &socket->from)) {
		note_target(socket, addr);
		insert(socket);
		return r;
	}
	atomic_fetch_sub(&own.n, 1);
	free(socket);
	return r;
}

static int connect_unix(int fd, const struct sfront_sockaddr *addr)
{
	atomic_store(&own.has_unix, true);
	return connect(fd, &addr->sa.any, addr->len) < 0 ? -errno : 0;
}

int own_sockets_connect(int fd, const struct sfront_sockaddr *addr)
{
	struct own_socket *socket;
	int r;

	if (addr->sa.any.sa_family == AF_UNIX)
		return connect_unix(fd, addr);
	socket = calloc(1, sizeof(*socket));
	if (!socket)
		return -ENOMEM;
	socket->fd = fd;
	socket->cookie = cookie_of(fd);
	socket->since_ms = clock_ms();
	pthread_mutex_lock(&own.lock);
	r = connect_noted(fd, addr, socket);
	pthread_mutex_unlock(&own.lock);
	return r;
}

/* The one that is connected from @from to the address of @fd. */
static struct own_socket *find(int fd, const struct point *from)
{
	struct own_socket *socket;
	struct point to;

	LIST_FOREACH (socket, &own.buckets[ntohs(from->port) % N_BUCKETS], in_bucket)
		if (points_equal(&socket->from, from) && local_point(fd, &to) &&
		    points_equal(&socket->to, &to))
			return socket;
	return NULL;
}

static bool is_connected_by_us(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid();
}

bool own_sockets_take(int fd, const struct sfront_sockaddr *peer)
{
	struct own_socket *socket;
	struct point from;
	bool found = false;

	if (peer->len > 0 && peer->sa.any.sa_family == AF_UNIX)
		return atomic_load(&own.has_unix) && is_connected_by_us(fd);
	if (atomic_load(&own.n) == 0 || !to_point(peer, &from))
		return false;
	pthread_mutex_lock(&own.lock);
	socket = find(fd, &from);
	if (socket && netns_is_ours(fd)) {
		found = is_open(socket) || !is_old(socket);
		forget(socket);
	}
	pthread_mutex_unlock(&own.lock);
	return found;
}
