/* SPDX-License-Identifier: MIT */
/*
 * What several classes do with a socket: ask for its address, accept from it,
 * close it.  The options are in socket_options.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

/* Clients in a row that may turn out to be gone before somebody else gets a turn. */
#define ACCEPT_TRIES 64

long sfront_sysctl(const char *path, long fallback)
{
	FILE *file = fopen(path, "re");
	long value;

	if (!file)
		return fallback;
	if (fscanf(file, "%ld", &value) != 1)
		value = fallback;
	fclose(file);
	return value;
}

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

int sfront_keepalive_apply(int fd, const struct sfront_keepalive *keepalive)
{
	int r;

	r = set_int(fd, SOL_SOCKET, SO_KEEPALIVE, keepalive->on);
	if (r == 0 && keepalive->on && keepalive->time_s)
		r = set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, keepalive->time_s);
	if (r == 0 && keepalive->on && keepalive->count)
		r = set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, keepalive->count);
	if (r == 0 && keepalive->on && keepalive->interval_s)
		r = set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, keepalive->interval_s);
	return r;
}

int sfront_socket_backlog(const char *text, const struct sfront_options *options)
{
	long most;

	if (!sfront_option_given(options, OPTION_BACKLOG))
		return options->backlog;
	most = sfront_sysctl("/proc/sys/net/core/somaxconn", options->backlog);
	if (options->backlog > most)
		sfront_warn(
			options,
			"%s: tcp-listen-backlog is cut down from %d to %ld by net.core.somaxconn",
			text, options->backlog, most);
	return options->backlog;
}

int sfront_socket_local(int fd, struct sfront_sockaddr *ret)
{
	struct sfront_sockaddr local = { .len = sizeof(local.sa) };
	int r = 0;

	if (getsockname(fd, &local.sa.any, &local.len) < 0) {
		r = -errno;
		local.len = 0;
	}
	*ret = local;
	return r;
}

bool sfront_socket_is_dual(int fd, const struct sfront_sockaddr *local)
{
	int only_v6 = 1;
	socklen_t len = sizeof(only_v6);

	return local->len && local->sa.any.sa_family == AF_INET6 &&
	       IN6_IS_ADDR_UNSPECIFIED(&local->sa.in6.sin6_addr) &&
	       getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, &len) == 0 && !only_v6;
}

/*
 * shutdown() ends listening for TCP.  A UNIX socket stays in that state, refuses
 * connections, and shows by poll() that nothing can be received any more.
 */
int sfront_socket_listens(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLRDHUP };
	int listens = 0;
	socklen_t len = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0)
		return -errno;
	if (!listens || (poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLRDHUP)))
		return -ESHUTDOWN;
	return 0;
}

int sfront_socket_verify_device(const struct sfront_socket *socket, const char *name,
				struct sfront_error *err)
{
	char bound[IFNAMSIZ] = "";
	socklen_t len = sizeof(bound);
	bool is_gone = getsockopt(socket->fd, SOL_SOCKET, SO_BINDTODEVICE, bound, &len) < 0 &&
		       errno == ENODEV;

	if (!is_gone && (!name || strcmp(name, bound) == 0))
		return 0;
	if (!name)
		return sfront_fail(err, -ENODEV, "%s: the interface that it was bound to is gone",
				   socket->text);
	if (if_nametoindex(name) == 0)
		return sfront_fail(err, -ENODEV, "%s: interface %s, which it was bound to, is gone",
				   socket->text, name);
	return sfront_fail(err, -ESTALE,
			   "%s: interface %s is another one than the socket was bound to",
			   socket->text, name);
}

int sfront_socket_verify_path(const struct sfront_socket *socket, const char *path)
{
	struct stat st;

	if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	return S_ISSOCK(st.st_mode) && st.st_dev == socket->path.dev &&
			       st.st_ino == socket->path.ino
		       ? 0
		       : -ESTALE;
}

