/* SPDX-License-Identifier: MIT */
/*
 * Client and destination in one family, as both versions of the PROXY protocol
 * want them: used by v1.c and v2_format.c to write a header.
 */
#include <string.h>

#include "lib/proxy_protocol/codec.h"

static int family_of(const struct sfront_sockaddr *addr)
{
	return addr && addr->len ? addr->sa.any.sa_family : AF_UNSPEC;
}

static bool is_ip(const struct sfront_sockaddr *addr)
{
	return family_of(addr) == AF_INET || family_of(addr) == AF_INET6;
}

static bool is_ipv4(const struct sfront_sockaddr *addr)
{
	return family_of(addr) == AF_INET ||
	       (family_of(addr) == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->sa.in6.sin6_addr));
}

static struct sfront_sockaddr as_ipv4(const struct sfront_sockaddr *addr)
{
	struct sfront_sockaddr in = { .len = sizeof(in.sa.in) };

	if (family_of(addr) == AF_INET)
		return *addr;
	in.sa.in.sin_family = AF_INET;
	in.sa.in.sin_port = addr->sa.in6.sin6_port;
	memcpy(&in.sa.in.sin_addr, &addr->sa.in6.sin6_addr.s6_addr[12], 4);
	return in;
}

static struct sfront_sockaddr as_ipv6(const struct sfront_sockaddr *addr)
{
	struct sfront_sockaddr in6 = { .len = sizeof(in6.sa.in6) };

	if (family_of(addr) == AF_INET6)
		return *addr;
	in6.sa.in6.sin6_family = AF_INET6;
	in6.sa.in6.sin6_port = addr->sa.in.sin_port;
	memset(&in6.sa.in6.sin6_addr.s6_addr[10], 0xff, 2);
	memcpy(&in6.sa.in6.sin6_addr.s6_addr[12], &addr->sa.in.sin_addr, 4);
	return in6;
}

struct sfront_proxy_pair sfront_proxy_pair(const struct sfront_sockaddr *source,
					   const struct sfront_sockaddr *destination)
{
	if (is_ipv4(source) && is_ipv4(destination))
		return (struct sfront_proxy_pair){ AF_INET, as_ipv4(source), as_ipv4(destination) };
	if (is_ip(source) && is_ip(destination))
		return (struct sfront_proxy_pair){ AF_INET6, as_ipv6(source),
						   as_ipv6(destination) };
	if (family_of(source) == AF_UNIX && family_of(destination) == AF_UNIX)
		return (struct sfront_proxy_pair){ AF_UNIX, *source, *destination };
	return (struct sfront_proxy_pair){ .family = AF_UNSPEC };
}

uint16_t *sfront_proxy_port(struct sfront_sockaddr *addr)
{
	return addr->sa.any.sa_family == AF_INET ? &addr->sa.in.sin_port : &addr->sa.in6.sin6_port;
}
