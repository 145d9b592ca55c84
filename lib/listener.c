/* SPDX-License-Identifier: MIT */
/*
 * The public face of listeners.  Picks the class by the kind of the address,
 * keeps the array of sockets that the classes fill, and lets them take turns;
 * what a socket is, only its class knows.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

const struct sfront_class *sfront_class_of(enum sfront_kind kind)
{
	return kind < SFRONT_KINDS ? classes[kind] : NULL;
}

int sfront_refuse_absent(const struct sfront_address *address, const char *what,
			 struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	sfront_address_format(address, text, sizeof(text));
	return sfront_fail(err, -EAFNOSUPPORT, "%s: this program was built without %s", text, what);
}

int sfront_listener_add(struct sfront_listener *listener, const struct sfront_socket *socket,
			struct sfront_error *err)
{
	struct sfront_socket *sockets;
	char *text;

	sockets = realloc(listener->sockets, (listener->n_sockets + 1) * sizeof(*sockets));
	if (sockets)
		listener->sockets = sockets;
	text = sockets ? strdup(socket->text) : NULL;
	if (!text)
		return sfront_fail(err, -ENOMEM, "%s: out of memory", socket->text);

	sockets[listener->n_sockets] = *socket;
	sockets[listener->n_sockets++].text = text;
	return 0;
}

void sfront_socket_clear(struct sfront_socket *socket)
{
	free(socket->had);
	free(socket->early_options);
	if (socket->single)
		free(socket->only);
}

static void free_socket(struct sfront_socket *socket)
{
	sfront_socket_clear(socket);
	free(socket->text);
}

void sfront_listener_undo(struct sfront_listener *listener, size_t count)
{
	while (listener->n_sockets > count) {
		struct sfront_socket *socket = &listener->sockets[--listener->n_sockets];

		if (socket->class->undo)
			socket->class->undo(socket);
		else
			socket->class->close(socket);
		free_socket(socket);
	}
}

/* What an own address says of its socket counts, too, where somebody else has bound that. */
static unsigned int targets_of(const struct sfront_socket *socket)
{
	const struct sfront_class *class = sfront_class_of(socket->kind);
	bool is_stand_in = socket->inherited && class && class->fits;

	return socket->target | (is_stand_in ? OWN(KINDS_OF(socket->target)) : 0);
}

unsigned int sfront_listener_targets(const struct sfront_listener *listener)
{
	unsigned int targets = 0;

	for (size_t i = 0; i < listener->n_sockets; i++)
		targets |= targets_of(&listener->sockets[i]);
	return targets;
}

int sfront_open_one(struct sfront_listener *listener, const struct sfront_address *address,
		    const struct sfront_options *options, struct sfront_error *err)
{
	const struct sfront_class *class = sfront_class_of(address->kind);
	size_t before = listener->n_sockets;
	int r;

	if (!class)
		return sfront_fail(err, -EINVAL, "an address is of no known kind (%d)",
				   (int)address->kind);
	r = class->open(listener, address, options, err);
	for (size_t i = before; r == 0 && i < listener->n_sockets; i++) {
		listener->sockets[i].kind = address->kind;
		listener->sockets[i].header_due = options->accept_proxy_protocol;
	}
	return r;
}

int sfront_check_together(const struct sfront_address *addresses, size_t n,
			  const struct sfront_options *options, struct sfront_error *err)
{
	const struct sfront_class *class;
	int r = 0;

	if (n == 0)
		return sfront_fail(err, -EINVAL, "there is no address to listen on");
	for (size_t i = 0; i < n && r == 0; i++) {
		if (addresses[i].kind == SFRONT_INETD && n > 1)
			return sfront_fail(
				err, -EINVAL,
				"-: stdin and stdout are one connection, no other address "
				"can be combined with them");
		class = sfront_class_of(addresses[i].kind);
		if (class && class->find)
			r = class->find(&addresses[i], options, err);
	}
	return r;
}

void sfront_listener_free(struct sfront_listener *listener)
{
	for (size_t i = 0; i < listener->n_sockets; i++)
		free_socket(&listener->sockets[i]);
	free(listener->sockets);
	free(listener);
}

