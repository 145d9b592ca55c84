/* SPDX-License-Identifier: MIT */
/*
 * Addresses as the bench's driver writes them, and sockets: see address.h.
 */
#include "tests/bench/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define BACKLOG         4096
#define CONNECT_SECONDS 5

static int parse_path(const char *text, struct address *ret_address)
{
	struct address address = { .sa.un.sun_family = AF_UNIX };
	size_t length = strlen(text);

	if (length >= sizeof(address.sa.un.sun_path))
		return -EINVAL;
	memcpy(address.sa.un.sun_path, text, length + 1);
	address.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
	*ret_address = address;
	return 0;
}

int address_parse(const char *text, struct address *ret_address)
{
	struct address address = { .sa.in.sin_family = AF_INET, .len = sizeof(address.sa.in) };
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN];
	char *end;
	unsigned long port;

	if (text[0] == '/')
		return parse_path(text, ret_address);
	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	port = strtoul(colon + 1, &end, 10);
	if (end == colon + 1 || *end != '\0' || port > 65535)
		return -EINVAL;
	if (inet_pton(AF_INET, host, &address.sa.in.sin_addr) != 1)
		return -EINVAL;
	address.sa.in.sin_port = htons((uint16_t)port);
	*ret_address = address;
	return 0;
}

int address_socket(const struct address *address)
{
	int family = address->sa.any.sa_family, one = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (family == AF_INET)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

int address_listen(const struct address *address)
{
	int fd = address_socket(address), one = 1, r;

	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &address->sa.any, address->len) < 0 || listen(fd, BACKLOG) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static int set_blocking(int fd, bool blocking)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int address_connect(const struct address *address)
{
	struct timeval limit = { .tv_sec = CONNECT_SECONDS };
	int fd = address_socket(address), r;

	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	r = set_blocking(fd, true);
	if (r < 0)
		goto fail;
	if (connect(fd, &address->sa.any, address->len) < 0) {
		r = errno == EINPROGRESS || errno == EAGAIN ? -ETIMEDOUT : -errno;
		goto fail;
	}
	r = set_blocking(fd, false);
	if (r < 0)
		goto fail;
	return fd;

fail:
	close(fd);
	return r;
}
