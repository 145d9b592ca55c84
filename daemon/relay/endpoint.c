/* SPDX-License-Identifier: MIT */
/*
 * What is asked of an end and done to it besides moving bytes: see endpoint.h.  What
 * follows from the answers is for the session to decide.
 */
#include "daemon/relay/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/reset.h"
#include "daemon/relay/passed_fds.h"

/* A peer that has ended its side and is silent is asked after a minute, and gone after two. */
#define PROBE_IDLE_S     60
#define PROBE_INTERVAL_S 10
#define PROBE_COUNT      6

static bool is_unrefused(const struct endpoint *end)
{
	return end->read_stream == SFRONT_STREAM_UNIX && passed_fds_may_come();
}

void endpoint_init_client(struct endpoint *end, const struct sfront_connection *connection)
{
	end->read_fd = connection->read_fd;
	end->write_fd = connection->write_fd;
	end->read_stream = (uint8_t)connection->read_stream;
	end->write_stream = (uint8_t)connection->write_stream;
	end->restore_read = connection->restore_read;
	end->restore_write = connection->restore_write;
	end->fds_may_come = connection->fds_may_come || is_unrefused(end);
}

void endpoint_init_backend(struct endpoint *end)
{
	end->read_fd = end->write_fd = -1;
	end->is_backend = true;
}

struct sfront_connection endpoint_connection(const struct endpoint *end)
{
	struct sfront_connection connection = {
		.read_fd = end->read_fd,
		.write_fd = end->write_fd,
		.read_stream = (enum sfront_stream)end->read_stream,
		.write_stream = (enum sfront_stream)end->write_stream,
		.peer.len = sizeof(connection.peer.sa),
	};

	if (end->read_fd < 0 ||
	    getpeername(end->read_fd, &connection.peer.sa.any, &connection.peer.len) < 0)
		connection.peer.len = 0;
	return connection;
}

void endpoint_connected(struct endpoint *end, int fd, enum sfront_stream stream)
{
	end->read_fd = end->write_fd = fd;
	end->read_stream = end->write_stream = (uint8_t)stream;
	end->fds_may_come = is_unrefused(end);
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
	if (!is_socket(end->write_stream)) {
		close_write_side(end);
		return;
	}
	(void)shutdown(end->write_fd, SHUT_WR); /* who is gone shows when it is read */
	end->finished = true;
}

void endpoint_close(struct endpoint *end, bool reset)
{
	if (reset && end->write_fd >= 0 && end->write_stream == SFRONT_STREAM_TCP)
		reset_on_close(end->write_fd);
	close_write_side(end);
	if (end->read_fd >= 0 && end->fds_may_come)
		passed_fds_clear(end->read_fd);
	close_fd(&end->read_fd, end->restore_read);
}

void endpoint_turn_away(const struct sfront_connection *connection)
{
	struct endpoint end = { 0 };

	endpoint_init_client(&end, connection);
	endpoint_close(&end, true);
}

uint64_t endpoint_unsent(const struct endpoint *end)
{
	int unsent = 0;

	if (end->write_fd < 0 || !is_socket(end->write_stream) ||
	    ioctl(end->write_fd, SIOCOUTQ, &unsent) < 0)
		return 0;
	return (uint64_t)unsent;
}

/* A UNIX socket's bytes can be read after its close; the end of stream counts as a byte. */
uint64_t endpoint_undelivered(const struct endpoint *end)
{
	uint64_t unsent;

	if (end->write_stream != SFRONT_STREAM_TCP)
		return 0;
	unsent = endpoint_unsent(end);
	return end->finished && unsent > 0 ? unsent - 1 : unsent;
}

bool endpoint_awaits_window(const struct endpoint *end)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return end->write_stream == SFRONT_STREAM_TCP && end->write_fd >= 0 &&
	       getsockopt(end->write_fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_unacked == 0;
}

static bool polls(int fd, short events)
{
	struct pollfd pfd = { .fd = fd };

	return fd >= 0 && poll(&pfd, 1, 0) == 1 && (pfd.revents & events) != 0;
}

/* SO_ERROR also tells of what a live connection has met and may get over: not without POLLERR. */
int endpoint_error(const struct endpoint *end)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (!is_socket(end->read_stream) || !polls(end->read_fd, POLLERR | POLLHUP))
		return 0;
	if (getsockopt(end->read_fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno;
	return error;
}

/* Of a plain file poll() never says so. */
bool endpoint_is_gone(const struct endpoint *end)
{
	if (is_socket(end->read_stream))
		return end->read_stream == SFRONT_STREAM_UNIX && polls(end->read_fd, POLLHUP);
	return polls(end->write_fd, POLLERR | POLLHUP);
}

bool endpoint_left_nothing(const struct endpoint *end)
{
	int unread = 0;
	char byte;

	if (end->read_stream == SFRONT_STREAM_FILE || !polls(end->read_fd, POLLHUP) ||
	    !endpoint_is_gone(end))
		return false;
	if (is_socket(end->read_stream))
		return recv(end->read_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
	return ioctl(end->read_fd, FIONREAD, &unread) < 0 || unread == 0;
}

static int option(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) == 0 ? value : 0;
}

static void set_option(int fd, int level, int name, int value)
{
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* What the configuration asks for may be more often, but not more seldom. */
void endpoint_probe(const struct endpoint *end)
{
	int fd = end->read_fd;

	if (end->read_stream != SFRONT_STREAM_TCP ||
	    (option(fd, SOL_SOCKET, SO_KEEPALIVE) &&
	     option(fd, IPPROTO_TCP, TCP_KEEPIDLE) <= PROBE_IDLE_S))
		return;
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, PROBE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, PROBE_INTERVAL_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBE_COUNT);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}
