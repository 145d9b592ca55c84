/* SPDX-License-Identifier: MIT */
/*
 * What is asked of an end and done to it besides moving bytes: see endpoint.h.  What
 * follows from the answers is for the session to decide.
 */
#include "daemon/relay/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

void endpoint_init_client(struct endpoint *end, const struct sfront_connection *connection)
{
	end->read_fd = connection->read_fd;
	end->write_fd = connection->write_fd;
	end->read_stream = (uint8_t)connection->read_stream;
	end->write_stream = (uint8_t)connection->write_stream;
	end->restore_read = connection->restore_read;
	end->restore_write = connection->restore_write;
}

void endpoint_init_backend(struct endpoint *end)
{
	end->read_fd = end->write_fd = -1;
	end->read_stream = end->write_stream = SFRONT_STREAM_TCP;
	end->is_backend = true;
}

static void close_fd(int *fd, bool restore)
{
	if (*fd < 0)
		return;
	if (restore)
		(void)fcntl(*fd, F_SETFL, fcntl(*fd, F_GETFL) & ~O_NONBLOCK);
	close(*fd);
	*fd = -1;
}

static void close_write_side(struct endpoint *end)
{
	if (end->write_fd == end->read_fd)
		end->write_fd = -1;
	close_fd(&end->write_fd, end->restore_write);
}

void endpoint_finish(struct endpoint *end)
{
	if (is_socket(end->write_stream))
		(void)shutdown(end->write_fd, SHUT_WR); /* who is gone shows when it is read */
	else
		close_write_side(end);
}

void endpoint_close(struct endpoint *end, bool reset)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (reset && end->write_fd >= 0 && end->write_stream == SFRONT_STREAM_TCP)
		(void)setsockopt(end->write_fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close_write_side(end);
	close_fd(&end->read_fd, end->restore_read);
}

uint64_t endpoint_unsent(const struct endpoint *end)
{
	int unsent = 0;

	if (end->write_fd < 0 || !is_socket(end->write_stream) ||
	    ioctl(end->write_fd, SIOCOUTQ, &unsent) < 0)
		return 0;
	return (uint64_t)unsent;
}

/* SO_ERROR also tells of what a live connection has met and may get over: not without POLLERR. */
int endpoint_error(const struct endpoint *end)
{
	struct pollfd pfd = { .fd = end->read_fd };
	int error = 0;
	socklen_t len = sizeof(error);

	if (poll(&pfd, 1, 0) < 1 || (pfd.revents & (POLLERR | POLLHUP)) == 0)
		return 0;
	if (getsockopt(end->read_fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno;
	return error;
}

bool endpoint_left_nothing(const struct endpoint *end)
{
	struct pollfd pfd = { .fd = end->read_fd };
	char byte;

	return end->read_stream == SFRONT_STREAM_UNIX && poll(&pfd, 1, 0) == 1 &&
	       (pfd.revents & POLLHUP) != 0 &&
	       recv(end->read_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}
