/* SPDX-License-Identifier: MIT */
/*
 * HOST:PORT: listening TCP sockets, one for each address that the host has.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/internal.h"

/* More addresses of one name than anybody has; those past it are left out. */
#define CANDIDATES_MAX 32

/* How often a port that the kernel chose on one address may be taken on the next. */
#define FREE_PORT_TRIES 8

/* What is being opened: for messages, and to know how. */
struct attempt {
	const struct sfront_address *address;
	const struct sfront_options *options;
	struct sfront_sockaddr to;
	bool every; /* IPv6 and IPv4, shown as "*" */
	char text[SFRONT_ADDRESS_TEXT_SIZE];
};

static in_port_t *port_of(struct sfront_sockaddr *addr)
{
	return addr->sa.any.sa_family == AF_INET ? &addr->sa.in.sin_port : &addr->sa.in6.sin6_port;
}

static unsigned int kind_of(const struct sfront_sockaddr *addr)
{
	return addr->sa.any.sa_family == AF_INET ? KIND_TCP4 : KIND_TCP6;
}

/* "*:80", "[::1]:80", or "[::1]:80 (localhost:80)" */
static void attempt_name(struct attempt *attempt)
{
	char typed[SFRONT_ADDRESS_TEXT_SIZE], bound[SFRONT_ADDRESS_TEXT_SIZE / 4];

	sfront_address_format(attempt->address, typed, sizeof(typed));
	sfront_sockaddr_format(&attempt->to, bound, sizeof(bound));
	if (sfront_address_is_literal(attempt->address))
		snprintf(attempt->text, sizeof(attempt->text), "%s", typed);
	else
		snprintf(attempt->text, sizeof(attempt->text), "%s (%.280s)", bound, typed);
}

static int refuse_socket(const struct attempt *attempt, int error, struct sfront_error *err)
{
	if (error == -EAFNOSUPPORT)
		return sfront_fail(err, error, "%s: this machine has no %s", attempt->text,
				   kind_of(&attempt->to) == KIND_TCP4 ? "IPv4" : "IPv6");
	if (attempt->options->mptcp && !sfront_accept_should_pause(error))
		return sfront_fail(
			err, error,
			"%s: mptcp: this kernel has no Multipath TCP, or net.mptcp.enabled "
			"is 0 (%s)",
			attempt->text, strerror(-error));
	return sfront_fail(err, error, "%s: no socket can be made: %s", attempt->text,
			   strerror(-error));
}

static int refuse_bind(const struct attempt *attempt, int error, struct sfront_error *err)
{
	const char *text = attempt->text;

	switch (error) {
	case -EADDRINUSE:
		return sfront_fail(
			err, error,
			"%s: that port is taken already (ss -ltnp shows by whom; tcp-reuse-port "
			"shares it if both ask for it)",
			text);
	case -EACCES:
		return sfront_fail(
			err, error,
			"%s: no permission: ports below %ld need root, "
			"CAP_NET_BIND_SERVICE, or a systemd .socket unit and sd-listen",
			text, sfront_sysctl("/proc/sys/net/ipv4/ip_unprivileged_port_start", 1024));
	case -EADDRNOTAVAIL:
		return sfront_fail(
			err, error,
			"%s: this machine has no such address (ip address shows those that "
			"it has; ip-freebind binds it before it is there)",
			text);
	case -EINVAL:
		return sfront_fail(err, error,
				   "%s: the address cannot be bound; a link-local one needs its "
				   "interface, as in [fe80::1%%eth0]:80",
				   text);
	default:
		return sfront_fail(err, error, "%s: cannot listen: %s", text, strerror(-error));
	}
}

static int make_socket(const struct attempt *attempt, struct sfront_error *err)
{
	int family = attempt->to.sa.any.sa_family, on = 1, off = 0, fd, r;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    attempt->options->mptcp ? IPPROTO_MPTCP : 0);
	if (fd < 0)
		return refuse_socket(attempt, -errno, err);

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (attempt->every && family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)) {
		r = refuse_bind(attempt, -errno, err);
		goto fail;
	}
	r = sfront_socket_apply(fd, OWN(kind_of(&attempt->to)), attempt->text, attempt->options,
				err);
	if (r < 0)
		goto fail;
	return fd;

fail:
	close(fd);
	return r;
}

/* @dual: for every address, of IPv6 and of IPv4 */
static void show(struct sfront_socket *socket, bool dual)
{
	if (dual)
		snprintf(socket->text, SFRONT_ADDRESS_TEXT_SIZE, "*:%u",
			 ntohs(socket->local.sa.in6.sin6_port));
	else
		sfront_sockaddr_format(&socket->local, socket->text, SFRONT_ADDRESS_TEXT_SIZE);
}

