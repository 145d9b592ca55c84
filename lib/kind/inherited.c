/* SPDX-License-Identifier: MIT */
/*
 * Takes descriptors that somebody else opened and handed to this process, be
 * they listening or connected.  Shared by sd_listen.c and fd.c, which know how
 * they are named; what they are is told by identify.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/kind/former.h"
#include "lib/kind/inherited.h"

/* A descriptor that is being taken. */
struct taking {
	int fd;
	const char *typed;                 /* the address as the user gave it */
	char label[64 + SFRONT_NAME_SIZE]; /* 'descriptor 3 (name "web")' */
	const struct sfront_options *options;
};

static int refuse(const struct taking *taking, int error, const char *what,
		  struct sfront_error *err)
{
	return sfront_fail(err, error,
			   "%s: %s is %s; a stream socket that listens or is connected is needed",
			   taking->typed, taking->label, what);
}

/* How many clients a listening TCP socket has that nobody has accepted yet. */
static unsigned int count_queued(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	return info.tcpi_unacked; /* of a listening socket: that number */
}

/* What the socket has before any option is set. */
static int note_options(const struct taking *taking, unsigned int kind,
			struct sfront_socket *socket, struct sfront_error *err)
{
	int r = sfront_former_note(taking->fd, kind, &socket->first);

	if (r == 0)
		r = sfront_socket_note(taking->fd, socket->target, taking->options, &socket->had);
	return r < 0 ? sfront_fail(err, r, "%s: out of memory", taking->typed) : 0;
}

/* Those who wait already have none of the options. */
static int note_early(const struct taking *taking, struct sfront_socket *socket,
		      struct sfront_error *err)
{
	unsigned int n = count_queued(taking->fd);

	if (n == 0)
		return 0;
	socket->early_options = sfront_options_copy(taking->options);
	if (!socket->early_options)
		return sfront_fail(err, -ENOMEM, "%s: out of memory", taking->typed);
	socket->early_options->warn = NULL;
	socket->n_early = n;
	return 0;
}

static int take_listening(const struct taking *taking, struct sfront_socket *socket,
			  struct sfront_error *err)
{
	const struct sfront_options *options = taking->options;
	int r;

	r = sfront_set_nonblocking(taking->fd, &socket->was_blocking);
	if (r < 0)
		return sfront_fail(err, r, "%s: %s cannot be made non-blocking: %s", taking->typed,
				   taking->label, strerror(-r));

	/* Another listen() replaces the backlog that its owner chose. */
	if (sfront_option_given(options, OPTION_BACKLOG) &&
	    listen(taking->fd, sfront_socket_backlog(taking->typed, options)) < 0)
		return sfront_fail(err, -errno, "%s: tcp-listen-backlog cannot be set on %s: %s",
				   taking->typed, taking->label, strerror(errno));
	socket->fd = taking->fd;
	if (socket->target & EVERY(KIND_UNIX)) {
		socket->send_buffer = options->send_buffer;
		socket->has_early = true;
	}
	return socket->target & EVERY(KIND_TCP) ? note_early(taking, socket, err) : 0;
}

static int take_connected(const struct taking *taking, struct sfront_socket *socket,
			  struct sfront_error *err)
{
	struct sfront_connection only = {
		.read_fd = taking->fd,
		.write_fd = taking->fd,
		.read_stream = socket->stream,
		.write_stream = socket->stream,
		.fds_may_come = socket->stream == SFRONT_STREAM_UNIX,
		.peer = { .len = sizeof(only.peer.sa) },
	};
	int r;

	if (getpeername(taking->fd, &only.peer.sa.any, &only.peer.len) < 0)
		only.peer.len = 0;
	r = sfront_set_nonblocking(taking->fd, &socket->was_blocking);
	if (r == 0)
		r = sfront_single_init(socket, &only);
	if (r < 0)
		return sfront_fail(err, r, "%s: %s cannot be prepared: %s", taking->typed,
				   taking->label, strerror(-r));
	socket->only->restore_read = socket->was_blocking;
	socket->only->restore_write = socket->was_blocking;
	return 0;
}

/* "*:80" for a socket that takes IPv4 too. */
static void show(int fd, struct sfront_socket *socket)
{
	sfront_socket_local(fd, &socket->local);
	if (sfront_socket_is_dual(fd, &socket->local))
		snprintf(socket->text, SFRONT_ADDRESS_TEXT_SIZE, "*:%u",
			 ntohs(socket->local.sa.in6.sin6_port));
	else
		sfront_sockaddr_format(&socket->local, socket->text, SFRONT_ADDRESS_TEXT_SIZE);
}

/* The others that have the same socket go on with the options that it had. */
static void restore_options(struct sfront_socket *socket)
{
	if (socket->first)
		(void)sfront_former_restore(socket->fd);
	else if (socket->had)
		(void)sfront_socket_change(socket, socket->had, &sfront_default_options, NULL);
}

/* Another mount namespace may have made the path: then it is nothing to look at. */
static void note_path(struct sfront_socket *socket)
{
	const char *path = socket->local.sa.un.sun_path;
	struct stat st;

	if (!(socket->target & INHERITED(KIND_PATH)) || socket->local.len == 0 || path[0] != '/' ||
	    fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISSOCK(st.st_mode))
		return;
	socket->path.dev = st.st_dev;
	socket->path.ino = st.st_ino;
	socket->path.seen = true;
}

