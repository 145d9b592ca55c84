/* SPDX-License-Identifier: MIT */
/*
 * From names to numbers: what a struct sfront_address means on this machine,
 * and socket addresses as text.  Beside address.c, which knows text only.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

int sfront_service_port(const char *service, uint16_t *ret)
{
	struct servent entry, *found = NULL;
	uint64_t number;
	char buf[4096];

	if (sfront_parse_digits(service, strlen(service), &number) == 0 && number <= UINT16_MAX) {
		*ret = (uint16_t)number;
		return 0;
	}
	if (getservbyname_r(service, "tcp", &entry, buf, sizeof(buf), &found) != 0 || !found)
		return -ENOENT;
	*ret = ntohs((uint16_t)found->s_port);
	return 0;
}

int sfront_address_port(const struct sfront_address *address, uint16_t *ret,
			struct sfront_error *err)
{
	int r;

	if (address->kind != SFRONT_TCP)
		return sfront_fail(err, -EINVAL, "only a TCP address has such a port");
	r = sfront_service_port(address->u.tcp.service, ret);
	if (r < 0)
		return sfront_fail(err, r,
				   "\"%.255s:%s\": this machine knows no TCP service \"%s\" (see "
				   "/etc/services); a number from 0 to 65535 is accepted too",
				   address->u.tcp.host, address->u.tcp.service,
				   address->u.tcp.service);
	return 0;
}

int sfront_address_check(const struct sfront_address *address, struct sfront_error *err)
{
	uint16_t port;

	return address->kind == SFRONT_TCP ? sfront_address_port(address, &port, err) : 0;
}

/* The number of the interface that a scope names.  Returns 0 or -ENODEV. */
static int scope_id(const struct sfront_address *address, uint32_t *ret, struct sfront_error *err)
{
	const char *scope = address->u.tcp.scope;
	uint64_t number;

	*ret = 0;
	if (scope[0] == '\0')
		return 0;
	if (sfront_parse_digits(scope, strlen(scope), &number) == 0 && number <= UINT32_MAX)
		*ret = (uint32_t)number;
	else
		*ret = if_nametoindex(scope);
	if (*ret == 0)
		return sfront_fail(err, -ENODEV,
				   "\"[%s%%%s]:%s\": this machine has no interface \"%s\"",
				   address->u.tcp.host, scope, address->u.tcp.service, scope);
	return 0;
}

static int resolve_literal(const struct sfront_address *address, uint16_t port,
			   struct sfront_sockaddr *ret, struct sfront_error *err)
{
	struct sfront_sockaddr addr = { .len = 0 };
	int r;

	if (inet_pton(AF_INET, address->u.tcp.host, &addr.sa.in.sin_addr) == 1) {
		addr.len = sizeof(addr.sa.in);
		addr.sa.in.sin_family = AF_INET;
		addr.sa.in.sin_port = htons(port);
		*ret = addr;
		return 1;
	}
	memset(&addr, 0, sizeof(addr));
	addr.len = sizeof(addr.sa.in6);
	addr.sa.in6.sin6_family = AF_INET6;
	addr.sa.in6.sin6_port = htons(port);
	if (!sfront_address_is_every(address)) {
		inet_pton(AF_INET6, address->u.tcp.host, &addr.sa.in6.sin6_addr);
		r = scope_id(address, &addr.sa.in6.sin6_scope_id, err);
		if (r < 0)
			return r;
	}
	*ret = addr;
	return 1;
}

static int refuse_host(const char *host, int error, struct sfront_error *err)
{
	switch (error) {
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return sfront_fail(err, -ENOENT, "no host \"%s\" is known", host);
	case EAI_AGAIN:
		return sfront_fail(err, -EAGAIN,
				   "host \"%s\" cannot be looked up at the moment: no name server "
				   "answers",
				   host);
	case EAI_MEMORY:
		return sfront_fail(err, -ENOMEM, "host \"%s\": out of memory", host);
	case EAI_SYSTEM:
		error = errno ? -errno : -EIO;
		return sfront_fail(err, error, "host \"%s\" cannot be looked up: %s", host,
				   strerror(-error));
	default:
		return sfront_fail(err, -EIO, "host \"%s\" cannot be looked up: %s", host,
				   gai_strerror(error));
	}
}

