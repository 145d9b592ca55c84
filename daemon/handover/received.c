/* SPDX-License-Identifier: MIT */
/*
 * Sockets that wait for their listeners: see received.h.
 */
#include "daemon/handover/received.h"

#include <limits.h>
#include <sockfront/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/notify.h"
#include "daemon/handover/fdstore.h"
#include "daemon/handover/socket_name.h"
#include "daemon/proxy/listener.h"

/* For systemd to let go of a socket. */
#define PATIENCE_S 5

/* As many addresses as a host name can have. */
#define SOCKETS_MAX 64

struct waiting {
	char name[SOCKET_NAME_SIZE]; /* first: names are compared with it */
	int fd;                      /* owned; -1: taken, or closed */
	bool is_systemds;
	bool taken;
};

static struct {
	struct waiting *all; /* owned array, in the order in which they came */
	size_t n, size;
	struct waiting **by_name; /* owned array, made when all have come; the same order within a
				     name */
} received;

static bool add(const char *name, int fd, bool is_systemds)
{
	struct waiting *waiting;

	if (received.n == received.size) {
		size_t size = received.size * 2 + 16;

		waiting = reallocarray(received.all, size, sizeof(*waiting));
		if (!waiting) {
			close(fd);
			return false;
		}
		received.all = waiting;
		received.size = size;
	}
	waiting = &received.all[received.n++];
	*waiting = (struct waiting){ .fd = fd, .is_systemds = is_systemds };
	snprintf(waiting->name, sizeof(waiting->name), "%s", name);
	return true;
}

bool received_add(const char *name, int fd)
{
	return add(name, fd, false);
}

void received_add_kept(void)
{
	struct sfront_inherited inherited;

	if (sfront_inherited_reserve(SOCKET_NAME_PREFIX) <= 0)
		return;
	for (size_t i = 0; sfront_inherited_at(i, &inherited) == 0; i++) {
		if (!socket_name_is_ours(inherited.name))
			continue;
		fdstore_note_kept(inherited.name);
		(void)add(inherited.name, inherited.fd, true);
	}
}

bool received_was_taken(size_t index)
{
	return index < received.n && received.all[index].taken;
}

static void close_waiting(struct waiting *waiting)
{
	if (waiting->fd >= 0)
		close(waiting->fd);
	waiting->fd = -1;
}

/* ---- those without a line ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The names that the lines of a configuration want, sorted; an array for the caller to free. */
static char (*wanted_names(const struct config *config, size_t *ret_n))[SOCKET_NAME_SIZE]
{
	char(*names)[SOCKET_NAME_SIZE];
	struct listen_section section;
	size_t n = 0;

	for (size_t i = 0; config_listen_section(config, i, &section); i++)
		n += section.n;
	names = calloc(n, sizeof(*names));
	if (!names)
		return NULL;
	*ret_n = 0;
	for (size_t i = 0; config_listen_section(config, i, &section); i++)
		for (size_t j = 0; j < section.n; j++)
			socket_name_format_wanted(&section.lines[j], names[(*ret_n)++]);
	qsort(names, n, sizeof(*names), compare_names);
	return names;
}

/*
 * Whether it was opened for that path, which leads to it still.
 *
 * @ret: the path as an address
 */
static bool is_at(const struct waiting *waiting, const char *path, struct sfront_address *ret)
{
	struct listen_config listen = { 0 };
	struct sfront_error ignored;
	char name[SOCKET_NAME_SIZE];

	if (sfront_address_parse(path, &listen.address, &ignored) < 0 ||
	    listen.address.kind != SFRONT_UNIX)
		return false;
	socket_name_format_wanted(&listen, name);
	*ret = listen.address;
	return strcmp(name, waiting->name) == 0;
}

/* As "./app.sock" is typed, which is bound by its absolute path; NULL: it is not below here. */
static const char *relative_to_here(char *path)
{
	char here[PATH_MAX];
	size_t len;

	if (!getcwd(here, sizeof(here)))
		return NULL;
	len = strcmp(here, "/") == 0 ? 0 : strlen(here);
	if (len == 0 || strncmp(path, here, len) != 0 || path[len] != '/')
		return NULL;
	path[len - 1] = '.';
	return path + len - 1;
}

/* The UNIX path of a socket, if that is the socket's still. */
static bool find_path(const struct waiting *waiting, struct sfront_address *ret)
{
	struct sfront_sockaddr bound = { .len = sizeof(bound.sa) };
	char path[SFRONT_ADDRESS_TEXT_SIZE];
	const char *relative;

	if (getsockname(waiting->fd, &bound.sa.any, &bound.len) < 0 ||
	    bound.sa.any.sa_family != AF_UNIX)
		return false;
	sfront_sockaddr_format(&bound, path, sizeof(path));
	if (is_at(waiting, path, ret))
		return true;
	relative = relative_to_here(path);
	return relative && is_at(waiting, relative, ret);
}