static int take(struct taking *taking, struct sfront_listener *listener,
		struct sfront_socket *socket, unsigned int extra, struct sfront_error *err)
{
	struct sfront_identity identity = { 0 };
	char what[SFRONT_WHAT_SIZE] = "not to be identified";
	int r;

	r = sfront_identify(taking->fd, &identity, what);
	if (r < 0)
		return refuse(taking, r, what, err);

	socket->stream = identity.stream;
	socket->target = identity.listening ? INHERITED(identity.kind | extra)
					    : CONNECTED(identity.kind | extra);
	if (fcntl(taking->fd, F_SETFD, FD_CLOEXEC) < 0)
		return sfront_fail(err, -errno, "%s: %s cannot be made close-on-exec: %s",
				   taking->typed, taking->label, strerror(errno));
	r = identity.listening ? note_options(taking, identity.kind, socket, err) : 0;
	if (r == 0)
		r = sfront_socket_apply(taking->fd, socket->target, taking->typed, taking->options,
					err);
	if (r == 0)
		r = identity.listening ? take_listening(taking, socket, err)
				       : take_connected(taking, socket, err);
	if (r == 0) {
		show(taking->fd, socket);
		note_path(socket);
		r = sfront_listener_add(listener, socket, err);
		if (r < 0 && socket->single)
			close(socket->fd);
	}
	if (r < 0 && identity.listening) {
		socket->fd = taking->fd;
		restore_options(socket);
	}
	return r;
}

static void label_format(struct taking *taking, const char *name)
{
	if (name)
		snprintf(taking->label, sizeof(taking->label), "descriptor %d (name \"%s\")",
			 taking->fd, name);
	else
		snprintf(taking->label, sizeof(taking->label), "descriptor %d", taking->fd);
}

int sfront_inherited_find(int fd, const char *typed, struct sfront_error *err)
{
	struct taking taking = { .fd = fd, .typed = typed };

	/* One that was taken and is closed by now is told as taken. */
	if (sfront_is_claimed(fd) || fcntl(fd, F_GETFD) >= 0)
		return 0;
	label_format(&taking, NULL);
	return refuse(&taking, -EBADF, "closed", err);
}

int sfront_inherited_open(struct sfront_listener *listener, const struct sfront_class *class,
			  int fd, const char *typed, const char *name, unsigned int extra,
			  const struct sfront_options *options, struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE] = "";
	struct sfront_socket socket = { .class = class, .inherited = true, .text = text };
	struct taking taking = { .fd = fd, .typed = typed, .options = options };
	int r;

	label_format(&taking, name);
	r = sfront_claim(fd);
	if (r == -EBUSY)
		return sfront_fail(err, r, "%s: %s is taken already: only one listener can have it",
				   typed, taking.label);
	if (r < 0)
		return sfront_fail(err, r, "%s: out of memory", typed);

	r = take(&taking, listener, &socket, extra, err);
	if (r < 0) {
		sfront_restore_blocking(fd, socket.was_blocking);
		sfront_unclaim(fd);
		sfront_socket_clear(&socket);
	}
	return r;
}

/*
 * Whoever else has the socket may make it blocking at any time, for all who have it, and
 * take the client that it was readable for.  Who does so once may do so again and again,
 * between this look at it and accept() too: from then on there is another look, see
 * sfront_socket_accept().
 */
int sfront_inherited_accept(struct sfront_socket *socket, struct sfront_connection *ret_connection)
{
	bool was_blocking;
	int r;

	if (socket->single)
		return sfront_single_accept(socket, ret_connection);
	r = sfront_set_nonblocking(socket->fd, &was_blocking);
	if (r < 0)
		return r;
	if (was_blocking)
		__atomic_store_n(&socket->bent, true, __ATOMIC_RELAXED);
	return sfront_socket_accept(socket, ret_connection);
}

void sfront_inherited_close(struct sfront_socket *socket)
{
	if (socket->single) {
		sfront_single_close(socket);
	} else if (!socket->lent) {
		sfront_former_drop(socket->fd);
		sfront_socket_close(socket);
	}
}

int sfront_inherited_release(struct sfront_socket *socket)
{
	if (socket->single)
		return -EOPNOTSUPP;
	if (!socket->lent)
		sfront_former_drop(socket->fd);
	socket->lent = false;
	return sfront_socket_release(socket);
}

int sfront_inherited_verify(const struct sfront_socket *socket,
			    const struct sfront_address *address,
			    const struct sfront_options *options, struct sfront_error *err)
{
	(void)address;
	(void)options;
	if (socket->target & INHERITED(KIND_TCP))
		return sfront_socket_verify_device(socket, NULL, err);
	return socket->path.seen
		       ? sfront_socket_explain_path(socket, socket->local.sa.un.sun_path, err)
		       : 0;
}

int sfront_inherited_restore(struct sfront_socket *socket)
{
	return socket->single || socket->lent ? 0 : sfront_former_restore(socket->fd);
}

void sfront_inherited_undo(struct sfront_socket *socket)
{
	int fd = socket->single ? socket->only->read_fd : socket->fd;

	if (socket->single)
		close(socket->fd);
	else
		restore_options(socket);
	sfront_restore_blocking(fd, socket->was_blocking);
	sfront_unclaim(fd);
}
