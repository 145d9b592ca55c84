/* SPDX-License-Identifier: MIT */
/*
 * What each option of the table (option_table.c) does to a socket of any kind.
 * Built with the table, or left out with it.
 */
#include <sys/socket.h> /* before <linux/vm_sockets.h>, which needs it in older versions */

#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Options that are one setsockopt() of an int. */
static const struct {
	enum sfront_option_id option;
	unsigned int kinds; /* of socket that it is set on */
	int level;
	int name;
	bool always; /* set to the default where the user says nothing */
} integers[] = {
	{ OPTION_REUSE_PORT, KIND_TCP, SOL_SOCKET, SO_REUSEPORT, false },
	{ OPTION_ONLY_V6, KIND_TCP6, IPPROTO_IPV6, IPV6_V6ONLY, false },
	{ OPTION_NODELAY, KIND_TCP, IPPROTO_TCP, TCP_NODELAY, true },
	{ OPTION_USER_TIMEOUT, KIND_TCP, IPPROTO_TCP, TCP_USER_TIMEOUT, false },
	{ OPTION_FAST_OPEN, KIND_TCP, IPPROTO_TCP, TCP_FASTOPEN, false },
	{ OPTION_DEFER_ACCEPT, KIND_TCP, IPPROTO_TCP, TCP_DEFER_ACCEPT, false },
	{ OPTION_FREEBIND, KIND_TCP4, IPPROTO_IP, IP_FREEBIND, false },
	{ OPTION_FREEBIND, KIND_TCP6, IPPROTO_IPV6, IPV6_FREEBIND, false },
	{ OPTION_TRANSPARENT, KIND_TCP4, IPPROTO_IP, IP_TRANSPARENT, false },
	{ OPTION_TRANSPARENT, KIND_TCP6, IPPROTO_IPV6, IPV6_TRANSPARENT, false },
	{ OPTION_MARK, KIND_TCP, SOL_SOCKET, SO_MARK, false },
	/* An IPv6 socket may carry IPv4 too. */
	{ OPTION_TYPE_OF_SERVICE, KIND_TCP, IPPROTO_IP, IP_TOS, false },
	{ OPTION_TYPE_OF_SERVICE, KIND_TCP6, IPPROTO_IPV6, IPV6_TCLASS, false },
};

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int refuse_option(const char *text, enum sfront_option_id option, int error,
			 struct sfront_error *err)
{
	const char *hint = "";

	if (error == -EPERM)
		hint = " (it needs root or CAP_NET_ADMIN)";
	else if (error == -ENOPROTOOPT || error == -EOPNOTSUPP)
		hint = " (this kernel or kind of socket lacks it)";
	else if (error == -ENODEV)
		hint = " (the interfaces are listed by: ip link)";
	else if (option == OPTION_CONGESTION && error == -ENOENT)
		hint = " (see net.ipv4.tcp_available_congestion_control)";
	return sfront_fail(err, error, "%s: %s cannot be set: %s%s", text,
			   sfront_option_name(option), strerror(-error), hint);
}

static bool get_int(int fd, int level, int name, int *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(fd, level, name, ret, &len) == 0;
}

/* Whether whoever made the socket has set it already, who may have had a right that we lack. */
static bool has_number(int fd, size_t row, const struct sfront_options *options)
{
	int is;

	return get_int(fd, integers[row].level, integers[row].name, &is) &&
	       is == sfront_option_number(options, integers[row].option);
}

static int apply_integers(int fd, unsigned int target, const char *text,
			  const struct sfront_options *options, struct sfront_error *err)
{
	int r;

	for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
		bool given = sfront_option_given(options, integers[i].option);

		if (!given && !integers[i].always)
			continue;
		if (!(EVERY(integers[i].kinds) & target) ||
		    !sfront_option_applies(integers[i].option, target))
			continue;
		r = set_int(fd, integers[i].level, integers[i].name,
			    sfront_option_number(options, integers[i].option));
		if (r < 0 && given && !has_number(fd, i, options))
			return refuse_option(text, integers[i].option, r, err);
	}
	if (sfront_option_given(options, OPTION_FAST_OPEN) && options->fast_open > 0 &&
	    (target & EVERY(KIND_TCP)) &&
	    !(sfront_sysctl("/proc/sys/net/ipv4/tcp_fastopen", 2) & 2))
		sfront_warn(options,
			    "%s: tcp-fast-open has no effect while net.ipv4.tcp_fastopen lacks the "
			    "server's bit (2)",
			    text);
	return 0;
}

