/* SPDX-License-Identifier: MIT */
/*
 * Notes what the sockets of an open listener are, and which addresses lead to
 * them.
 */
#include "daemon/listening.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/log.h"

static void note_bound(struct listening *listening, size_t index)
{
	struct listening_socket *socket = &listening->sockets[index];
	int v6only = 1;
	socklen_t len = sizeof(v6only);

	if (sfront_listener_local(listening->listener, index, &socket->addr) < 0)
		return;
	if (socket->addr.sa.any.sa_family == AF_INET6)
		socket->takes_ipv4 = getsockopt(sfront_listener_fd(listening->listener, index),
						IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len) == 0 &&
				     !v6only;
}

static int note_sockets(struct listening *listening)
{
	listening->n_sockets = sfront_listener_count(listening->listener);
	listening->sockets = calloc(listening->n_sockets, sizeof(*listening->sockets));
	if (listening->sockets == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < listening->n_sockets; i++) {
		struct listening_socket *socket = &listening->sockets[i];

		sfront_listener_format(listening->listener, i, socket->text, sizeof(socket->text));
		socket->is_single = sfront_listener_is_single(listening->listener, i);
		if (!socket->is_single)
			note_bound(listening, i);
	}
	return 0;
}

struct listening *listening_new(const struct sfront_address *address, unsigned int nth,
				const struct sfront_options *options,
				struct sfront_listener *listener)
{
	struct listening *listening = calloc(1, sizeof(*listening));

	if (listening == NULL)
		return NULL;
	atomic_init(&listening->refs, 1);
	listening->address = *address;
	listening->nth = nth;
	listening->options = options;
	listening->listener = listener;
	if (note_sockets(listening) == 0)
		return listening;
	free(listening);
	return NULL;
}

struct listening *listening_ref(struct listening *listening)
{
	atomic_fetch_add(&listening->refs, 1);
	return listening;
}

void listening_unref(struct listening *listening)
{
	if (listening == NULL || atomic_fetch_sub(&listening->refs, 1) != 1)
		return;
	listening_close(listening);
	free(listening->sockets);
	free(listening);
}

void listening_abandon(struct sfront_listener *listener)
{
	for (size_t i = 0; i < sfront_listener_count(listener); i++) {
		int fd = sfront_listener_release(listener, i);

		if (fd >= 0)
			close(fd);
	}
	sfront_listener_close(listener);
}

void listening_close(struct listening *listening)
{
	if (listening->is_shared && listening->listener != NULL && listening_is_own(listening))
		listening_abandon(listening->listener);
	else
		sfront_listener_close(listening->listener);
	listening->listener = NULL;
}

void listening_settle(struct listening *listening)
{
	struct sfront_error err;

	if (!listening->is_adopted)
		return;
	listening->is_adopted = false;
	if (sfront_listener_update(listening->listener, NULL, listening->options, &err) < 0)
		log_line(LOG_WARNING, "%s; the socket stays as it was handed over", err.message);
}

void listening_refuse(const struct listening *listening)
{
	if (listening->is_shared || listening->listener == NULL || !listening_is_own(listening))
		return;
	(void)sfront_listener_remove_path(listening->listener, 0);
	for (size_t i = 0; i < listening->n_sockets; i++)
		(void)shutdown(sfront_listener_fd(listening->listener, i), SHUT_RDWR);
}

bool listening_is_own(const struct listening *listening)
{
	switch (listening->address.kind) {
	case SFRONT_TCP:
	case SFRONT_UNIX:
	case SFRONT_ABSTRACT:
	case SFRONT_VSOCK:
		return true;
	default:
		return false;
	}
}

static unsigned int port_of(const struct sfront_sockaddr *addr)
{
	switch (addr->sa.any.sa_family) {
	case AF_INET:
		return ntohs(addr->sa.in.sin_port);
	case AF_INET6:
		return ntohs(addr->sa.in6.sin6_port);
	default:
		return 0;
	}
}

static bool is_every_address(const struct sfront_sockaddr *addr)
{
	if (addr->sa.any.sa_family == AF_INET)
		return addr->sa.in.sin_addr.s_addr == htonl(INADDR_ANY);
	return addr->sa.any.sa_family == AF_INET6 &&
	       IN6_IS_ADDR_UNSPECIFIED(&addr->sa.in6.sin6_addr);
}

/*
 * What this machine sends to itself goes out with the address that it goes to.
 * Connecting a datagram socket looks that up and sends nothing.
 */
static bool is_of_this_machine(const struct sfront_sockaddr *addr)
{
	struct sfront_sockaddr target = *addr, source = { .len = sizeof(source.sa) };
	int fd;
	bool same;

	if (addr->sa.any.sa_family == AF_INET && ntohl(addr->sa.in.sin_addr.s_addr) >> 24 == 127)
		return true;
	fd = socket(addr->sa.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	same = connect(fd, &target.sa.any, target.len) == 0 &&
	       getsockname(fd, &source.sa.any, &source.len) == 0;
	close(fd);
	if (!same)
		return false;
	if (addr->sa.any.sa_family == AF_INET)
		return source.sa.in.sin_addr.s_addr == addr->sa.in.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&source.sa.in6.sin6_addr, &addr->sa.in6.sin6_addr);
}

/* IPv4 may come inside IPv6. */
static struct sfront_sockaddr unwrapped(const struct sfront_sockaddr *addr)
{
	struct sfront_sockaddr to = { .len = sizeof(to.sa.in) };

	if (addr->sa.any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->sa.in6.sin6_addr))
		return *addr;
	to.sa.in.sin_family = AF_INET;
	to.sa.in.sin_port = addr->sa.in6.sin6_port;
	memcpy(&to.sa.in.sin_addr, &addr->sa.in6.sin6_addr.s6_addr[12], sizeof(to.sa.in.sin_addr));
	return to;
}

/* What connect() makes of it: "every address" is the loopback. */
static struct sfront_sockaddr as_connected(const struct sfront_sockaddr *addr)
{
	struct sfront_sockaddr to = unwrapped(addr);

	if (is_every_address(&to)) {
		if (to.sa.any.sa_family == AF_INET)
			to.sa.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		else
			to.sa.in6.sin6_addr = in6addr_loopback;
	}
	return to;
}

bool listening_socket_reached(const struct listening_socket *socket,
			      const struct sfront_sockaddr *target)
{
	struct sfront_sockaddr to = as_connected(target), at = unwrapped(&socket->addr);
	const struct sfront_sockaddr *addr = &to, *bound = &at;

	if (bound->len == 0 || port_of(bound) == 0 || port_of(bound) != port_of(addr))
		return false;
	if (sfront_sockaddr_equal(bound, addr))
		return true;
	if (!is_every_address(bound) ||
	    (bound->sa.any.sa_family != addr->sa.any.sa_family && !socket->takes_ipv4))
		return false;
	return is_of_this_machine(addr);
}