int sfront_socket_explain_path(const struct sfront_socket *socket, const char *path,
			       struct sfront_error *err)
{
	int r = sfront_socket_verify_path(socket, path);

	switch (r) {
	case 0:
		return 0;
	case -ENOENT:
		return sfront_fail(err, r, "%s: the path is gone, no client reaches the socket",
				   socket->text);
	case -ESTALE:
		return sfront_fail(
			err, r, "%s: something else is at the path, no client reaches the socket",
			socket->text);
	default:
		return sfront_fail(err, r, "%s: the path cannot be looked at: %s", socket->text,
				   strerror(-r));
	}
}

/* Errors that are the waiting client's, or its network's, and not the listener's. */
static bool is_of_the_client(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case ETIMEDOUT:
		return true;
	default:
		return sfront_accept_is_forbidden(-error);
	}
}

/* Whether the client is, or may be, one of those who came before the options. */
static bool is_early(struct sfront_socket *socket)
{
	unsigned int n = __atomic_load_n(&socket->n_early, __ATOMIC_RELAXED);

	while (n > 0)
		if (__atomic_compare_exchange_n(&socket->n_early, &n, n - 1, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
	return false;
}

/*
 * Whether a client may have passed descriptors, and it cannot any more.  A connection has
 * what the listening socket had when the client came, and so have those of all who came later.
 */
static bool refuse_fds(struct sfront_socket *socket, int fd)
{
	int passes = 0;
	socklen_t len = sizeof(passes);

	if (getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &passes, &len) == 0 && passes) {
		set_int(fd, SOL_SOCKET, SO_PASSRIGHTS, 0);
		return true;
	}
	__atomic_store_n(&socket->has_early, false, __ATOMIC_RELAXED);
	return false;
}

/* What Linux does not let connections inherit.  No failure is a reason to turn a client away. */
static void set_up_connection(struct sfront_socket *socket, int fd)
{
	int send_buffer = __atomic_load_n(&socket->send_buffer, __ATOMIC_RELAXED);

	if (is_early(socket))
		(void)sfront_socket_apply(fd, CONNECTED(KINDS_OF(socket->target)), socket->text,
					  socket->early_options, NULL);
	if (socket->stream == SFRONT_STREAM_UNIX)
		set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	if (send_buffer > 0)
		set_int(fd, SOL_SOCKET, SO_SNDBUF, send_buffer);
}

/* Whether accept() may wait for a client, as the socket may be blocking by then. */
static bool would_wait(struct sfront_socket *socket)
{
	struct pollfd pollfd = { .fd = socket->fd, .events = POLLIN };

	return __atomic_load_n(&socket->bent, __ATOMIC_RELAXED) && poll(&pollfd, 1, 0) == 0;
}

int sfront_socket_accept(struct sfront_socket *socket, struct sfront_connection *ret_connection)
{
	/* Asked first: after a later client, another thread says that there are no more of them. */
	bool has_early = __atomic_load_n(&socket->has_early, __ATOMIC_RELAXED);
	struct sfront_sockaddr peer;
	int fd = -1;

	for (int i = 0; i < ACCEPT_TRIES && fd < 0; i++) {
		if (would_wait(socket))
			return -EAGAIN;
		peer.len = sizeof(peer.sa);
		fd = accept4(socket->fd, &peer.sa.any, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && !is_of_the_client(errno))
			return -errno;
	}
	/* A firewall may forbid one client, a security module every one. */
	if (fd < 0)
		return sfront_accept_is_forbidden(-errno) ? -errno : -EAGAIN;

	set_up_connection(socket, fd);
	*ret_connection = (struct sfront_connection){
		.read_fd = fd,
		.write_fd = fd,
		.read_stream = socket->stream,
		.write_stream = socket->stream,
		.fds_may_come = has_early && refuse_fds(socket, fd),
		.peer = peer,
	};
	return 0;
}

void sfront_socket_close(struct sfront_socket *socket)
{
	close(socket->fd);
}

int sfront_socket_release(struct sfront_socket *socket)
{
	return socket->fd;
}
