/* SPDX-License-Identifier: MIT */
/*
 * What to do about inherited sockets that no proxy has: see untaken.h.  sd-listen:NAME
 * takes every descriptor of its name, so that what it would do depends on all of them.
 */
#include "daemon/handover/untaken.h"

#include <errno.h>
#include <sockfront/listener.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/log.h"
#include "daemon/handover/socket_name.h"

struct passed {
	struct sfront_inherited inherited;
	const char *unfit; /* what it is, if nothing can be accepted from it; or NULL */
};

/* Those of one name. */
struct group {
	const struct passed *passed;
	size_t n;
	const struct passed *taken, *unfit; /* one of them, or NULL */
};

static int get_option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

static const char *what_is_unfit(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int domain = get_option(fd, SO_DOMAIN);

	switch (get_option(fd, SO_TYPE)) {
	case -1:
		return "no socket";
	case SOCK_DGRAM:
		return "a datagram socket";
	case SOCK_SEQPACKET:
		return "a socket of packets";
	case SOCK_STREAM:
		break;
	default:
		return "no stream socket";
	}
	if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX && domain != AF_VSOCK)
		return "of another address family";
	if (get_option(fd, SO_ACCEPTCONN) != 1 &&
	    getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		return "a socket that does not listen";
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const struct sfront_inherited *one = &((const struct passed *)a)->inherited;
	const struct sfront_inherited *other = &((const struct passed *)b)->inherited;
	int r = strcmp(one->name, other->name);

	return r != 0 ? r : (one->fd > other->fd) - (one->fd < other->fd);
}

/* All that was passed, by name; an array for the caller to free.  Returns how many, or -errno. */
static int list_passed(struct passed **ret)
{
	struct sfront_inherited inherited;
	struct passed *all = NULL, *longer;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; (r = sfront_inherited_at(i, &inherited)) == 0; i++) {
		if (socket_name_is_ours(inherited.name))
			continue;
		/* Doubled at each power of two. */
		longer = n & (n - 1) ? all : reallocarray(all, n ? n * 2 : 1, sizeof(*all));
		if (!longer) {
			free(all);
			return -ENOMEM;
		}
		all = longer;
		all[n].inherited = inherited;
		all[n++].unfit = what_is_unfit(inherited.fd);
	}
	if (n > 0)
		qsort(all, n, sizeof(*all), compare);
	*ret = all;
	return r == -ENOENT ? (int)n : r;
}

/* What the library calls one without a name in LISTEN_FDNAMES. */
#define NAMELESS "unknown"

/* Whether sd-listen:NAME can name them: "*" and some others mean something else. */
static bool can_be_named(const char *name)
{
	struct sfront_address address;
	struct sfront_error ignored;
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	if (strcmp(name, NAMELESS) == 0 ||
	    snprintf(text, sizeof(text), "sd-listen:%s", name) >= (int)sizeof(text))
		return false;
	return sfront_address_parse(text, &address, &ignored) == 0 &&
	       address.kind == SFRONT_SD_LISTEN &&
	       address.u.sd_listen.which == SFRONT_SD_LISTEN_NAMED &&
	       strcmp(address.u.sd_listen.name, name) == 0;
}

static void format_advice(const struct passed *passed, const struct group *group, char *buf,
			  size_t size)
{
	const char *name = passed->inherited.name;
	int fd = passed->inherited.fd;

	if (!can_be_named(name))
		snprintf(buf, size, "listen on accept-from-fd:%d as well", fd);
	else if (group->unfit)
		snprintf(buf, size,
			 "listen on accept-from-fd:%d as well (sd-listen:%s would take descriptor "
			 "%d, too, which is %s)",
			 fd, name, group->unfit->inherited.fd, group->unfit->unfit);
	else if (group->taken)
		snprintf(buf, size,
			 "listen on accept-from-fd:%d as well, or on sd-listen:%s in place of what "
			 "has descriptor %d",
			 fd, name, group->taken->inherited.fd);
	else
		snprintf(buf, size, "listen on sd-listen:%s as well", name);
}

static void warn(const struct passed *passed, const struct group *group)
{
	char advice[512];

	if (passed->inherited.taken)
		return;
	if (passed->unfit) {
		log_line(LOG_WARNING,
			 "inherited descriptor %d (name \"%s\") is %s, which no proxy can accept "
			 "from: leave it out of the .socket unit",
			 passed->inherited.fd, passed->inherited.name, passed->unfit);
		return;
	}
	format_advice(passed, group, advice, sizeof(advice));
	log_line(LOG_WARNING,
		 "inherited descriptor %d (name \"%s\") is used by no listen line: its clients "
		 "will hang; %s",
		 passed->inherited.fd, passed->inherited.name, advice);
}

/* Those that have the name of the first. */
static struct group group_of(const struct passed *first, size_t n)
{
	struct group group = { .passed = first };

	while (group.n < n && strcmp(first[group.n].inherited.name, first->inherited.name) == 0) {
		const struct passed *passed = &first[group.n++];

		if (passed->inherited.taken && !group.taken)
			group.taken = passed;
		if (passed->unfit && !group.unfit)
			group.unfit = passed;
	}
	return group;
}

void untaken_warn(void)
{
	struct passed *all = NULL;
	struct group group;
	int n = list_passed(&all);

	if (n < 0 && n != -ENOMEM)
		log_line(LOG_WARNING,
			 "LISTEN_FDS, LISTEN_PID or LISTEN_FDNAMES is malformed; no descriptor was "
			 "inherited");
	for (int i = 0; all && i < n; i += (int)group.n) {
		group = group_of(&all[i], (size_t)(n - i));
		for (size_t j = 0; j < group.n; j++)
			warn(&group.passed[j], &group);
	}
	free(all);
}
