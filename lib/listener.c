/* SPDX-License-Identifier: MIT */
/*
 * The public face of listeners and connections.  Picks the class by the kind of
 * the address, keeps the array of sockets that the classes fill, and lets them
 * take turns; what a socket is, only its class knows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static const struct sfront_class *const classes[SFRONT_KINDS] = {
	[SFRONT_TCP] = &sfront_tcp_class,
	[SFRONT_UNIX] = &sfront_unix_class,
	[SFRONT_ABSTRACT] = &sfront_abstract_class,
	[SFRONT_VSOCK] = &sfront_vsock_class,
	[SFRONT_SD_LISTEN] = &sfront_sd_listen_class,
	[SFRONT_FD] = &sfront_fd_class,
	[SFRONT_INETD] = &sfront_inetd_class,
};

static int absent_open(struct sfront_listener *listener, const struct sfront_address *address,
		       const struct sfront_options *options, struct sfront_error *err)
{
	static const char *const kinds[SFRONT_KINDS] = {
		[SFRONT_TCP] = "TCP",
		[SFRONT_UNIX] = "UNIX sockets",
		[SFRONT_ABSTRACT] = "abstract UNIX sockets",
		[SFRONT_VSOCK] = "vsock",
		[SFRONT_SD_LISTEN] = "sd-listen",
		[SFRONT_FD] = "accept-from-fd",
		[SFRONT_INETD] = "inetd",
	};
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	(void)listener;
	(void)options;
	sfront_address_format(address, text, sizeof(text));
	return sfront_fail(err, -EAFNOSUPPORT, "%s: this program was built without %s", text,
			   kinds[address->kind]);
}

const struct sfront_class sfront_absent_class = {
	.name = "absent",
	.open = absent_open,
};

int sfront_listener_add(struct sfront_listener *listener, const struct sfront_socket *socket,
			struct sfront_error *err)
{
	struct sfront_socket *sockets;

	sockets = realloc(listener->sockets, (listener->n_sockets + 1) * sizeof(*sockets));
	if (!sockets)
		return sfront_fail(err, -ENOMEM, "%s: out of memory", socket->text);

	listener->sockets = sockets;
	sockets[listener->n_sockets++] = *socket;
	return 0;
}

void sfront_listener_undo(struct sfront_listener *listener, size_t count)
{
	while (listener->n_sockets > count) {
		struct sfront_socket *socket = &listener->sockets[--listener->n_sockets];

		if (socket->class->undo)
			socket->class->undo(socket);
		else
			socket->class->close(socket);
	}
}

/* "A, B and 3 more" */
static void format_list(const struct sfront_address *addresses, size_t n, char *buf, size_t size)
{
	const size_t most = 3;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < n && i < most && len < size; i++) {
		sfront_address_format(&addresses[i], text, sizeof(text));
		len += (size_t)snprintf(buf + len, size - len, "%s%s", i ? ", " : "", text);
	}
	if (n > most && len < size)
		snprintf(buf + len, size - len, " and %zu more", n - most);
}

static void warn_of_idle_options(const struct sfront_listener *listener,
				 const struct sfront_address *addresses, size_t n,
				 const struct sfront_options *options)
{
	unsigned int targets = 0;
	char text[480];

	for (size_t i = 0; i < listener->n_sockets; i++)
		targets |= listener->sockets[i].target;
	format_list(addresses, n, text, sizeof(text));
	for (unsigned int i = 0; i < OPTIONS_COUNT; i++)
		if (sfront_option_given(options, i) && !sfront_option_applies(i, targets))
			sfront_warn(options, "%s has no effect on %s", sfront_option_name(i), text);
}

static int check_addresses(const struct sfront_address *addresses, size_t n,
			   struct sfront_error *err)
{
	if (n == 0)
		return sfront_fail(err, -EINVAL, "there is no address to listen on");

	for (size_t i = 0; i < n; i++) {
		if (addresses[i].kind >= SFRONT_KINDS)
			return sfront_fail(err, -EINVAL, "address number %zu is of no known kind",
					   i);
		if (addresses[i].kind == SFRONT_INETD && n > 1)
			return sfront_fail(
				err, -EINVAL,
				"-: stdin and stdout are one connection, no other address "
				"may stand beside them");
	}
	return 0;
}

