/* SPDX-License-Identifier: MIT */
/*
 * The public face of connections: made from descriptors, asked who is at the
 * other end, closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* of Linux 6.5; newer than many C libraries */
#endif

/* One of the two descriptors while a connection is made of them. */
struct end {
	int fd;
	enum sfront_stream stream;
	bool restore;
};

static int refuse(const struct end *end, int error, const char *what, struct sfront_error *err)
{
	return sfront_fail(err, error,
			   "descriptor %d is %s; a connection wants a connected stream socket, a "
			   "pipe, a terminal or a file",
			   end->fd, what);
}

static int end_identify(struct end *end, struct sfront_error *err)
{
	struct sfront_identity identity = { 0 };
	char what[SFRONT_WHAT_SIZE] = "not to be identified";
	struct stat st;
	int r;

	if (fstat(end->fd, &st) < 0)
		return refuse(end, -errno, "closed", err);
	if (S_ISSOCK(st.st_mode)) {
		r = sfront_identify(end->fd, &identity, what);
		if (r == 0 && identity.listening) {
			r = -EPROTOTYPE;
			snprintf(what, sizeof(what), "a listening socket");
		}
		end->stream = identity.stream;
	} else {
		r = sfront_identify_file(end->fd, st.st_mode, &end->stream);
		if (r == -EISDIR)
			snprintf(what, sizeof(what), "a directory");
	}
	return r < 0 ? refuse(end, r, what, err) : 0;
}

static int end_check(struct end *end, bool reads, struct sfront_error *err)
{
	int flags = fcntl(end->fd, F_GETFL);

	if (flags < 0)
		return refuse(end, -errno, "closed", err);
	if ((flags & O_ACCMODE) == (reads ? O_WRONLY : O_RDONLY) || (flags & O_PATH))
		return refuse(end, -EBADF, reads ? "not open for reading" : "not open for writing",
			      err);
	return end_identify(end, err);
}

static int end_unblock(struct end *end, struct sfront_error *err)
{
	int r;

	if (end->stream == SFRONT_STREAM_FILE)
		return 0;
	r = sfront_set_nonblocking(end->fd, &end->restore);
	return r < 0 ? refuse(end, r, "not to be made non-blocking", err) : 0;
}

static void restore_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

int sfront_connection_from_fds(int read_fd, int write_fd, struct sfront_connection *ret_connection,
			       struct sfront_error *err)
{
	struct end in = { .fd = read_fd }, out = { .fd = write_fd };
	struct sfront_sockaddr peer = { .len = sizeof(peer.sa) };
	int r;

	r = end_check(&in, true, err);
	if (r == 0)
		r = end_check(&out, false, err);
	if (r == 0)
		r = end_unblock(&in, err);
	if (r < 0)
		return r;
	r = end_unblock(&out, err);
	if (r < 0) {
		if (in.restore)
			restore_blocking(in.fd);
		return r;
	}

	if (getpeername(read_fd, &peer.sa.any, &peer.len) < 0)
		peer.len = 0;
	*ret_connection = (struct sfront_connection){
		.read_fd = read_fd,
		.write_fd = write_fd,
		.read_stream = in.stream,
		.write_stream = out.stream,
		.restore_read = in.restore,
		.restore_write = out.restore,
		.peer = peer,
	};
	return 0;
}

int sfront_connection_credentials(const struct sfront_connection *connection,
				  struct sfront_credentials *ret)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (connection->read_stream != SFRONT_STREAM_UNIX)
		return -EOPNOTSUPP;
	if (getsockopt(connection->read_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	*ret = (struct sfront_credentials){ peer.pid, peer.uid, peer.gid };
	return 0;
}

int sfront_connection_pidfd(const struct sfront_connection *connection)
{
	int fd = -1;
	socklen_t len = sizeof(fd);

	if (connection->read_stream != SFRONT_STREAM_UNIX)
		return -EOPNOTSUPP;
	if (getsockopt(connection->read_fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) < 0)
		return -errno;
	return fd;
}

size_t sfront_connection_format(const struct sfront_connection *connection, char *buf, size_t size)
{
	struct sfront_credentials peer = { 0 };

	if (connection->is_proxied)
		return sfront_sockaddr_format(&connection->peer, buf, size);
	switch (connection->read_stream) {
	case SFRONT_STREAM_UNIX:
		if (sfront_connection_credentials(connection, &peer) < 0)
			break;
		return (size_t)snprintf(buf, size, "unix(pid=%d,uid=%u,gid=%u)", (int)peer.pid,
					peer.uid, peer.gid);
	case SFRONT_STREAM_PIPE:
	case SFRONT_STREAM_TERMINAL:
	case SFRONT_STREAM_FILE:
		return (size_t)snprintf(buf, size, "stdin");
	case SFRONT_STREAM_TCP:
	case SFRONT_STREAM_VSOCK:
	default:
		break;
	}
	return sfront_sockaddr_format(&connection->peer, buf, size);
}

static void close_end(int fd, bool restore)
{
	if (fd < 0)
		return;
	if (restore)
		restore_blocking(fd);
	close(fd);
}

void sfront_connection_close(struct sfront_connection *connection)
{
	bool same = connection->read_fd == connection->write_fd;

	close_end(connection->read_fd,
		  connection->restore_read || (same && connection->restore_write));
	if (!same)
		close_end(connection->write_fd, connection->restore_write);
	connection->read_fd = -1;
	connection->write_fd = -1;
}