static bool is_among(const struct sfront_sockaddr *addr, const struct sfront_sockaddr *list,
		     size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (sfront_sockaddr_equal(addr, &list[i]))
			return true;
	return false;
}

static int resolve_name(const char *host, uint16_t port, struct sfront_sockaddr *ret, size_t max,
			struct sfront_error *err)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list;
	size_t n = 0;
	int r;

	r = getaddrinfo(host, NULL, &hints, &list);
	if (r != 0)
		return refuse_host(host, r, err);

	for (const struct addrinfo *ai = list; ai && n < max; ai = ai->ai_next) {
		struct sfront_sockaddr addr = { .len = ai->ai_addrlen };

		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		memcpy(&addr.sa, ai->ai_addr, ai->ai_addrlen);
		if (ai->ai_family == AF_INET)
			addr.sa.in.sin_port = htons(port);
		else
			addr.sa.in6.sin6_port = htons(port);
		if (!is_among(&addr, ret, n))
			ret[n++] = addr;
	}
	freeaddrinfo(list);
	return n > 0 ? (int)n : refuse_host(host, EAI_NODATA, err);
}

int sfront_address_resolve(const struct sfront_address *address, struct sfront_sockaddr *ret,
			   size_t max, struct sfront_error *err)
{
	uint16_t port = 0;
	int r;

	if (address->kind != SFRONT_TCP)
		return sfront_fail(err, -EINVAL, "only a TCP address is resolved");
	if (max == 0)
		return sfront_fail(err, -EINVAL, "no room for an address");

	r = sfront_address_port(address, &port, err);
	if (r < 0)
		return r;
	if (sfront_address_is_literal(address))
		return resolve_literal(address, port, ret, err);
	return resolve_name(address->u.tcp.host, port, ret, max, err);
}

static size_t format_ipv4(const struct in_addr *addr, in_port_t port, char *buf, size_t size)
{
	char text[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, addr, text, sizeof(text));
	return (size_t)snprintf(buf, size, "%s:%u", text, ntohs(port));
}

static size_t format_ipv6(const struct sockaddr_in6 *in6, char *buf, size_t size)
{
	char text[INET6_ADDRSTRLEN], name[IF_NAMESIZE], scope[IF_NAMESIZE + 1] = "";

	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		struct in_addr in;

		memcpy(&in, in6->sin6_addr.s6_addr + 12, sizeof(in));
		return format_ipv4(&in, in6->sin6_port, buf, size);
	}
	inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
	if (in6->sin6_scope_id && if_indextoname(in6->sin6_scope_id, name))
		snprintf(scope, sizeof(scope), "%%%s", name);
	else if (in6->sin6_scope_id)
		snprintf(scope, sizeof(scope), "%%%u", in6->sin6_scope_id);
	return (size_t)snprintf(buf, size, "[%s%s]:%u", text, scope, ntohs(in6->sin6_port));
}

/* The bytes of a UNIX address: a path up to its NUL, or everything for an abstract name. */
static size_t unix_len(const struct sfront_sockaddr *addr)
{
	size_t len = addr->len > offsetof(struct sockaddr_un, sun_path)
			     ? addr->len - offsetof(struct sockaddr_un, sun_path)
			     : 0;

	if (len > sizeof(addr->sa.un.sun_path))
		len = sizeof(addr->sa.un.sun_path);
	if (len > 0 && addr->sa.un.sun_path[0] != '\0')
		len = strnlen(addr->sa.un.sun_path, len);
	return len;
}