/*
 * Closes one that nobody will listen on any more, with its path.  systemd's copy listens
 * too, until it hears that it is not wanted: returns whether that has to be waited for.
 */
static bool give_up(struct waiting *waiting)
{
	struct sfront_listener *open = NULL;
	struct sfront_address address;
	struct sfront_error ignored;
	bool listens;

	fdstore_forget_name(waiting->name);
	if (find_path(waiting, &address) &&
	    sfront_listener_adopt(&address, &waiting->fd, 1, NULL, &open, &ignored) < 0)
		open = NULL;
	listens = shutdown(waiting->fd, SHUT_RDWR) < 0; /* vsock cannot */
	if (open)
		waiting->fd = -1;
	sfront_listener_close(open); /* which removes the path */
	return listens;
}

void received_close_strangers(const struct config *config)
{
	char(*wanted)[SOCKET_NAME_SIZE];
	size_t n_wanted = 0;
	bool waits = false;

	if (received.n == 0)
		return;
	wanted = wanted_names(config, &n_wanted);
	for (size_t i = 0; i < received.n && wanted; i++) {
		struct waiting *waiting = &received.all[i];

		if (bsearch(waiting->name, wanted, n_wanted, sizeof(*wanted), compare_names))
			continue;
		log_line(LOG_DEBUG, "%s: nothing listens there any more", waiting->name);
		if (waiting->is_systemds)
			waits |= give_up(waiting);
		close_waiting(waiting);
	}
	free(wanted);
	if (waits)
		notify_barrier(PATIENCE_S);
}

/* ---- those with one ---- */

/* By name; and of one name, as they came. */
static int compare_waiting(const void *a, const void *b)
{
	const struct waiting *one = *(struct waiting *const *)a;
	const struct waiting *other = *(struct waiting *const *)b;
	int r = strcmp(one->name, other->name);

	return r != 0 ? r : (one > other) - (one < other);
}

static bool sort(void)
{
	if (received.by_name)
		return true;
	received.by_name = calloc(received.n, sizeof(struct waiting *));
	if (!received.by_name)
		return false;
	for (size_t i = 0; i < received.n; i++)
		received.by_name[i] = &received.all[i];
	qsort(received.by_name, received.n, sizeof(struct waiting *), compare_waiting);
	return true;
}

/* The place of the first of that name, or of what would follow it. */
static size_t lower_bound(const char *name)
{
	size_t low = 0, high = received.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(received.by_name[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Those of that name.  Returns how many. */
static size_t find(const char *name, struct waiting **found)
{
	size_t n = 0;

	if (received.n == 0 || !sort())
		return 0;
	for (size_t i = lower_bound(name); i < received.n && n < SOCKETS_MAX; i++) {
		if (strcmp(received.by_name[i]->name, name) != 0)
			break;
		if (received.by_name[i]->fd >= 0)
			found[n++] = received.by_name[i];
	}
	return n;
}

/* Whoever handed them over goes on with the options that they have, if this process fails. */
static struct listener *adopt(const struct listen_config *listen,
			      const struct sfront_options *options, struct waiting **found,
			      size_t n)
{
	struct sfront_listener *open;
	struct listener *listener;
	struct sfront_error err;
	int fds[SOCKETS_MAX];

	for (size_t i = 0; i < n; i++)
		fds[i] = found[i]->fd;
	if (sfront_listener_adopt(&listen->address, fds, n, NULL, &open, &err) < 0) {
		log_line(LOG_WARNING, "%s; it is opened anew", err.message);
		return NULL;
	}
	listener = listener_new(&listen->address, listen->nth, options, open);
	if (!listener) {
		listener_close_unshared(open);
	} else {
		listener->is_shared = true;
		listener->is_adopted = true;
	}
	for (size_t i = 0; i < n; i++) {
		found[i]->fd = -1;
		found[i]->taken = listener;
	}
	return listener;
}

struct listener *received_find(void *data, const struct listen_config *listen,
			       const struct sfront_options *options)
{
	struct waiting *found[SOCKETS_MAX];
	struct listener *listener;
	char name[SOCKET_NAME_SIZE];
	size_t n;

	(void)data;
	socket_name_format_wanted(listen, name);
	n = find(name, found);
	if (n == 0)
		return NULL;
	listener = adopt(listen, options, found, n);
	if (listener)
		return listener;
	fdstore_forget_name(name);
	for (size_t i = 0; i < n; i++)
		close_waiting(found[i]);
	if (found[0]->is_systemds)
		notify_barrier(PATIENCE_S);
	return NULL;
}

void received_close_rest(void)
{
	for (size_t i = 0; i < received.n; i++)
		close_waiting(&received.all[i]);
	free(received.by_name);
	received.by_name = NULL;
}
