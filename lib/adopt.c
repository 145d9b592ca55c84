/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets that an earlier process opened: makes them a listener of
 * this one.  Whether a socket fits its address is told by the class of that
 * (listener.c has the list); the rest is the same for all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* What is being adopted. */
struct adoption {
	const struct sfront_address *address;
	const struct sfront_class *class;
	const struct sfront_options *options;
	char text[SFRONT_ADDRESS_TEXT_SIZE]; /* of the address */
	bool keeps;                          /* the socket as it is, options and all */
};

static int identify(const struct adoption *adoption, int fd, struct sfront_socket *ret,
		    struct sfront_error *err)
{
	struct sfront_identity identity = { .listening = true };
	char what[SFRONT_WHAT_SIZE] = "not to be identified";
	int r;

	r = sfront_identify(fd, &identity, what);
	if (r == 0 && !identity.listening)
		r = -EPROTOTYPE;
	if (r < 0)
		return sfront_fail(err, r,
				   "%s: descriptor %d is %s; a listening stream socket is needed",
				   adoption->text, fd,
				   identity.listening ? what : "a socket that is connected");
	*ret = (struct sfront_socket){
		.class = adoption->class,
		.kind = adoption->address->kind,
		.target = OWN(identity.kind),
		.fd = fd,
		.stream = identity.stream,
		.header_due = adoption->options->accept_proxy_protocol,
		.text = ret->text,
	};
	if (identity.kind & KIND_UNIX) {
		ret->send_buffer = adoption->options->send_buffer;
		ret->has_early = true;
	}
	r = sfront_socket_local(fd, &ret->local);
	if (r < 0)
		return sfront_fail(err, r, "%s: what descriptor %d is bound to cannot be told: %s",
				   adoption->text, fd, strerror(-r));
	return 0;
}

static int check(const struct adoption *adoption, int fd, struct sfront_socket *ret,
		 struct sfront_error *err)
{
	char bound[SFRONT_ADDRESS_TEXT_SIZE / 2];
	int r;

	r = identify(adoption, fd, ret, err);
	if (r < 0)
		return r;
	r = adoption->class->adopt(ret, adoption->address, adoption->options, err);
	if (r != -EINVAL)
		return r;
	sfront_sockaddr_format(&ret->local, bound, sizeof(bound));
	return sfront_fail(err, r, "%s: descriptor %d listens on %s, another address",
			   adoption->text, fd, bound);
}

/* Claims the descriptor and adds it, without a change to it. */
static int take(const struct adoption *adoption, struct sfront_listener *listener, int fd,
		struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_socket socket = { .text = text };
	int r;

	r = sfront_claim(fd);
	if (r < 0)
		return sfront_fail(err, r, "%s: descriptor %d %s", adoption->text, fd,
				   r == -EBUSY ? "is taken already: only one listener can have it"
					       : "cannot be noted: out of memory");
	r = check(adoption, fd, &socket, err);
	if (r < 0)
		goto fail;
	r = sfront_listener_add(listener, &socket, err);
	if (r < 0) {
		adoption->class->release(&socket);
		goto fail;
	}
	return 0;

fail:
	sfront_unclaim(fd);
	return r;
}

/* Makes the socket what open() would have made of it. */
static int set_options(const struct adoption *adoption, struct sfront_socket *socket,
		       struct sfront_error *err)
{
	const struct sfront_options *options = adoption->options;
	int r;

	r = sfront_socket_apply(socket->fd, INHERITED(socket->target), socket->text, options, err);
	if (r == 0 && adoption->class->update)
		r = adoption->class->update(socket, &sfront_default_options, options, err);
	if (r < 0)
		return r;

	/* On a socket that listens it sets the backlog alone. */
	if (listen(socket->fd, sfront_socket_backlog(socket->text, options)) < 0)
		return sfront_fail(err, -errno, "%s: cannot listen: %s", socket->text,
				   strerror(errno));
	sfront_socket_compare(socket->fd, socket->target, socket->text, options);
	return 0;
}

static int prepare(const struct adoption *adoption, struct sfront_socket *socket,
		   struct sfront_error *err)
{
	int r = adoption->keeps ? 0 : set_options(adoption, socket, err);

	if (r < 0)
		return r;
	r = sfront_set_nonblocking(socket->fd, &socket->was_blocking);
	if (r < 0)
		return sfront_fail(err, r, "%s: descriptor %d cannot be made non-blocking: %s",
				   socket->text, socket->fd, strerror(-r));
	if (fcntl(socket->fd, F_SETFD, FD_CLOEXEC) < 0)
		return sfront_fail(err, -errno,
				   "%s: descriptor %d cannot be made close-on-exec: %s",
				   socket->text, socket->fd, strerror(errno));
	return 0;
}

static int adopt_all(const struct adoption *adoption, struct sfront_listener *listener,
		     const int *fds, size_t n_fds, struct sfront_error *err)
{
	int r = 0;

	for (size_t i = 0; i < n_fds && r == 0; i++)
		r = take(adoption, listener, fds[i], err);
	for (size_t i = 0; i < listener->n_sockets && r == 0; i++)
		r = prepare(adoption, &listener->sockets[i], err);
	return r;
}

/* The descriptors stay the caller's. */
static void undo(struct sfront_listener *listener)
{
	for (size_t i = 0; i < listener->n_sockets; i++) {
		struct sfront_socket *socket = &listener->sockets[i];
		int fd = socket->class->release(socket);

		sfront_restore_blocking(fd, socket->was_blocking);
		sfront_unclaim(fd);
	}
	sfront_listener_free(listener);
}

int sfront_listener_adopt(const struct sfront_address *address, const int *fds, size_t n_fds,
			  const struct sfront_options *options,
			  struct sfront_listener **ret_listener, struct sfront_error *err)
{
	struct adoption adoption = {
		.address = address,
		.class = sfront_class_of(address->kind),
		.options = options ? options : &sfront_default_options,
		.keeps = !options,
	};
	struct sfront_listener *listener;
	int r;

	if (!adoption.class)
		return sfront_fail(err, -EINVAL, "an address is of no known kind (%d)",
				   (int)address->kind);
	sfront_address_format(address, adoption.text, sizeof(adoption.text));
	if (!adoption.class->adopt)
		return sfront_fail(
			err, -EINVAL,
			"%s: only sockets that a process opens itself can be adopted, not "
			"inherited ones",
			adoption.text);
	if (n_fds == 0 || (n_fds > 1 && address->kind != SFRONT_TCP))
		return sfront_fail(err, -EINVAL, "%s: %s", adoption.text,
				   n_fds ? "there is one socket for such an address, not several"
					 : "there is no socket to adopt");
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return sfront_fail(err, -ENOMEM, "%s: out of memory", adoption.text);

	r = adopt_all(&adoption, listener, fds, n_fds, err);
	if (r < 0) {
		undo(listener);
		return r;
	}
	*ret_listener = listener;
	return 0;
}