static size_t format_unix(const struct sfront_sockaddr *addr, char *buf, size_t size)
{
	char text[sizeof(addr->sa.un.sun_path) + 1];
	size_t len = unix_len(addr);

	if (len == 0)
		return (size_t)snprintf(buf, size, "unix");
	for (size_t i = 0; i < len; i++)
		text[i] = (char)(addr->sa.un.sun_path[i] ? addr->sa.un.sun_path[i] : '@');
	text[len] = '\0';
	return (size_t)snprintf(buf, size, "%s", text);
}

static struct sockaddr_vm as_vsock(const struct sfront_sockaddr *addr)
{
	struct sockaddr_vm vm;

	memcpy(&vm, &addr->sa, sizeof(vm));
	return vm;
}

static size_t format_vsock(const struct sfront_sockaddr *addr, char *buf, size_t size)
{
	const struct sockaddr_vm vm = as_vsock(addr);

	if (vm.svm_cid == VMADDR_CID_ANY)
		return (size_t)snprintf(buf, size, "vsock:any:%u", vm.svm_port);
	return (size_t)snprintf(buf, size, "vsock:%u:%u", vm.svm_cid, vm.svm_port);
}

size_t sfront_sockaddr_format(const struct sfront_sockaddr *addr, char *buf, size_t size)
{
	switch (addr->len ? addr->sa.any.sa_family : AF_UNSPEC) {
	case AF_INET:
		return format_ipv4(&addr->sa.in.sin_addr, addr->sa.in.sin_port, buf, size);
	case AF_INET6:
		return format_ipv6(&addr->sa.in6, buf, size);
	case AF_UNIX:
		return format_unix(addr, buf, size);
	case AF_VSOCK:
		return format_vsock(addr, buf, size);
	default:
		return (size_t)snprintf(buf, size, "unknown");
	}
}

/* IPv4 inside IPv6 as IPv4, so that the two compare equal. */
static struct sfront_sockaddr unmapped(const struct sfront_sockaddr *addr)
{
	struct sfront_sockaddr in = { .len = sizeof(in.sa.in) };

	if (addr->sa.any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->sa.in6.sin6_addr))
		return *addr;

	in.sa.in.sin_family = AF_INET;
	in.sa.in.sin_port = addr->sa.in6.sin6_port;
	memcpy(&in.sa.in.sin_addr, addr->sa.in6.sin6_addr.s6_addr + 12, sizeof(in.sa.in.sin_addr));
	return in;
}

static bool equal_vsock(const struct sfront_sockaddr *a, const struct sfront_sockaddr *b)
{
	const struct sockaddr_vm vm_a = as_vsock(a), vm_b = as_vsock(b);

	return vm_a.svm_cid == vm_b.svm_cid && vm_a.svm_port == vm_b.svm_port;
}

bool sfront_sockaddr_equal(const struct sfront_sockaddr *a, const struct sfront_sockaddr *b)
{
	struct sfront_sockaddr x, y;

	if (a->len == 0 || b->len == 0)
		return a->len == b->len;

	x = unmapped(a);
	y = unmapped(b);
	if (x.sa.any.sa_family != y.sa.any.sa_family)
		return false;
	switch (x.sa.any.sa_family) {
	case AF_INET:
		return x.sa.in.sin_port == y.sa.in.sin_port &&
		       x.sa.in.sin_addr.s_addr == y.sa.in.sin_addr.s_addr;
	case AF_INET6:
		return x.sa.in6.sin6_port == y.sa.in6.sin6_port &&
		       x.sa.in6.sin6_scope_id == y.sa.in6.sin6_scope_id &&
		       IN6_ARE_ADDR_EQUAL(&x.sa.in6.sin6_addr, &y.sa.in6.sin6_addr);
	case AF_UNIX:
		return unix_len(&x) == unix_len(&y) &&
		       memcmp(x.sa.un.sun_path, y.sa.un.sun_path, unix_len(&x)) == 0;
	case AF_VSOCK:
		return equal_vsock(&x, &y);
	default:
		return x.len == y.len && memcmp(&x.sa, &y.sa, x.len) == 0;
	}
}
