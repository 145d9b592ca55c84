/* SPDX-License-Identifier: MIT */
/*
 * inotify on the socket files themselves: what else happens in their directories
 * wakes nobody.
 */
#include "daemon/control/path_watch.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sockfront/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/proxy/generation.h"

/* Removing a name changes the count of links of the file, which is an attribute. */
#define EVENTS (IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_DONT_FOLLOW)

static struct {
	int fd; /* valid while .generation is set */
	struct event event;
	struct generation *generation;
} watch;

/* The path that a socket with that address is bound to; NULL: to none, or to a relative one. */
static const char *path_of(const struct sfront_sockaddr *local)
{
	if (local->len == 0 || local->sa.any.sa_family != AF_UNIX ||
	    local->sa.un.sun_path[0] != '/')
		return NULL;
	return local->sa.un.sun_path;
}

/* ---- listeners of our own ---- */

static bool complain_if_lost(struct listener *listener, void *data)
{
	(void)data;
	if (listener->path_lost || !listener->open || sfront_listener_check(listener->open, 0) == 0)
		return false;
	listener->path_lost = true;
	log_line(LOG_WARNING,
		 "%s: the path was removed or replaced, and no client reaches this socket any "
		 "more; a reload (SIGHUP, with -c) or a restart binds it again",
		 listener->sockets[0].text);
	return true;
}

/* ---- those that somebody else has bound ---- */

static bool is_within(const char *path, const char *directory, size_t length)
{
	return length > 0 && strncmp(path, directory, length) == 0 && path[length] == '/';
}

/* Whether systemd removes @path when this service stops; it says so in a list with colons. */
static bool goes_with_the_service(const char *path)
{
	const char *directory = getenv("RUNTIME_DIRECTORY");

	while (directory && *directory) {
		size_t length = strcspn(directory, ":");

		if (is_within(path, directory, length))
			return true;
		directory += length + (directory[length] == ':');
	}
	return false;
}

static void warn_of_runtime_directory(struct listener_socket *socket, const char *path)
{
	if (socket->path_said || !goes_with_the_service(path))
		return;
	socket->path_said = true;
	log_line(
		LOG_WARNING,
		"%s: this inherited socket lies in the RuntimeDirectory= of this service: systemd "
		"removes the path when the service stops, an idle exit included, and clients get "
		"\"No such file or directory\" from then on; give the .socket unit a ListenStream= "
		"outside of it, or the service RuntimeDirectoryPreserve=yes",
		socket->text);
}

static void complain_if_removed(const struct listener *listener, size_t index)
{
	const struct sfront_sockaddr local = listener_local(listener, index);
	struct listener_socket *socket = &listener->sockets[index];
	const char *path = path_of(&local);
	struct stat st;

	if (!path || !socket->path_inode)
		return;
	if (lstat(path, &st) == 0 && st.st_dev == socket->path_device &&
	    st.st_ino == socket->path_inode)
		return;
	socket->path_inode = 0;
	log_line(LOG_WARNING,
		 "%s: the path of this inherited socket was removed or replaced, and no client "
		 "reaches it any more; a restart of the .socket unit (or whatever else bound it) "
		 "binds it again",
		 socket->text);
}

static bool add_inherited(const struct listener *listener, size_t index, int fd)
{
	const struct sfront_sockaddr local = listener_local(listener, index);
	struct listener_socket *socket = &listener->sockets[index];
	const char *path = path_of(&local);
	struct stat st;

	if (!path)
		return false;
	warn_of_runtime_directory(socket, path);
	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode) ||
	    inotify_add_watch(fd, path, EVENTS) < 0)
		return false;
	socket->path_device = st.st_dev;
	socket->path_inode = st.st_ino;
	return true;
}

/* ---- both ---- */

static bool complain(struct listener *listener, void *data)
{
	if (listener_is_own(listener))
		return complain_if_lost(listener, data);
	for (size_t i = 0; i < listener->n_sockets; i++)
		complain_if_removed(listener, i);
	return false;
}

static void watch_readable(evutil_socket_t fd, short what, void *arg)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	(void)what;
	(void)arg;
	while (read(fd, events, sizeof(events)) > 0)
		;
	(void)generation_each(watch.generation, complain, NULL);
}

static bool add_own(const struct listener *listener, int fd)
{
	const struct sfront_address address = listener_address(listener);

	return address.kind == SFRONT_UNIX &&
	       inotify_add_watch(fd, address.u.local.name, EVENTS) >= 0;
}

static bool add(struct listener *listener, void *data)
{
	int fd = *(const int *)data;
	bool added = false;

	if (listener_is_own(listener))
		return add_own(listener, fd);
	for (size_t i = 0; i < listener->n_sockets; i++)
		added |= add_inherited(listener, i, fd);
	return added;
}

static void watch_paths(struct event_base *base, struct generation *generation)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0)
		return;
	if (generation_each(generation, add, &fd) == 0) {
		close(fd);
		return;
	}
	watch.fd = fd;
	watch.generation = generation;
	event_assign(&watch.event, base, fd, EV_READ | EV_PERSIST, watch_readable, NULL);
	event_add(&watch.event, NULL);
}

void path_watch_start(struct event_base *base, struct generation *generation)
{
	path_watch_stop();
	watch_paths(base, generation);
	/* One may have gone before it was watched; if it was the only one, none is watched. */
	(void)generation_each(generation, complain, NULL);
}

void path_watch_stop(void)
{
	if (!watch.generation)
		return;
	event_del(&watch.event);
	close(watch.fd);
	watch.generation = NULL;
}
