/* SPDX-License-Identifier: MIT */
/*
 * Opens and closes what a proxy's configuration names.  Between conf/ and the
 * workers.
 */
#include "daemon/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/backend.h"
#include "daemon/log.h"
#include "daemon/service.h"

static void listener_warned(void *data, const char *message)
{
	(void)data;
	log_line(LOG_WARNING, "%s", message);
}

static int open_listener(struct proxy *proxy, struct sfront_error *err)
{
	const struct proxy_config *config = proxy->config;
	struct sfront_address *addresses = calloc(config->n_listen, sizeof(*addresses));
	int r = -ENOMEM;

	if (addresses == NULL) {
		snprintf(err->message, sizeof(err->message), "memory is out");
		return r;
	}
	for (size_t i = 0; i < config->n_listen; i++)
		addresses[i] = config->listen[i].address;
	sfront_options_on_warning(config->options, listener_warned, NULL);
	r = sfront_listener_open(addresses, config->n_listen, config->options, &proxy->listener,
				 err);
	free(addresses);
	return r;
}

static void note_bound(struct proxy *proxy, size_t index)
{
	struct bound *bound = &proxy->bound[index];
	int v6only = 1;
	socklen_t len = sizeof(v6only);

	if (sfront_listener_local(proxy->listener, index, &bound->addr) < 0)
		return;
	if (bound->addr.sa.any.sa_family == AF_INET6)
		bound->takes_ipv4 = getsockopt(sfront_listener_fd(proxy->listener, index),
					       IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len) == 0 &&
				    !v6only;
}

static int note_sockets(struct proxy *proxy)
{
	proxy->n_sockets = sfront_listener_count(proxy->listener);
	proxy->socket_text = calloc(proxy->n_sockets, sizeof(*proxy->socket_text));
	proxy->bound = calloc(proxy->n_sockets, sizeof(*proxy->bound));
	if (proxy->socket_text == NULL || proxy->bound == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < proxy->n_sockets; i++) {
		sfront_listener_format(proxy->listener, i, proxy->socket_text[i],
				       sizeof(proxy->socket_text[i]));
		proxy->bound[i].is_single = sfront_listener_is_single(proxy->listener, i);
		if (!proxy->bound[i].is_single)
			note_bound(proxy, i);
	}
	return 0;
}

int proxy_open(struct proxy *proxy, const struct proxy_config *config,
	       const struct service *service, struct sfront_error *err)
{
	int r;

	*proxy = (struct proxy){ .config = config };
	proxy->backend = backend_new(&config->backend, service, err);
	if (proxy->backend == NULL)
		return -errno;
	r = open_listener(proxy, err);
	if (r < 0)
		return r;
	r = note_sockets(proxy);
	if (r < 0)
		snprintf(err->message, sizeof(err->message), "memory is out");
	return r;
}

void proxy_announce(const struct proxy *proxy)
{
	for (size_t i = 0; i < proxy->n_sockets; i++) {
		bool single = proxy->bound[i].is_single;

		log_line(single ? LOG_DEBUG : LOG_INFO, "%s %s, backend %s",
			 single ? "serving" : "listening on", proxy->socket_text[i],
			 backend_text(proxy->backend));
	}
}

void proxy_close_listener(struct proxy *proxy)
{
	sfront_listener_close(proxy->listener);
	proxy->listener = NULL;
}

void proxy_close(struct proxy *proxy)
{
	proxy_close_listener(proxy);
	backend_unref(proxy->backend);
	free(proxy->socket_text);
	free(proxy->bound);
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

/* What connect() makes of it: "every address" is the loopback, and IPv4 may come inside IPv6. */
static struct sfront_sockaddr as_connected(const struct sfront_sockaddr *addr)
{
	struct sfront_sockaddr to = *addr;

	if (addr->sa.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->sa.in6.sin6_addr)) {
		to = (struct sfront_sockaddr){ .len = sizeof(to.sa.in) };
		to.sa.in.sin_family = AF_INET;
		to.sa.in.sin_port = addr->sa.in6.sin6_port;
		memcpy(&to.sa.in.sin_addr, &addr->sa.in6.sin6_addr.s6_addr[12],
		       sizeof(to.sa.in.sin_addr));
	}
	if (is_every_address(&to)) {
		if (to.sa.any.sa_family == AF_INET)
			to.sa.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		else
			to.sa.in6.sin6_addr = in6addr_loopback;
	}
	return to;
}

static bool leads_to(const struct bound *bound, const struct sfront_sockaddr *target)
{
	struct sfront_sockaddr to = as_connected(target);
	const struct sfront_sockaddr *addr = &to;

	if (port_of(&bound->addr) == 0 || port_of(&bound->addr) != port_of(addr))
		return false;
	if (sfront_sockaddr_equal(&bound->addr, addr))
		return true;
	if (!is_every_address(&bound->addr) ||
	    (bound->addr.sa.any.sa_family != addr->sa.any.sa_family && !bound->takes_ipv4))
		return false;
	return is_of_this_machine(addr);
}

static const char *own_listener(const struct service *service, const struct sfront_sockaddr *addr)
{
	for (size_t i = 0; i < service->n_proxies; i++) {
		const struct proxy *proxy = &service->proxies[i];

		for (size_t j = 0; j < proxy->n_sockets; j++)
			if (proxy->bound[j].addr.len > 0 && leads_to(&proxy->bound[j], addr))
				return proxy->socket_text[j];
	}
	return NULL;
}

bool proxy_is_own_listener(const struct service *service, const struct sfront_sockaddr *addr)
{
	return own_listener(service, addr) != NULL;
}

int proxy_check_loop(const struct service *service, const struct proxy *proxy,
		     struct sfront_error *err)
{
	const struct address_list *list = backend_literal(proxy->backend);
	const char *listener = list != NULL ? own_listener(service, &list->addresses[0]) : NULL;

	if (listener == NULL)
		return 0;
	snprintf(err->message, sizeof(err->message),
		 "backend %s is our own listener %s: connections would go round for ever; name the "
		 "service behind the proxy",
		 backend_text(proxy->backend), listener);
	return -ELOOP;
}