/* Binds attempt->to and adds the socket to the listener. */
static int bind_one(struct sfront_listener *listener, struct attempt *attempt,
		    struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_socket socket = {
		.class = &sfront_tcp_class,
		.text = text,
		.target = OWN(kind_of(&attempt->to)),
		.stream = SFRONT_STREAM_TCP,
	};
	int r;

	attempt_name(attempt);
	socket.fd = make_socket(attempt, err);
	if (socket.fd < 0)
		return socket.fd;

	if (bind(socket.fd, &attempt->to.sa.any, attempt->to.len) < 0 ||
	    listen(socket.fd, sfront_socket_backlog(attempt->text, attempt->options)) < 0) {
		r = refuse_bind(attempt, -errno, err);
		goto fail;
	}
	r = sfront_socket_local(socket.fd, &socket.local);
	if (r < 0) {
		refuse_bind(attempt, r, err);
		goto fail;
	}
	show(&socket, attempt->every && attempt->to.sa.any.sa_family == AF_INET6 &&
			      !attempt->options->only_v6);
	r = sfront_listener_add(listener, &socket, err);
	if (r < 0)
		goto fail;
	return 0;

fail:
	close(socket.fd);
	return r;
}

/* Whether the error says that the machine lacks the family or the address. */
static bool is_lacking(int error)
{
	return error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL;
}

/* [::] for IPv6 and IPv4, or 0.0.0.0 where there is no IPv6. */
static int bind_every(struct sfront_listener *listener, struct attempt *attempt,
		      struct sfront_error *err)
{
	struct sfront_sockaddr in = { .len = sizeof(in.sa.in) };
	in_port_t port = *port_of(&attempt->to);
	int r;

	attempt->every = true;
	r = bind_one(listener, attempt, err);
	if (!is_lacking(r) || attempt->options->only_v6)
		return r;

	in.sa.in.sin_family = AF_INET;
	in.sa.in.sin_port = port;
	attempt->to = in;
	return bind_one(listener, attempt, err);
}

static void warn_of_skipped(const struct attempt *attempt, const struct sfront_sockaddr *skipped)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE], addr[SFRONT_ADDRESS_TEXT_SIZE / 4];

	sfront_address_format(attempt->address, text, sizeof(text));
	sfront_sockaddr_format(skipped, addr, sizeof(addr));
	sfront_warn(attempt->options, "%s: not listening on %s, which this machine lacks", text,
		    addr);
}

/*
 * Binds every candidate that the machine can.  A port that the kernel chose for
 * the first is wanted for all; -EADDRINUSE then says that another may do.
 */
static int bind_candidates(struct sfront_listener *listener, struct attempt *attempt,
			   const struct sfront_sockaddr *candidates, size_t n,
			   struct sfront_error *err)
{
	const struct sfront_sockaddr *skipped[CANDIDATES_MAX];
	size_t n_skipped = 0;
	in_port_t port = 0;
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		attempt->to = candidates[i];
		if (port != 0)
			*port_of(&attempt->to) = port;
		r = bind_one(listener, attempt, err);
		if (is_lacking(r)) {
			skipped[n_skipped++] = &candidates[i];
			continue;
		}
		if (r < 0)
			return r;
		port = *port_of(&listener->sockets[listener->n_sockets - 1].local);
	}
	if (n_skipped == n)
		return r;
	for (size_t i = 0; i < n_skipped; i++)
		warn_of_skipped(attempt, skipped[i]);
	return 0;
}

/* Tries again where the port that the kernel chose turns out to be taken elsewhere. */
static int bind_name(struct sfront_listener *listener, struct attempt *attempt,
		     struct sfront_sockaddr *candidates, size_t n, struct sfront_error *err)
{
	bool any_port = *port_of(&candidates[0]) == 0;
	size_t before = listener->n_sockets;
	int r = -EADDRINUSE;

	for (int i = 0; i < FREE_PORT_TRIES && r == -EADDRINUSE; i++) {
		sfront_listener_undo(listener, before);
		r = bind_candidates(listener, attempt, candidates, n, err);
		if (!any_port)
			break;
	}
	return r;
}

static int tcp_open(struct sfront_listener *listener, const struct sfront_address *address,
		    const struct sfront_options *options, struct sfront_error *err)
{
	struct attempt attempt = { .address = address, .options = options };
	struct sfront_sockaddr candidates[CANDIDATES_MAX];
	struct sfront_error last; /* an attempt may fail and the next succeed */
	int n, r;

	n = sfront_address_resolve(address, candidates, CANDIDATES_MAX, err);
	if (n < 0)
		return n;

	attempt.to = candidates[0];
	if (sfront_address_is_every(address))
		r = bind_every(listener, &attempt, &last);
	else
		r = bind_name(listener, &attempt, candidates, (size_t)n, &last);
	if (r < 0)
		sfront_fail(err, r, "%s", last.message);
	return r;
}