static int apply_words(int fd, unsigned int target, const char *text,
		       const struct sfront_options *options, struct sfront_error *err)
{
	const struct {
		enum sfront_option_id option;
		int level;
		int name;
		const char *value;
	} words[] = {
		{ OPTION_DEVICE, SOL_SOCKET, SO_BINDTODEVICE, options->device },
		{ OPTION_CONGESTION, IPPROTO_TCP, TCP_CONGESTION, options->congestion },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!sfront_option_given(options, words[i].option) ||
		    !sfront_option_applies(words[i].option, target))
			continue;
		if (setsockopt(fd, words[i].level, words[i].name, words[i].value,
			       (socklen_t)strlen(words[i].value)) < 0)
			return refuse_option(text, words[i].option, -errno, err);
	}
	return 0;
}

/* The kernel doubles what is asked for, and cuts it to a limit without a word. */
static int apply_buffer(int fd, const char *text, enum sfront_option_id option,
			const struct sfront_options *options, struct sfront_error *err)
{
	int name = option == OPTION_RECV_BUFFER ? SO_RCVBUF : SO_SNDBUF;
	int size = sfront_option_number(options, option), got = 0, r;
	socklen_t len = sizeof(got);

	if (!sfront_option_given(options, option))
		return 0;
	r = set_int(fd, SOL_SOCKET, name, size);
	if (r < 0)
		return refuse_option(text, option, r, err);
	if (getsockopt(fd, SOL_SOCKET, name, &got, &len) == 0 && got / 2 < size)
		sfront_warn(options, "%s: %s is cut down from %d to %d bytes by net.core.%s", text,
			    sfront_option_name(option), size, got / 2,
			    name == SO_RCVBUF ? "rmem_max" : "wmem_max");
	return 0;
}

/* vsock has one buffer, that for what is received; the peer's bounds what can be sent. */
static int apply_vsock_buffer(int fd, const char *text, const struct sfront_options *options,
			      struct sfront_error *err)
{
	enum sfront_option_id option = OPTION_RECV_BUFFER;
	uint64_t size, got = 0;
	socklen_t len = sizeof(got);

	if (options->send_buffer > options->recv_buffer)
		option = OPTION_SEND_BUFFER;
	size = (uint64_t)sfront_option_number(options, option);
	if (size == 0)
		return 0;

	if (setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &size, sizeof(size)) < 0 ||
	    setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &size, sizeof(size)) < 0)
		return refuse_option(text, option, -errno, err);
	if (getsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &got, &len) == 0 && got != size)
		sfront_warn(options, "%s: %s is changed from %llu to %llu bytes by the kernel",
			    text, sfront_option_name(option), (unsigned long long)size,
			    (unsigned long long)got);
	return 0;
}

static int apply_buffers(int fd, unsigned int target, const char *text,
			 const struct sfront_options *options, struct sfront_error *err)
{
	int r = 0;

	if (target & EVERY(KIND_VSOCK))
		return apply_vsock_buffer(fd, text, options, err);
	if (!(target & EVERY(KIND_UNIX)))
		r = apply_buffer(fd, text, OPTION_RECV_BUFFER, options, err);
	else if (sfront_option_given(options, OPTION_RECV_BUFFER))
		sfront_warn(
			options,
			"%s: recv-buffer-size bounds nothing on a UNIX socket; what waits there "
			"is bounded by the sender's send-buffer-size",
			text);
	if (r < 0)
		return r;
	return apply_buffer(fd, text, OPTION_SEND_BUFFER, options, err);
}

