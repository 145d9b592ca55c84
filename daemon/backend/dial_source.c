/* SPDX-License-Identifier: MIT */
/*
 * Addresses to connect from: see dial_source.h.
 */
#include "daemon/backend/dial_source.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/backend_source.h"
#include "conf/refuse.h"
#include "daemon/base/log.h"

struct dial_source {
	struct sfront_sockaddr *addresses; /* owned */
	unsigned int n;
	bool is_client;
	atomic_uint next; /* whose turn it is */
	struct log_limit failures;
};

static int set(int fd, int level, int option)
{
	const int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) < 0 ? -errno : 0;
}

/* The right to it is that to any address: asked once, not by each client in vain. */
static int try_transparent(struct sfront_error *err)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return refuse(err, -errno, "backend-source = client cannot be tried: %s",
			      strerror(errno));
	r = set(fd, SOL_IP, IP_TRANSPARENT);
	close(fd);
	if (r == -EPERM)
		return refuse(err, r,
			      "backend-source = client needs the capability CAP_NET_ADMIN; in a "
			      "drop-in for the unit (systemctl edit sockfront): [Service] "
			      "AmbientCapabilities=CAP_NET_ADMIN and "
			      "CapabilityBoundingSet=CAP_NET_ADMIN");
	if (r < 0)
		return refuse(err, r, "backend-source = client: %s", strerror(-r));
	return 0;
}

struct dial_source *dial_source_new(const struct backend_source *config, struct sfront_error *err)
{
	struct dial_source *source;
	int r = config->is_client ? try_transparent(err) : 0;

	if (r < 0) {
		errno = -r;
		return NULL;
	}
	source = calloc(1, sizeof(*source));
	if (!source)
		return NULL;
	source->is_client = config->is_client;
	source->n = (unsigned int)config->n;
	if (source->n == 0)
		return source;
	source->addresses = calloc(config->n, sizeof(*config->addresses));
	if (!source->addresses) {
		free(source);
		return NULL;
	}
	memcpy(source->addresses, config->addresses, config->n * sizeof(*config->addresses));
	return source;
}

void dial_source_free(struct dial_source *source)
{
	if (!source)
		return;
	free(source->addresses);
	free(source);
}

bool dial_source_is_client(const struct dial_source *source)
{
	return source && source->is_client;
}

unsigned int dial_source_count(const struct dial_source *source)
{
	return source->n > 0 ? source->n : 1;
}

unsigned int dial_source_turn(struct dial_source *source)
{
	return source->n > 1 ? atomic_fetch_add(&source->next, 1) : 0;
}

static bool is_loopback(const struct sfront_sockaddr *addr)
{
	return addr->sa.any.sa_family == AF_INET
		       ? ntohl(addr->sa.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET
		       : IN6_IS_ADDR_LOOPBACK(&addr->sa.in6.sin6_addr);
}

/* From a loopback address no packet leaves this machine. */
static bool is_usable(const struct sfront_sockaddr *client, const struct sfront_sockaddr *addr)
{
	return client->len > 0 && client->sa.any.sa_family == addr->sa.any.sa_family &&
	       (!is_loopback(client) || is_loopback(addr));
}

static int bind_to(int fd, struct sfront_sockaddr from, const struct sfront_sockaddr *addr)
{
	int r;

	if (from.sa.any.sa_family == AF_INET) {
		from.sa.in.sin_port = 0;
	} else {
		from.sa.in6.sin6_port = 0;
		/* A link-local address is one on the interface of the other side. */
		from.sa.in6.sin6_scope_id = addr->sa.in6.sin6_scope_id;
	}
	/* Else each port would be taken for one backend alone, although others could use it. */
	r = set(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT);
	if (r == 0 && bind(fd, &from.sa.any, from.len) < 0)
		r = -errno;
	return r;
}

static void tell_failure(struct dial_source *source, const struct sfront_sockaddr *from, int error)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	unsigned int dropped;

	if (!log_limit_passes(&source->failures, &dropped))
		return;
	sfront_sockaddr_format(from, text, sizeof(text));
	log_line(LOG_WARNING, "backend-source: no connection can come from %s: %s", text,
		 strerror(error));
}

static int bind_to_client(const struct sfront_sockaddr *client, const struct sfront_sockaddr *addr,
			  int fd)
{
	bool is_ipv4 = addr->sa.any.sa_family == AF_INET;
	int r;

	if (!is_usable(client, addr))
		return 0;
	r = is_ipv4 ? set(fd, SOL_IP, IP_TRANSPARENT) : set(fd, SOL_IPV6, IPV6_TRANSPARENT);
	return r < 0 ? r : bind_to(fd, *client, addr);
}

int dial_source_bind(struct dial_source *source, unsigned int nth,
		     const struct sfront_sockaddr *client, const struct sfront_sockaddr *addr,
		     int fd)
{
	const struct sfront_sockaddr *from = client;
	int r;

	if (source->is_client) {
		r = bind_to_client(client, addr, fd);
	} else {
		from = &source->addresses[nth % source->n];
		if (from->sa.any.sa_family != addr->sa.any.sa_family)
			return -EAFNOSUPPORT;
		r = bind_to(fd, *from, addr);
	}
	if (r < 0)
		tell_failure(source, from, -r);
	return r;
}
