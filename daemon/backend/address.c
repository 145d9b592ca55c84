/* SPDX-License-Identifier: MIT */
/*
 * Ports and keys of socket addresses: see address.h.
 */
#include "daemon/backend/address.h"

#include <sys/socket.h> /* before <linux/vm_sockets.h>, which needs it in older versions */

#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "conf/hash.h"

enum key_kind { KEY_TCP, KEY_VSOCK, KEY_NAME, KEY_FILE };

unsigned int address_port(const struct sfront_sockaddr *addr)
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

struct sfront_sockaddr address_unwrapped(const struct sfront_sockaddr *addr)
{
	struct sfront_sockaddr to = { .len = sizeof(to.sa.in) };

	if (addr->sa.any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->sa.in6.sin6_addr))
		return *addr;
	to.sa.in.sin_family = AF_INET;
	to.sa.in.sin_port = addr->sa.in6.sin6_port;
	memcpy(&to.sa.in.sin_addr, &addr->sa.in6.sin6_addr.s6_addr[12], sizeof(to.sa.in.sin_addr));
	return to;
}

static uint64_t key_of(enum key_kind kind, const void *bytes, size_t n)
{
	return hash_bytes(HASH_START + kind, bytes, n);
}

/* An abstract name begins with a NUL byte. */
static size_t name_length(const struct sfront_sockaddr *addr)
{
	size_t length = addr->len - offsetof(struct sockaddr_un, sun_path);

	if (addr->len < offsetof(struct sockaddr_un, sun_path))
		return 0;
	return addr->sa.un.sun_path[0] ? strnlen(addr->sa.un.sun_path, length) : length;
}

/* By port and host, which is all 0 where that is every address. */
static uint64_t key_of_place(unsigned int port, const void *host, size_t size)
{
	unsigned char place[2 + sizeof(struct in6_addr)] = { 0 };

	place[0] = (unsigned char)(port >> 8);
	place[1] = (unsigned char)port;
	memcpy(place + 2, host, size);
	return key_of(KEY_TCP, place, sizeof(place));
}

static uint64_t key_of_tcp(const struct sfront_sockaddr *addr)
{
	const struct sfront_sockaddr plain = address_unwrapped(addr);

	if (plain.sa.any.sa_family == AF_INET)
		return key_of_place(address_port(&plain), &plain.sa.in.sin_addr,
				    sizeof(plain.sa.in.sin_addr));
	return key_of_place(address_port(&plain), &plain.sa.in6.sin6_addr,
			    sizeof(plain.sa.in6.sin6_addr));
}

uint64_t address_key_of_every(const struct sfront_sockaddr *addr)
{
	return key_of_place(address_port(addr), &in6addr_any, sizeof(in6addr_any));
}

static uint64_t key_of_vsock(const struct sfront_sockaddr *addr)
{
	struct sockaddr_vm vm;

	memcpy(&vm, &addr->sa, sizeof(vm));
	return key_of(KEY_VSOCK, &vm.svm_port, sizeof(vm.svm_port));
}

uint64_t address_key(const struct sfront_sockaddr *addr)
{
	switch (addr->sa.any.sa_family) {
	case AF_UNIX:
		return key_of(KEY_NAME, addr->sa.un.sun_path, name_length(addr));
	case AF_VSOCK:
		return key_of_vsock(addr);
	default:
		return key_of_tcp(addr);
	}
}

uint64_t address_key_of_file(const struct stat *st, const char *name)
{
	uint64_t key = key_of(KEY_FILE, &st->st_dev, sizeof(st->st_dev));

	return hash_bytes(hash_bytes(key, &st->st_ino, sizeof(st->st_ino)), name, strlen(name));
}