int sfront_socket_apply(int fd, unsigned int target, const char *text,
			const struct sfront_options *options, struct sfront_error *err)
{
	int r;

	/* Whatever relays the stream must never meet a byte outside of it. */
	if (target & EVERY(KIND_TCP | KIND_UNIX))
		set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);

	/* A client that could pass descriptors would have them closed here, which can take long. */
	if (target & EVERY(KIND_UNIX))
		set_int(fd, SOL_SOCKET, SO_PASSRIGHTS, 0);

	r = apply_buffers(fd, target, text, options, err);
	if (r == 0)
		r = apply_integers(fd, target, text, options, err);
	if (r == 0)
		r = apply_words(fd, target, text, options, err);
	if (r < 0)
		return r;

	if (!sfront_option_given(options, OPTION_KEEPALIVE) ||
	    !sfront_option_applies(OPTION_KEEPALIVE, target))
		return 0;
	if (options->keepalive_is_suspect)
		sfront_warn(
			options,
			"%s: tcp-keepalive: the first time is in milliseconds and rounded up to "
			"one second, so that a silent client is probed each second; seconds are "
			"written as in 60s",
			text);
	r = sfront_keepalive_apply(fd, &options->keepalive);
	return r < 0 ? refuse_option(text, OPTION_KEEPALIVE, r, err) : 0;
}

/* What becomes of an option when an open socket goes over to others. */
enum fate {
	FATE_NONE,  /* it is the same, or does nothing to such a socket */
	FATE_SET,   /* to what was given, or back to its default */
	FATE_FIXED, /* it works only before bind() */
	FATE_KEPT,  /* what the socket had without it is not known, or cannot be had again */
};

static bool is_own(unsigned int target)
{
	return (target & OWN(ANY_KIND)) != 0;
}

/* Whether the default, which @to has where nothing was given, can be set. */
static bool has_default(enum sfront_option_id option, unsigned int target)
{
	switch (option) {
	case OPTION_NODELAY:
	case OPTION_ACCEPT_PROXY_PROTOCOL: /* the listener's, not the socket's */
		return true;
	case OPTION_KEEPALIVE:
	case OPTION_BACKLOG:
	case OPTION_USER_TIMEOUT:
	case OPTION_FAST_OPEN:
	case OPTION_DEFER_ACCEPT:
	case OPTION_MARK:
	case OPTION_TYPE_OF_SERVICE:
		return is_own(target); /* else it is its owner's */
	default:
		return false;
	}
}

/* Options that the socket itself does not have: they count when it is opened, or are its path's. */
static bool is_of_opening(enum sfront_option_id option)
{
	return option == OPTION_UNIX_UNLINK || option == OPTION_UNIX_MODE ||
	       option == OPTION_UNIX_UID || option == OPTION_UNIX_GID ||
	       option == OPTION_SD_IGNORE_ENVIRONMENT;
}

/* The target whose options are those that a listening socket of @target takes while open. */
static unsigned int open_target(unsigned int target)
{
	return is_own(target) ? INHERITED(target) : target;
}

static void warn_of_fixed(const char *text, enum sfront_option_id option,
			  const struct sfront_options *options)
{
	sfront_warn(options,
		    "%s: %s cannot be changed while the socket is open; it takes effect once that "
		    "is closed and opened anew (a stop and a start)",
		    text, sfront_option_name(option));
}

static bool is_noted(const struct sfront_socket *socket, enum sfront_option_id option)
{
	return socket->had && sfront_option_given(socket->had, option);
}

static enum fate fate_of(enum sfront_option_id option, const struct sfront_socket *socket,
			 const struct sfront_options *from, const struct sfront_options *to)
{
	bool buffer = option == OPTION_SEND_BUFFER || option == OPTION_RECV_BUFFER;
	unsigned int target = socket->target;

	if (is_of_opening(option) || !sfront_option_applies(option, target) ||
	    !sfront_option_differs(option, from, to))
		return FATE_NONE;
	if (!sfront_option_applies(option, open_target(target)))
		return FATE_FIXED;
	if (sfront_option_given(to, option) || is_noted(socket, option) ||
	    has_default(option, target))
		return FATE_SET;
	/* Connections do not have them of the listening UNIX socket. */
	return buffer && (target & EVERY(KIND_UNIX)) ? FATE_NONE : FATE_KEPT;
}

static bool note_keepalive(int fd, struct sfront_keepalive *ret)
{
	int on;

	if (!get_int(fd, SOL_SOCKET, SO_KEEPALIVE, &on) ||
	    !get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, &ret->time_s) ||
	    !get_int(fd, IPPROTO_TCP, TCP_KEEPCNT, &ret->count) ||
	    !get_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, &ret->interval_s))
		return false;
	ret->on = on;
	return true;
}