/* Whether a socket bound to @local is one that the host of @address, a literal, asks for. */
static int fits_host(const struct sfront_address *address, const struct sfront_sockaddr *local,
		     struct sfront_error *err)
{
	struct sfront_sockaddr wanted;
	int n;

	/* Where there was no IPv6, 0.0.0.0 was every address. */
	if (sfront_address_is_every(address) && local->sa.any.sa_family == AF_INET)
		return local->sa.in.sin_addr.s_addr == htonl(INADDR_ANY) ? 0 : -EINVAL;
	n = sfront_address_resolve(address, &wanted, 1, err);
	if (n < 0)
		return n;
	*port_of(&wanted) = local->sa.any.sa_family == AF_INET ? local->sa.in.sin_port
							       : local->sa.in6.sin6_port;
	return sfront_sockaddr_equal(&wanted, local) ? 0 : -EINVAL;
}

/* Which addresses a name had is not asked again: its port has to do. */
static int tcp_adopt(struct sfront_socket *socket, const struct sfront_address *address,
		     const struct sfront_options *options, struct sfront_error *err)
{
	uint16_t port;
	int r;

	(void)options;
	if (!(socket->target & OWN(KIND_TCP)))
		return -EINVAL;
	r = sfront_address_port(address, &port, err);
	if (r < 0)
		return r;
	if (port != 0 && *port_of(&socket->local) != htons(port))
		return -EINVAL;
	r = sfront_address_is_literal(address) ? fits_host(address, &socket->local, err) : 0;
	if (r < 0)
		return r;
	show(socket,
	     sfront_address_is_every(address) && sfront_socket_is_dual(socket->fd, &socket->local));
	return 0;
}

static bool machine_has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Whether IPv4 clients reach the socket, or not, as open() would have it. */
static bool fits_families(const struct sfront_socket *socket, const struct sfront_address *address,
			  const struct sfront_options *options)
{
	const struct sockaddr_in6 *in6 = &socket->local.sa.in6;

	if (in6->sin6_family == AF_INET)
		return !sfront_address_is_every(address) ||
		       (!options->only_v6 && !machine_has_ipv6());
	/* What [::] stands for is the system's, or that of whoever bound it, to say. */
	if (!IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr) ||
	    (!sfront_address_is_every(address) && !sfront_option_given(options, OPTION_ONLY_V6)))
		return true;
	return sfront_socket_is_dual(socket->fd, &socket->local) == !options->only_v6;
}

/* A name stands for whatever it resolves to, and port 0 for any: nothing is exactly that. */
static bool tcp_fits(const struct sfront_socket *socket, const struct sfront_address *address,
		     const struct sfront_options *options)
{
	struct sfront_sockaddr local = socket->local;
	uint16_t port;

	if (!(KINDS_OF(socket->target) & KIND_TCP) || !sfront_address_is_literal(address) ||
	    sfront_address_port(address, &port, NULL) < 0 || port == 0 ||
	    *port_of(&local) != htons(port) || fits_host(address, &local, NULL) < 0)
		return false;
	if (sfront_option_given(options, OPTION_DEVICE) &&
	    sfront_socket_verify_device(socket, options->device, NULL) < 0)
		return false;
	return fits_families(socket, address, options);
}

/* Whether the interface in the address is the one that the socket was bound to. */
static int verify_scope(const struct sfront_socket *socket, const struct sfront_address *address,
			struct sfront_error *err)
{
	struct sfront_sockaddr now;
	int n;

	if (!address->u.tcp.scope[0])
		return 0;
	n = sfront_address_resolve(address, &now, 1, err);
	if (n < 0)
		return n;
	if (now.sa.in6.sin6_scope_id == socket->local.sa.in6.sin6_scope_id)
		return 0;
	return sfront_fail(err, -ESTALE,
			   "%s: interface %s is another one than the socket was bound to",
			   socket->text, address->u.tcp.scope);
}

static int tcp_verify(const struct sfront_socket *socket, const struct sfront_address *address,
		      const struct sfront_options *options, struct sfront_error *err)
{
	bool given = sfront_option_given(options, OPTION_DEVICE);
	int r = verify_scope(socket, address, err);

	return r < 0 ? r : sfront_socket_verify_device(socket, given ? options->device : NULL, err);
}

const struct sfront_class sfront_tcp_class = {
	.name = "tcp",
	.open = tcp_open,
	.accept = sfront_socket_accept,
	.close = sfront_socket_close,
	.release = sfront_socket_release,
	.adopt = tcp_adopt,
	.fits = tcp_fits,
	.verify = tcp_verify,
};
