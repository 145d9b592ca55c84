/* SPDX-License-Identifier: MIT */
/*
 * Sockets of a listener that give one connection which was there from the
 * start: shared by inherited.c and inetd.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/kind/inherited.h"

/*
 * The connection's own descriptor cannot be the one to poll: it is readable
 * only when the client speaks first, and stays so.  An eventfd is readable
 * until it is drained, and never again.
 */
int sfront_single_init(struct sfront_socket *socket, const struct sfront_connection *only)
{
	struct sfront_connection *copy = malloc(sizeof(*copy));
	int fd, r;

	if (!copy)
		return -ENOMEM;
	fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		free(copy);
		return r;
	}

	*copy = *only;
	socket->fd = fd;
	socket->single = true;
	socket->only = copy;
	return 0;
}

int sfront_single_accept(struct sfront_socket *socket, struct sfront_connection *ret_connection)
{
	eventfd_t drained;

	if (__atomic_exchange_n(&socket->taken, true, __ATOMIC_ACQ_REL))
		return -ESHUTDOWN;

	eventfd_read(socket->fd, &drained);
	*ret_connection = *socket->only;
	return 0;
}

void sfront_single_close(struct sfront_socket *socket)
{
	if (!socket->taken)
		sfront_connection_close(socket->only);
	close(socket->fd);
}