int sfront_listener_open(const struct sfront_address *addresses, size_t n_addresses,
			 const struct sfront_options *options,
			 struct sfront_listener **ret_listener, struct sfront_error *err)
{
	struct sfront_listener *listener;
	int r;

	if (!options)
		options = &sfront_default_options;
	r = check_addresses(addresses, n_addresses, err);
	if (r < 0)
		return r;

	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return sfront_fail(err, -ENOMEM, "out of memory");

	for (size_t i = 0; i < n_addresses; i++) {
		r = classes[addresses[i].kind]->open(listener, &addresses[i], options, err);
		if (r < 0)
			goto fail;
	}
	warn_of_idle_options(listener, addresses, n_addresses, options);
	*ret_listener = listener;
	return 0;

fail:
	sfront_listener_undo(listener, 0);
	free(listener->sockets);
	free(listener);
	return r;
}

void sfront_listener_close(struct sfront_listener *listener)
{
	if (!listener)
		return;

	for (size_t i = 0; i < listener->n_sockets; i++)
		listener->sockets[i].class->close(&listener->sockets[i]);
	free(listener->sockets);
	free(listener);
}

static struct sfront_socket *socket_at(const struct sfront_listener *listener, size_t index)
{
	return index < listener->n_sockets ? &listener->sockets[index] : NULL;
}

size_t sfront_listener_count(const struct sfront_listener *listener)
{
	return listener->n_sockets;
}

int sfront_listener_fd(const struct sfront_listener *listener, size_t index)
{
	const struct sfront_socket *socket = socket_at(listener, index);

	return socket ? socket->fd : -1;
}

size_t sfront_listener_format(const struct sfront_listener *listener, size_t index, char *buf,
			      size_t size)
{
	const struct sfront_socket *socket = socket_at(listener, index);

	return (size_t)snprintf(buf, size, "%s", socket ? socket->text : "");
}

int sfront_listener_local(const struct sfront_listener *listener, size_t index,
			  struct sfront_sockaddr *ret)
{
	const struct sfront_socket *socket = socket_at(listener, index);

	if (!socket || socket->local.len == 0)
		return -ENOENT;
	*ret = socket->local;
	return 0;
}

bool sfront_listener_is_single(const struct sfront_listener *listener, size_t index)
{
	const struct sfront_socket *socket = socket_at(listener, index);

	return socket && socket->single;
}

bool sfront_listener_is_inherited(const struct sfront_listener *listener, size_t index)
{
	const struct sfront_socket *socket = socket_at(listener, index);

	return socket && socket->inherited;
}

int sfront_listener_accept_at(struct sfront_listener *listener, size_t index,
			      struct sfront_connection *ret_connection)
{
	struct sfront_socket *socket = socket_at(listener, index);

	return socket ? socket->class->accept(socket, ret_connection) : -EINVAL;
}

int sfront_listener_accept(struct sfront_listener *listener,
			   struct sfront_connection *ret_connection)
{
	size_t n = listener->n_sockets, first = listener->turn, exhausted = 0;
	int r;

	for (size_t i = 0; i < n; i++) {
		size_t index = (first + i) % n;

		r = sfront_listener_accept_at(listener, index, ret_connection);
		if (r == -EAGAIN)
			continue;
		if (r == -ESHUTDOWN) {
			exhausted++;
			continue;
		}
		listener->turn = (index + 1) % n;
		return r;
	}
	return exhausted == n ? -ESHUTDOWN : -EAGAIN;
}

bool sfront_accept_should_pause(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

size_t sfront_connection_format(const struct sfront_connection *connection, char *buf, size_t size)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	switch (connection->read_stream) {
	case SFRONT_STREAM_UNIX:
		if (getsockopt(connection->read_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
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
	int flags;

	if (fd < 0)
		return;
	if (restore) {
		flags = fcntl(fd, F_GETFL);
		if (flags >= 0)
			fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	}
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
