/* SPDX-License-Identifier: MIT */
/*
 * A listener of operations that the program brings: one more class, which
 * passes everything on.  memory.c is made of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static int custom_accept(struct sfront_socket *socket, struct sfront_connection *ret_connection)
{
	return socket->ops.accept(socket->data, ret_connection);
}

static void custom_close(struct sfront_socket *socket)
{
	if (socket->ops.close)
		socket->ops.close(socket->data);
}

static const struct sfront_class custom_class = {
	.name = "custom",
	.accept = custom_accept,
	.close = custom_close,
};

int sfront_listener_new(const struct sfront_listener_ops *ops, void *data, int fd, const char *text,
			struct sfront_listener **ret_listener, struct sfront_error *err)
{
	char copy[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_socket socket = {
		.class = &custom_class,
		.text = copy,
		.kind = SFRONT_KINDS,
		.fd = fd,
		.stream = SFRONT_STREAM_UNIX,
		.data = data,
	};
	struct sfront_listener *listener;
	int r;

	/* A program built against a shorter structure lacks what comes after it. */
	memcpy(&socket.ops, ops, ops->size < sizeof(socket.ops) ? ops->size : sizeof(socket.ops));
	if (ops->size < offsetof(struct sfront_listener_ops, close) || !socket.ops.accept || fd < 0)
		return sfront_fail(err, -EINVAL,
				   "a listener wants operations with their size, an accept "
				   "among them, and a descriptor to poll");
	if (strlen(text) >= sizeof(copy))
		return sfront_fail(err, -EINVAL, "a listener's text has at most %zu bytes",
				   sizeof(copy) - 1);
	memcpy(copy, text, strlen(text) + 1);
	if (socket.ops.local && socket.ops.local(data, &socket.local) < 0)
		socket.local.len = 0;

	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return sfront_fail(err, -ENOMEM, "%s: out of memory", text);
	r = sfront_listener_add(listener, &socket, err);
	if (r < 0)
		sfront_listener_free(listener);
	else
		*ret_listener = listener;
	return r;
}

void *sfront_custom_data(const struct sfront_listener *listener,
			 int (*accept)(void *data, struct sfront_connection *ret_connection))
{
	const struct sfront_socket *socket = listener->sockets;

	return listener->n_sockets == 1 && socket->class == &custom_class &&
			       socket->ops.accept == accept
		       ? socket->data
		       : NULL;
}