static bool note_number(int fd, enum sfront_option_id option, struct sfront_options *had)
{
	int number;
	size_t i = 0;

	while (integers[i].option != option)
		i++;
	if (!get_int(fd, integers[i].level, integers[i].name, &number))
		return false;
	sfront_option_set_number(had, option, number);
	return true;
}

/* Whether it was noted. */
static bool note(int fd, enum sfront_option_id option, struct sfront_options *had)
{
	socklen_t len = sizeof(had->congestion);

	switch (option) {
	case OPTION_KEEPALIVE:
		return note_keepalive(fd, &had->keepalive);
	case OPTION_CONGESTION:
		return getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, had->congestion, &len) == 0;
	case OPTION_USER_TIMEOUT:
	case OPTION_FAST_OPEN:
	case OPTION_DEFER_ACCEPT:
	case OPTION_MARK:
	case OPTION_TYPE_OF_SERVICE:
		return note_number(fd, option, had);
	default:
		return false;
	}
}

int sfront_socket_note(int fd, unsigned int target, const struct sfront_options *options,
		       struct sfront_options **had)
{
	struct sfront_options noted = *had ? **had : sfront_default_options;

	for (unsigned int i = 0; i < OPTIONS_COUNT; i++)
		if (sfront_option_given(options, i) && !sfront_option_given(&noted, i) &&
		    sfront_option_applies(i, open_target(target)) && note(fd, i, &noted))
			noted.given |= 1u << i;
	if (noted.given == 0)
		return 0;
	if (!*had)
		*had = malloc(sizeof(**had));
	if (!*had)
		return -ENOMEM;
	**had = noted;
	return 0;
}

/* A part that @from set and @to leaves to the system has to be set to what that is. */
static struct sfront_keepalive keepalive_instead(const struct sfront_keepalive *from,
						 const struct sfront_keepalive *to)
{
	struct sfront_keepalive instead = *to;

	if (from->time_s && !to->time_s)
		instead.time_s = (int)sfront_sysctl("/proc/sys/net/ipv4/tcp_keepalive_time", 7200);
	if (from->count && !to->count)
		instead.count = (int)sfront_sysctl("/proc/sys/net/ipv4/tcp_keepalive_probes", 9);
	if (from->interval_s && !to->interval_s)
		instead.interval_s =
			(int)sfront_sysctl("/proc/sys/net/ipv4/tcp_keepalive_intvl", 75);
	return instead;
}

/* What no longer is given goes back to what was noted, or stays the default that @changes has. */
static void take_noted(struct sfront_options *changes, enum sfront_option_id option,
		       const struct sfront_options *had)
{
	if (option == OPTION_KEEPALIVE)
		changes->keepalive = had->keepalive;
	else if (option == OPTION_CONGESTION)
		memcpy(changes->congestion, had->congestion, sizeof(changes->congestion));
	else
		sfront_option_set_number(changes, option, sfront_option_number(had, option));
}

/* What is to be set, and that alone, as given. */
static struct sfront_options changes_of(const struct sfront_socket *socket,
					const struct sfront_options *from,
					const struct sfront_options *to)
{
	struct sfront_options changes = *to;

	changes.given = 0;
	changes.keepalive = keepalive_instead(&from->keepalive, &to->keepalive);
	for (unsigned int i = 0; i < OPTIONS_COUNT; i++) {
		if (fate_of(i, socket, from, to) != FATE_SET)
			continue;
		changes.given |= 1u << i;
		if (!sfront_option_given(to, i) && is_noted(socket, i))
			take_noted(&changes, i, socket->had);
	}
	/* One alone stands for both on vsock. */
	if (!sfront_option_given(&changes, OPTION_SEND_BUFFER) &&
	    !sfront_option_given(&changes, OPTION_RECV_BUFFER))
		changes.send_buffer = changes.recv_buffer = 0;
	return changes;
}