int sfront_listener_open(const struct sfront_address *addresses, size_t n_addresses,
			 const struct sfront_options *options,
			 struct sfront_listener **ret_listener, struct sfront_error *err)
{
	struct sfront_listener *listener;
	int r;

	if (!options)
		options = &sfront_default_options;
	r = sfront_check_together(addresses, n_addresses, options, err);
	if (r < 0)
		return r;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return sfront_fail(err, -ENOMEM, "out of memory");

	r = n_addresses == 1 ? sfront_open_one(listener, addresses, options, err)
			     : sfront_open_several(listener, addresses, n_addresses, options, err);
	if (r < 0)
		goto fail;
	sfront_warn_of_idle(sfront_listener_targets(listener), addresses, n_addresses, options);
	*ret_listener = listener;
	return 0;

fail:
	sfront_listener_undo(listener, 0);
	sfront_listener_free(listener);
	return r;
}

void sfront_listener_close(struct sfront_listener *listener)
{
	if (!listener)
		return;

	for (size_t i = 0; i < listener->n_sockets; i++)
		listener->sockets[i].class->close(&listener->sockets[i]);
	sfront_listener_free(listener);
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

enum sfront_kind sfront_listener_kind(const struct sfront_listener *listener, size_t index)
{
	const struct sfront_socket *socket = socket_at(listener, index);

	return socket ? socket->kind : SFRONT_KINDS;
}

enum sfront_stream sfront_listener_stream(const struct sfront_listener *listener, size_t index)
{
	const struct sfront_socket *socket = socket_at(listener, index);

	return socket ? socket->stream : SFRONT_STREAM_FILE;
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

bool sfront_listener_header_due(const struct sfront_listener *listener, size_t index)
{
	const struct sfront_socket *socket = socket_at(listener, index);

	return socket && __atomic_load_n(&socket->header_due, __ATOMIC_RELAXED);
}

int sfront_listener_accept_at(struct sfront_listener *listener, size_t index,
			      struct sfront_connection *ret_connection)
{
	struct sfront_socket *socket = socket_at(listener, index);
	int r;

	if (!socket)
		return -EINVAL;
	r = socket->class->accept(socket, ret_connection);
	if (r < 0)
		return r;
	/* Operations of a program that was built before there were these leave them unset. */
	ret_connection->header_due = __atomic_load_n(&socket->header_due, __ATOMIC_RELAXED);
	ret_connection->is_proxied = false;
	return 0;
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

static int released_accept(struct sfront_socket *socket, struct sfront_connection *ret_connection)
{
	(void)socket;
	(void)ret_connection;
	return -ESHUTDOWN;
}

static void released_close(struct sfront_socket *socket)
{
	(void)socket;
}

/* Of a socket whose descriptor was taken out: its place stays, so that no index moves. */
static const struct sfront_class released_class = {
	.name = "released",
	.accept = released_accept,
	.close = released_close,
};

int sfront_listener_release(struct sfront_listener *listener, size_t index)
{
	struct sfront_socket *socket = socket_at(listener, index);
	int fd;

	if (!socket)
		return -EINVAL;
	if (socket->class == &released_class)
		return -EBADF;
	if (!socket->class->release)
		return -EOPNOTSUPP;
	fd = socket->class->release(socket);
	if (fd < 0)
		return fd;

	socket->class = &released_class;
	socket->fd = -1;
	return fd;
}

static int update_one(struct sfront_socket *socket, const struct sfront_options *from,
		      const struct sfront_options *to, struct sfront_error *err)
{
	int r;

	if (!(socket->target & LISTENING(ANY_KIND)) || socket->class == &released_class)
		return 0;
	r = sfront_socket_change(socket, from, to, err);
	if (r == 0 && socket->class->update)
		r = socket->class->update(socket, from, to, err);
	if (r == 0 && (socket->target & EVERY(KIND_UNIX)))
		__atomic_store_n(&socket->send_buffer, to->send_buffer, __ATOMIC_RELAXED);
	if (r == 0)
		__atomic_store_n(&socket->header_due, to->accept_proxy_protocol, __ATOMIC_RELAXED);
	return r;
}

int sfront_listener_update(struct sfront_listener *listener, const struct sfront_options *from,
			   const struct sfront_options *to, struct sfront_error *err)
{
	int r = 0;

	if (!from)
		from = &sfront_default_options;
	if (!to)
		to = &sfront_default_options;
	for (size_t i = 0; i < listener->n_sockets && r == 0; i++)
		r = update_one(&listener->sockets[i], from, to, err);
	return r;
}

void sfront_listener_lend(struct sfront_listener *listener)
{
	for (size_t i = 0; i < listener->n_sockets; i++) {
		struct sfront_socket *socket = &listener->sockets[i];

		if (!socket->inherited || socket->single || socket->lent ||
		    socket->class == &released_class)
			continue;
		sfront_unclaim(socket->fd);
		socket->lent = true;
	}
}

int sfront_listener_take_back(struct sfront_listener *listener)
{
	int r = 0;

	for (size_t i = 0; i < listener->n_sockets; i++) {
		struct sfront_socket *socket = &listener->sockets[i];

		if (!socket->lent)
			continue;
		if (sfront_claim(socket->fd) == 0)
			socket->lent = false;
		else
			r = -EBUSY;
	}
	return r;
}

int sfront_listener_restore(struct sfront_listener *listener)
{
	int error = 0;

	for (size_t i = 0; i < listener->n_sockets; i++) {
		struct sfront_socket *socket = &listener->sockets[i];
		int r = socket->class->restore ? socket->class->restore(socket) : 0;

		if (error == 0)
			error = r;
	}
	return error;
}

int sfront_listener_check(const struct sfront_listener *listener, size_t index)
{
	const struct sfront_socket *socket = socket_at(listener, index);

	if (!socket)
		return -EINVAL;
	return socket->class->check ? socket->class->check(socket) : 0;
}

static int verify_one(const struct sfront_socket *socket, const struct sfront_address *address,
		      const struct sfront_options *options, struct sfront_error *err)
{
	int r;

	if (!(socket->target & LISTENING(ANY_KIND)) || socket->class == &released_class)
		return 0;
	r = sfront_socket_listens(socket->fd);
	if (r == -ESHUTDOWN)
		return sfront_fail(err, r,
				   "%s: the socket listens no more: another process that has it "
				   "shut it down",
				   socket->text);
	if (r < 0)
		return sfront_fail(err, r, "%s: the socket cannot be asked: %s", socket->text,
				   strerror(-r));
	return socket->class->verify ? socket->class->verify(socket, address, options, err) : 0;
}

int sfront_listener_verify(const struct sfront_listener *listener,
			   const struct sfront_address *address,
			   const struct sfront_options *options, struct sfront_error *err)
{
	int r = 0;

	if (!options)
		options = &sfront_default_options;
	for (size_t i = 0; i < listener->n_sockets && r == 0; i++)
		r = verify_one(&listener->sockets[i], address, options, err);
	return r;
}

int sfront_listener_path_id(const struct sfront_listener *listener, size_t index, dev_t *ret_device,
			    ino_t *ret_inode)
{
	const struct sfront_socket *socket = socket_at(listener, index);

	if (!socket || socket->class != &sfront_unix_class)
		return -ENOENT;
	*ret_device = socket->path.dev;
	*ret_inode = socket->path.ino;
	return 0;
}

int sfront_listener_remove_path(struct sfront_listener *listener, size_t index)
{
	const struct sfront_socket *socket = socket_at(listener, index);

	if (!socket)
		return -EINVAL;
	return socket->class->remove_path ? socket->class->remove_path(socket) : -ENOENT;
}

bool sfront_inherited_is_wanted(const struct sfront_address *address,
				const struct sfront_options *options, int fd)
{
	const struct sfront_class *class = sfront_class_of(address->kind);

	return class && class->wants &&
	       class->wants(address, options ? options : &sfront_default_options, fd);
}

bool sfront_accept_is_forbidden(int error)
{
	return error == -EPERM || error == -EACCES;
}

bool sfront_accept_should_pause(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM ||
	       sfront_accept_is_forbidden(error);
}
