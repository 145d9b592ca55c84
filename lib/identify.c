/* SPDX-License-Identifier: MIT */
/*
 * What a descriptor is that this library did not make: asked by inherited.c
 * and inetd.c, and by connection.c of whatever a program hands it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

/* What a descriptor is that is no socket. */
static const char *name_of_file(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a FIFO";
	case S_IFCHR:
		return "a terminal or another character device";
	case S_IFBLK:
		return "a block device";
	default:
		return "neither a file nor a socket";
	}
}

static const char *name_of_type(int type)
{
	switch (type) {
	case SOCK_DGRAM:
		return "a datagram socket";
	case SOCK_SEQPACKET:
		return "a sequential-packet socket";
	default:
		return "a raw socket";
	}
}

static int get_int(int fd, int name, int *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, name, ret, &len) < 0 ? -errno : 0;
}

static int identify_family(int fd, int domain, struct sfront_identity *ret)
{
	struct sfront_sockaddr local;

	switch (domain) {
	case AF_INET:
		ret->kind = KIND_TCP4;
		ret->stream = SFRONT_STREAM_TCP;
		return 0;
	case AF_INET6:
		ret->kind = KIND_TCP6;
		ret->stream = SFRONT_STREAM_TCP;
		return 0;
	case AF_UNIX:
		sfront_socket_local(fd, &local);
		ret->kind = local.len > offsetof(struct sockaddr_un, sun_path) &&
					    local.sa.un.sun_path[0] == '\0'
				    ? KIND_ABSTRACT
				    : KIND_PATH;
		ret->stream = SFRONT_STREAM_UNIX;
		return 0;
	case AF_VSOCK:
		ret->kind = KIND_VSOCK;
		ret->stream = SFRONT_STREAM_VSOCK;
		return 0;
	default:
		return -EPROTOTYPE;
	}
}

/* A peer that has reset the connection by now leaves its error behind, for the first read. */
static bool is_connected(int fd)
{
	struct sfront_sockaddr peer = { .len = sizeof(peer.sa) };
	struct pollfd pollfd = { .fd = fd };

	return getpeername(fd, &peer.sa.any, &peer.len) == 0 ||
	       (poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLERR) != 0);
}

int sfront_identify(int fd, struct sfront_identity *ret, char *ret_what)
{
	struct sfront_identity identity = { 0 };
	int type, domain, listening;
	struct stat st;

	if (fstat(fd, &st) < 0) {
		snprintf(ret_what, SFRONT_WHAT_SIZE, "closed");
		return -errno;
	}
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(ret_what, SFRONT_WHAT_SIZE, "%s", name_of_file(st.st_mode));
		return -ENOTSOCK;
	}
	if (get_int(fd, SO_TYPE, &type) < 0 || get_int(fd, SO_DOMAIN, &domain) < 0 ||
	    get_int(fd, SO_ACCEPTCONN, &listening) < 0)
		return -errno;
	if (type != SOCK_STREAM) {
		snprintf(ret_what, SFRONT_WHAT_SIZE, "%s", name_of_type(type));
		return -EPROTOTYPE;
	}
	if (identify_family(fd, domain, &identity) < 0) {
		snprintf(ret_what, SFRONT_WHAT_SIZE, "a socket of address family %d", domain);
		return -EPROTOTYPE;
	}
	identity.listening = listening;
	if (!listening && !is_connected(fd)) {
		snprintf(ret_what, SFRONT_WHAT_SIZE,
			 "a stream socket that neither listens nor is connected");
		return -EPROTOTYPE;
	}
	*ret = identity;
	return 0;
}

/* Whether epoll refuses the descriptor, because it never makes anybody wait. */
static int is_always_ready(int fd)
{
	struct epoll_event event = { .events = 0 };
	int epoll = epoll_create1(EPOLL_CLOEXEC), r = 0;

	if (epoll < 0)
		return -errno;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		r = errno == EPERM ? 1 : -errno;
	close(epoll);
	return r;
}

int sfront_identify_file(int fd, mode_t mode, enum sfront_stream *ret)
{
	int r;

	if (S_ISDIR(mode))
		return -EISDIR;
	if (S_ISFIFO(mode)) {
		*ret = SFRONT_STREAM_PIPE;
		return 0;
	}
	r = is_always_ready(fd);
	if (r < 0)
		return r;
	*ret = r > 0 ? SFRONT_STREAM_FILE : SFRONT_STREAM_TERMINAL;
	return 0;
}

int sfront_set_nonblocking(int fd, bool *ret_was_blocking)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	*ret_was_blocking = !(flags & O_NONBLOCK);
	if (*ret_was_blocking && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

void sfront_restore_blocking(int fd, bool was_blocking)
{
	int flags = fcntl(fd, F_GETFL);

	if (was_blocking && flags >= 0)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}
