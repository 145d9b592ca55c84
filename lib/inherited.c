/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that somebody else opened and handed to this process: what they
 * are, and who has taken them.  Shared by sd_listen.c and fd.c, which know how
 * they are named; inetd.c asks the same questions of stdin and stdout.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

/* The numbers that were claimed, in no order. */
static struct {
	pthread_mutex_t lock;
	int *fds;
	size_t n;
} claims = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Where in the claims @fd stands, or claims.n.  With the lock held. */
static size_t claim_of(int fd)
{
	size_t i = 0;

	while (i < claims.n && claims.fds[i] != fd)
		i++;
	return i;
}

int sfront_claim(int fd)
{
	int r = 0, *fds;

	pthread_mutex_lock(&claims.lock);
	if (claim_of(fd) < claims.n) {
		r = -EBUSY;
	} else {
		fds = realloc(claims.fds, (claims.n + 1) * sizeof(*fds));
		if (fds) {
			claims.fds = fds;
			fds[claims.n++] = fd;
		} else {
			r = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&claims.lock);
	return r;
}

void sfront_claim_release(int fd)
{
	size_t i;

	pthread_mutex_lock(&claims.lock);
	i = claim_of(fd);
	if (i < claims.n)
		claims.fds[i] = claims.fds[--claims.n];
	pthread_mutex_unlock(&claims.lock);
}

bool sfront_is_claimed(int fd)
{
	bool claimed;

	pthread_mutex_lock(&claims.lock);
	claimed = claim_of(fd) < claims.n;
	pthread_mutex_unlock(&claims.lock);
	return claimed;
}

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

int sfront_identify(int fd, struct sfront_identity *ret, char *ret_what)
{
	struct sfront_sockaddr peer = { .len = sizeof(peer.sa) };
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
	if (!listening && getpeername(fd, &peer.sa.any, &peer.len) < 0) {
		snprintf(ret_what, SFRONT_WHAT_SIZE,
			 "a stream socket that neither listens nor is connected");
		return -EPROTOTYPE;
	}
	*ret = identity;
	return 0;
}

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

static int take_listening(const struct taking *taking, struct sfront_socket *socket,
			  struct sfront_error *err)
{
	const struct sfront_options *options = taking->options;
	bool was_blocking;
	int r;

	r = sfront_set_nonblocking(taking->fd, &was_blocking);
	if (r < 0)
		return sfront_fail(err, r, "%s: %s cannot be made non-blocking: %s", taking->typed,
				   taking->label, strerror(-r));

	/* Another listen() replaces the backlog that its owner chose. */
	if (sfront_option_given(options, OPTION_BACKLOG) &&
	    listen(taking->fd, sfront_socket_backlog(taking->typed, options)) < 0)
		return sfront_fail(err, -errno, "%s: tcp-listen-backlog cannot be set on %s: %s",
				   taking->typed, taking->label, strerror(errno));
	socket->fd = taking->fd;
	if (socket->target & EVERY(KIND_UNIX))
		socket->send_buffer = options->send_buffer;
	return 0;
}

static int take_connected(const struct taking *taking, struct sfront_socket *socket,
			  struct sfront_error *err)
{
	struct sfront_connection only = {
		.read_fd = taking->fd,
		.write_fd = taking->fd,
		.read_stream = socket->stream,
		.write_stream = socket->stream,
		.peer = { .len = sizeof(only.peer.sa) },
	};
	bool was_blocking;
	int r;

	if (getpeername(taking->fd, &only.peer.sa.any, &only.peer.len) < 0)
		only.peer.len = 0;
	r = sfront_set_nonblocking(taking->fd, &was_blocking);
	if (r == 0)
		r = sfront_single_init(socket, &only);
	if (r < 0)
		return sfront_fail(err, r, "%s: %s cannot be prepared: %s", taking->typed,
				   taking->label, strerror(-r));
	socket->only.restore_read = was_blocking;
	socket->only.restore_write = was_blocking;
	return 0;
}

/* "*:80" for a socket that takes IPv4 too. */
static void show(int fd, struct sfront_socket *socket)
{
	int only_v6 = 1;
	socklen_t len = sizeof(only_v6);

	sfront_socket_local(fd, &socket->local);
	if (socket->local.len && socket->local.sa.any.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&socket->local.sa.in6.sin6_addr) &&
	    getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, &len) == 0 && !only_v6)
		snprintf(socket->text, sizeof(socket->text), "*:%u",
			 ntohs(socket->local.sa.in6.sin6_port));
	else
		sfront_sockaddr_format(&socket->local, socket->text, sizeof(socket->text));
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
	fcntl(taking->fd, F_SETFD, FD_CLOEXEC);
	r = sfront_socket_apply(taking->fd, socket->target, taking->typed, taking->options, err);
	if (r == 0)
		r = identity.listening ? take_listening(taking, socket, err)
				       : take_connected(taking, socket, err);
	if (r < 0)
		return r;

	show(taking->fd, socket);
	r = sfront_listener_add(listener, socket, err);
	if (r < 0 && socket->single)
		close(socket->fd);
	return r;
}

int sfront_inherited_open(struct sfront_listener *listener, const struct sfront_class *class,
			  int fd, const char *typed, const char *name, unsigned int extra,
			  const struct sfront_options *options, struct sfront_error *err)
{
	struct sfront_socket socket = { .class = class, .inherited = true };
	struct taking taking = { .fd = fd, .typed = typed, .options = options };
	int r;

	if (name)
		snprintf(taking.label, sizeof(taking.label), "descriptor %d (name \"%s\")", fd,
			 name);
	else
		snprintf(taking.label, sizeof(taking.label), "descriptor %d", fd);

	r = sfront_claim(fd);
	if (r == -EBUSY)
		return sfront_fail(err, r, "%s: %s is taken already: only one listener can have it",
				   typed, taking.label);
	if (r < 0)
		return sfront_fail(err, r, "%s: out of memory", typed);

	r = take(&taking, listener, &socket, extra, err);
	if (r < 0)
		sfront_claim_release(fd);
	return r;
}

int sfront_inherited_accept(struct sfront_socket *socket, struct sfront_connection *ret_connection)
{
	return socket->single ? sfront_single_accept(socket, ret_connection)
			      : sfront_socket_accept(socket, ret_connection);
}

void sfront_inherited_close(struct sfront_socket *socket)
{
	if (socket->single)
		sfront_single_close(socket);
	else
		sfront_socket_close(socket);
}

void sfront_inherited_undo(struct sfront_socket *socket)
{
	sfront_claim_release(socket->single ? socket->only.read_fd : socket->fd);
	if (socket->single)
		close(socket->fd);
}
