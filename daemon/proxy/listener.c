/* SPDX-License-Identifier: MIT */
/*
 * Notes what the sockets of an open listener are, and which addresses lead to
 * them.
 */
#include "daemon/proxy/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/netns.h"

struct sfront_address listener_address(const struct listener *listener)
{
	struct sfront_address address = { 0 };

	(void)sfront_address_parse(listener->line, &address, NULL);
	return address;
}

struct sfront_sockaddr listener_local(const struct listener *listener, size_t index)
{
	struct sfront_sockaddr local = { 0 };

	if (listener->open && !listener->sockets[index].is_single)
		(void)sfront_listener_local(listener->open, index, &local);
	return local;
}

static void note_bound(struct listener *listener, size_t index)
{
	struct listener_socket *socket = &listener->sockets[index];
	const struct sfront_sockaddr local = listener_local(listener, index);
	int fd = sfront_listener_fd(listener->open, index);
	int v6only = 1;
	socklen_t len = sizeof(v6only);

	if (local.len == 0)
		return;
	socket->is_elsewhere = !netns_is_ours(fd);
	if (local.sa.any.sa_family == AF_INET6)
		socket->takes_ipv4 =
			getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len) == 0 && !v6only;
}

static int note_socket(struct listener *listener, size_t index)
{
	struct listener_socket *socket = &listener->sockets[index];
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	sfront_listener_format(listener->open, index, text, sizeof(text));
	socket->text = strdup(text);
	if (!socket->text)
		return -ENOMEM;
	socket->is_single = sfront_listener_is_single(listener->open, index);
	if (!socket->is_single)
		note_bound(listener, index);
	return 0;
}

static int note_line(struct listener *listener, const struct sfront_address *address)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	sfront_address_format(address, text, sizeof(text));
	listener->line = strdup(text);
	return listener->line ? 0 : -ENOMEM;
}

static int note_sockets(struct listener *listener)
{
	int r = 0;

	listener->n_sockets = sfront_listener_count(listener->open);
	listener->sockets = calloc(listener->n_sockets, sizeof(*listener->sockets));
	if (!listener->sockets)
		return -ENOMEM;
	for (size_t i = 0; i < listener->n_sockets && r == 0; i++)
		r = note_socket(listener, i);
	return r;
}

static void listener_free(struct listener *listener)
{
	for (size_t i = 0; listener->sockets && i < listener->n_sockets; i++)
		free(listener->sockets[i].text);
	free(listener->sockets);
	free(listener->line);
	free(listener);
}

static bool is_loopback(const struct in6_addr *in6)
{
	return IN6_IS_ADDR_LOOPBACK(in6) ||
	       (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == IN_LOOPBACKNET);
}

bool listener_is_open_to_others(const struct listener *listener, size_t index)
{
	const struct sfront_sockaddr addr = listener_local(listener, index);

	if (addr.len == 0)
		return false;
	if (addr.sa.any.sa_family == AF_INET)
		return ntohl(addr.sa.in.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET;
	return addr.sa.any.sa_family == AF_INET6 && !is_loopback(&addr.sa.in6.sin6_addr);
}

int listener_verify(const struct listener *listener, struct sfront_error *err)
{
	const struct sfront_address address = listener_address(listener);

	return sfront_listener_verify(listener->open, &address, listener->options, err);
}

struct listener *listener_new(const struct sfront_address *address, unsigned int nth,
			      const struct sfront_options *options, struct sfront_listener *open)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return NULL;
	atomic_init(&listener->refs, 1);
	listener->nth = nth;
	listener->options = options;
	listener->open = open;
	/* Whoever bound an inherited one holds it, whatever the address says. */
	listener->is_own = address_is_own(address) && !sfront_listener_is_inherited(open, 0);
	if (note_line(listener, address) == 0 && note_sockets(listener) == 0)
		return listener;
	listener_free(listener);
	return NULL;
}

struct listener *listener_ref(struct listener *listener)
{
	atomic_fetch_add(&listener->refs, 1);
	return listener;
}

void listener_unref(struct listener *listener)
{
	if (!listener || atomic_fetch_sub(&listener->refs, 1) != 1)
		return;
	listener_close(listener);
	listener_free(listener);
}

void listener_close_unshared(struct sfront_listener *open)
{
	for (size_t i = 0; i < sfront_listener_count(open); i++) {
		int fd = sfront_listener_release(open, i);

		if (fd >= 0)
			close(fd);
	}
	sfront_listener_close(open);
}

void listener_close(struct listener *listener)
{
	/* Whoever lent it finds it as it was, unless another process of ours goes on with it. */
	if (!listener->is_shared && listener->open && !listener_is_own(listener))
		(void)sfront_listener_restore(listener->open);
	if (listener->is_shared && listener->open && listener_is_own(listener))
		listener_close_unshared(listener->open);
	else
		sfront_listener_close(listener->open);
	listener->open = NULL;
}

void listener_settle(struct listener *listener)
{
	struct sfront_error err;

	if (!listener->is_adopted)
		return;
	listener->is_adopted = false;
	if (sfront_listener_update(listener->open, NULL, listener->options, &err) < 0)
		log_line(LOG_WARNING, "%s; the socket stays as it was handed over", err.message);
}

static bool is_ours_alone(const struct listener *listener)
{
	return !listener->is_shared && listener->open && listener_is_own(listener);
}

void listener_hide(const struct listener *listener)
{
	if (is_ours_alone(listener))
		(void)sfront_listener_remove_path(listener->open, 0);
}

void listener_refuse(const struct listener *listener)
{
	if (!is_ours_alone(listener))
		return;
	listener_hide(listener);
	for (size_t i = 0; i < listener->n_sockets; i++)
		(void)shutdown(sfront_listener_fd(listener->open, i), SHUT_RDWR);
}

bool listener_is_own(const struct listener *listener)
{
	return listener->is_own;
}