/* Probes that are turned off leave nothing for when they are turned on again. */
static void reset_keepalive(int fd, const struct sfront_options *changes)
{
	struct sfront_keepalive parts = changes->keepalive;

	if (!sfront_option_given(changes, OPTION_KEEPALIVE) || parts.on)
		return;
	parts.on = true;
	sfront_keepalive_apply(fd, &parts);
}

/* Whether the socket has it as @options says, as far as that can be told. */
static bool has_it(int fd, enum sfront_option_id option, const struct sfront_options *options)
{
	int is;

	for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++)
		if (integers[i].option == option &&
		    get_int(fd, integers[i].level, integers[i].name, &is))
			return !is == !sfront_option_number(options, option);
	return false;
}

static void warn_of_unchanged(const struct sfront_socket *socket, const struct sfront_options *from,
			      const struct sfront_options *to)
{
	for (unsigned int i = 0; i < OPTIONS_COUNT; i++) {
		enum fate fate = fate_of(i, socket, from, to);

		if (fate == FATE_FIXED && !has_it(socket->fd, i, to))
			warn_of_fixed(socket->text, i, to);
		else if (fate == FATE_KEPT && is_own(socket->target))
			sfront_warn(to,
				    "%s: %s stays as it was while the socket is open; its default "
				    "comes back once that is closed and opened anew (a stop and a "
				    "start)",
				    socket->text, sfront_option_name(i));
		else if (fate == FATE_KEPT)
			sfront_warn(to,
				    "%s: %s stays as it was: what the inherited socket had before "
				    "is not known",
				    socket->text, sfront_option_name(i));
	}
}

/* Options that @from gave were set before anybody could look. */
static int note_new(struct sfront_socket *socket, const struct sfront_options *from,
		    const struct sfront_options *to)
{
	struct sfront_options new = *to;

	new.given &= ~from->given;
	return sfront_socket_note(socket->fd, socket->target, &new, &socket->had);
}

/* What is no longer given was set back. */
static void forget_noted(struct sfront_socket *socket, const struct sfront_options *to)
{
	if (!socket->had)
		return;
	socket->had->given &= to->given;
	if (socket->had->given != 0)
		return;
	free(socket->had);
	socket->had = NULL;
}

int sfront_socket_change(struct sfront_socket *socket, const struct sfront_options *from,
			 const struct sfront_options *to, struct sfront_error *err)
{
	const struct sfront_options changes = changes_of(socket, from, to);
	int r = note_new(socket, from, to);

	if (r < 0)
		return sfront_fail(err, r, "%s: out of memory", socket->text);
	reset_keepalive(socket->fd, &changes);
	r = sfront_socket_apply(socket->fd, open_target(socket->target), socket->text, &changes,
				err);
	if (r < 0)
		return r;
	if (sfront_option_given(&changes, OPTION_BACKLOG) &&
	    listen(socket->fd, sfront_socket_backlog(socket->text, &changes)) < 0)
		return refuse_option(socket->text, OPTION_BACKLOG, -errno, err);
	warn_of_unchanged(socket, from, to);
	forget_noted(socket, to);
	return 0;
}

/* Whether it is Multipath TCP, as far as that can be told. */
static bool is_multipath(int fd)
{
	int protocol;

	return !get_int(fd, SOL_SOCKET, SO_PROTOCOL, &protocol) || protocol == IPPROTO_MPTCP;
}

static void warn_of_binder(const char *text, enum sfront_option_id option,
			   const struct sfront_options *options)
{
	sfront_warn(options,
		    "%s: %s has no effect on this inherited socket: whoever binds it sets that",
		    text, sfront_option_name(option));
}

void sfront_socket_compare(int fd, unsigned int target, const char *text,
			   const struct sfront_options *options)
{
	void (*warn)(const char *, enum sfront_option_id, const struct sfront_options *) =
		is_own(target) ? warn_of_fixed : warn_of_binder;

	for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
		enum sfront_option_id option = integers[i].option;

		if (sfront_option_given(options, option) &&
		    (integers[i].kinds & KINDS_OF(target)) &&
		    !sfront_option_applies(option, open_target(target)) &&
		    !has_it(fd, option, options))
			warn(text, option, options);
	}
	if (!is_own(target) && (target & INHERITED(KIND_TCP)) && options->mptcp &&
	    !is_multipath(fd))
		warn(text, OPTION_MPTCP, options);
}
