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
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/backend/address.h"

#define BUCKETS 4096

struct bound {
	bool takes_ipv4;
	socklen_t len;
	char bytes[]; /* as many of the address, then the text */
};

/* A way to find one, by what it has in common with the address of a connection that it gets. */
struct entry {
	uint64_t key;
	uint32_t bound; /* its place */
	uint32_t older; /* the next one of the bucket, from 1; 0: there is none */
};

struct loop_guard {
	atomic_uint refs;
	struct bound **bound; /* owned array */
	size_t n, size;
	struct entry *entries; /* owned array, with room for two of each */
	size_t n_entries;
	uint32_t buckets[BUCKETS]; /* the newest entry of each, from 1; 0: there is none */
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
	for (size_t i = 0; i < guard->n; i++)
		free(guard->bound[i]);
	free(guard->bound);
	free(guard->entries);
	free(guard);
}

static struct sockaddr_vm vsock_of(const struct sfront_sockaddr *addr)
{
	struct sockaddr_vm vm;

	memcpy(&vm, &addr->sa, sizeof(vm));
	return vm;
}

/* By the file that a path leads to, of which there are many ways to write it. */
static bool key_of_file(const struct sfront_sockaddr *addr, uint64_t *ret)
{
	struct stat st;

	if (addr->sa.any.sa_family != AF_UNIX || !addr->sa.un.sun_path[0] ||
	    stat(addr->sa.un.sun_path, &st) < 0)
		return false;
	*ret = address_key_of_file(&st, "");
	return true;
}

/* ---- filling ---- */

/* There may be thousands: each takes the room that its address needs. */
static struct bound *bound_new(const struct sfront_sockaddr *addr, bool takes_ipv4,
			       const char *text)
{
	size_t size = strlen(text) + 1;
	struct bound *bound = malloc(sizeof(*bound) + addr->len + size);

	if (!bound)
		return NULL;
	bound->takes_ipv4 = takes_ipv4;
	bound->len = addr->len;
	memcpy(bound->bytes, &addr->sa, addr->len);
	memcpy(bound->bytes + addr->len, text, size);
	return bound;
}

static struct sfront_sockaddr address_of(const struct bound *bound)
{
	struct sfront_sockaddr addr = { .len = bound->len };

	memcpy(&addr.sa, bound->bytes, bound->len);
	return addr;
}

static const char *text_of(const struct bound *bound)
{
	return bound->bytes + bound->len;
}

static int make_room(struct loop_guard *guard)
{
	size_t size = guard->n < guard->size ? guard->size : guard->size * 2 + 16;
	struct bound **bound;
	struct entry *entries;

	if (size == guard->size)
		return 0;
	bound = reallocarray(guard->bound, size, sizeof(struct bound *));
	if (!bound)
		return -ENOMEM;
	guard->bound = bound;
	entries = reallocarray(guard->entries, size, 2 * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	guard->entries = entries;
	guard->size = size;
	return 0;
}

/* Of the one that was added last. */
static void add_entry(struct loop_guard *guard, uint64_t key)
{
	uint32_t *newest = &guard->buckets[key % BUCKETS];

	guard->entries[guard->n_entries++] = (struct entry){
		.key = key,
		.bound = (uint32_t)(guard->n - 1),
		.older = *newest,
	};
	*newest = (uint32_t)guard->n_entries;
}

int loop_guard_add(struct loop_guard *guard, const struct sfront_sockaddr *addr, bool takes_ipv4,
		   const char *text)
{
	struct bound *bound = bound_new(addr, takes_ipv4, text);
	uint64_t key;

	if (!bound || make_room(guard) < 0) {
		free(bound);
		return -ENOMEM;
	}
	guard->bound[guard->n++] = bound;
	add_entry(guard, address_key(addr));
	if (key_of_file(addr, &key))
		add_entry(guard, key);
	guard->has_unix |= addr->sa.any.sa_family == AF_UNIX;
	guard->ports[address_port(addr) / 64] |= UINT64_C(1) << address_port(addr) % 64;
	return 0;
}

/* ---- asking ---- */

bool loop_guard_may_return(const struct loop_guard *guard, const struct sfront_sockaddr *addr)
{
	unsigned int port = address_port(addr);

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

/* What connect() makes of it: "every address" is the loopback. */
static struct sfront_sockaddr as_connected(const struct sfront_sockaddr *addr)
{
	struct sfront_sockaddr to = address_unwrapped(addr);

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

	if (address_port(bound) == 0 || address_port(bound) != address_port(to))
		return false;
	at = address_unwrapped(bound);
	if (sfront_sockaddr_equal(&at, to))
		return true;
	if (!is_every_address(&at) || (at.sa.any.sa_family != to->sa.any.sa_family && !takes_ipv4))
		return false;
	return is_of_this_machine(to);
}

static bool is_reached(const struct bound *bound, const struct sfront_sockaddr *to)
{
	const struct sfront_sockaddr at = address_of(bound);

	switch (to->sa.any.sa_family) {
	case AF_UNIX:
		return at.sa.any.sa_family == AF_UNIX &&
		       (sfront_sockaddr_equal(&at, to) || is_same_file(&at, to));
	case AF_VSOCK:
		return at.sa.any.sa_family == AF_VSOCK && is_reached_by_vsock(&at, to);
	default:
		return is_reached_by_tcp(&at, bound->takes_ipv4, to);
	}
}

/* The oldest one with that key, as it comes first in the configuration. */
static const struct bound *find(const struct loop_guard *guard, uint64_t key,
				const struct sfront_sockaddr *to)
{
	const struct bound *found = NULL;
	const struct entry *entry;

	for (uint32_t at = guard->buckets[key % BUCKETS]; at > 0; at = entry->older) {
		entry = &guard->entries[at - 1];
		if (entry->key == key && is_reached(guard->bound[entry->bound], to))
			found = guard->bound[entry->bound];
	}
	return found;
}

const char *loop_guard_find(const struct loop_guard *guard, const struct sfront_sockaddr *addr)
{
	struct sfront_sockaddr to = as_connected(addr);
	const struct bound *found = find(guard, address_key(&to), &to);
	uint64_t key;

	if (!found && to.sa.any.sa_family == AF_UNIX && guard->has_unix && key_of_file(&to, &key))
		found = find(guard, key, &to);
	else if (!found && address_port(&to) > 0)
		found = find(guard, address_key_of_every(&to), &to);
	return found ? text_of(found) : NULL;
}
