/* SPDX-License-Identifier: MIT */
/*
 * Which addresses lead to our own listeners: see loop_guard.h.
 */
#include "daemon/backend/loop_guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct bound {
	struct sfront_sockaddr addr;
	bool takes_ipv4;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
};

struct loop_guard {
	atomic_uint refs;
	struct bound *bound; /* owned array */
	size_t n;
	bool has_unix;
	uint64_t ports[65536 / 64]; /* a bit for each that one of them has */
};

struct loop_guard *loop_guard_new(void)
{
	struct loop_guard *guard = calloc(1, sizeof(*guard));

	if (guard)
		atomic_init(&guard->refs, 1);
	return guard;
}

struct loop_guard *loop_guard_ref(struct loop_guard *guard)
{
	atomic_fetch_add(&guard->refs, 1);
	return guard;
}

void loop_guard_unref(struct loop_guard *guard)
{
	if (!guard || atomic_fetch_sub(&guard->refs, 1) != 1)
		return;
	free(guard->bound);
	free(guard);
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

int loop_guard_add(struct loop_guard *guard, const struct sfront_sockaddr *addr, bool takes_ipv4,
		   const char *text)
{
	struct bound *grown = reallocarray(guard->bound, guard->n + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	guard->bound = grown;
	grown[guard->n] = (struct bound){ .addr = *addr, .takes_ipv4 = takes_ipv4 };
	snprintf(grown[guard->n++].text, sizeof(grown->text), "%s", text);
	if (addr->len == 0)
		return 0;
	guard->has_unix |= addr->sa.any.sa_family == AF_UNIX;
	guard->ports[port_of(addr) / 64] |= UINT64_C(1) << port_of(addr) % 64;
	return 0;
}

bool loop_guard_may_return(const struct loop_guard *guard, const struct sfront_sockaddr *addr)
{
	unsigned int port = port_of(addr);

	if (addr->sa.any.sa_family == AF_UNIX)
		return guard->has_unix;
	return port != 0 && (guard->ports[port / 64] >> port % 64 & 1) != 0;
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

/* A path may be written in many ways. */
static bool is_same_file(const struct sfront_sockaddr *a, const struct sfront_sockaddr *b)
{
	struct stat one, other;

	return a->sa.un.sun_path[0] && b->sa.un.sun_path[0] && stat(a->sa.un.sun_path, &one) == 0 &&
	       stat(b->sa.un.sun_path, &other) == 0 && one.st_dev == other.st_dev &&
	       one.st_ino == other.st_ino;
}

static struct sockaddr_vm vsock_of(const struct sfront_sockaddr *addr)
{
	struct sockaddr_vm vm;

	memcpy(&vm, &addr->sa, sizeof(vm));
	return vm;
}

/* The number by which this machine is known outside. */
static bool is_own_cid(unsigned int cid)
{
	unsigned int own = VMADDR_CID_ANY;
	int fd;

	if (cid == VMADDR_CID_LOCAL)
		return true;
	fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &own) < 0)
		own = VMADDR_CID_ANY;
	close(fd);
	return cid == own;
}

static bool is_reached_by_vsock(const struct sfront_sockaddr *at, const struct sfront_sockaddr *to)
{
	struct sockaddr_vm own = vsock_of(at), target = vsock_of(to);

	if (own.svm_port != target.svm_port)
		return false;
	return own.svm_cid == target.svm_cid ||
	       (own.svm_cid == VMADDR_CID_ANY && is_own_cid(target.svm_cid));
}

static bool is_reached_by_tcp(const struct sfront_sockaddr *bound, bool takes_ipv4,
			      const struct sfront_sockaddr *to)
{
	struct sfront_sockaddr at;

	/* First: of thousands of listeners most go no further. */
	if (port_of(bound) == 0 || port_of(bound) != port_of(to))
		return false;
	at = unwrapped(bound);
	if (sfront_sockaddr_equal(&at, to))
		return true;
	if (!is_every_address(&at) || (at.sa.any.sa_family != to->sa.any.sa_family && !takes_ipv4))
		return false;
	return is_of_this_machine(to);
}

static bool is_reached(const struct bound *bound, const struct sfront_sockaddr *to)
{
	const struct sfront_sockaddr *at = &bound->addr;

	if (at->len == 0)
		return false;
	switch (to->sa.any.sa_family) {
	case AF_UNIX:
		return at->sa.any.sa_family == AF_UNIX &&
		       (sfront_sockaddr_equal(at, to) || is_same_file(at, to));
	case AF_VSOCK:
		return at->sa.any.sa_family == AF_VSOCK && is_reached_by_vsock(at, to);
	default:
		return is_reached_by_tcp(at, bound->takes_ipv4, to);
	}
}

const char *loop_guard_find(const struct loop_guard *guard, const struct sfront_sockaddr *addr)
{
	struct sfront_sockaddr to = as_connected(addr);

	for (size_t i = 0; i < guard->n; i++)
		if (is_reached(&guard->bound[i], &to))
			return guard->bound[i].text;
	return NULL;
}
