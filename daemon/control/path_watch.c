/* SPDX-License-Identifier: MIT */
/*
 * inotify on the socket files themselves: what else happens in their directories
 * wakes nobody.
 */
#include "daemon/control/path_watch.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sockfront/listener.h>
#include <sys/inotify.h>
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

static void watch_readable(evutil_socket_t fd, short what, void *arg)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	(void)what;
	(void)arg;
	while (read(fd, events, sizeof(events)) > 0)
		;
	(void)generation_each(watch.generation, complain_if_lost, NULL);
}

static bool add(struct listener *listener, void *data)
{
	int fd = *(const int *)data;

	return listener->address.kind == SFRONT_UNIX &&
	       inotify_add_watch(fd, listener->address.u.local.name, EVENTS) >= 0;
}

void path_watch_start(struct event_base *base, struct generation *generation)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	path_watch_stop();
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
	/* One may have gone before it was watched. */
	(void)generation_each(generation, complain_if_lost, NULL);
}

void path_watch_stop(void)
{
	if (!watch.generation)
		return;
	event_del(&watch.event);
	close(watch.fd);
	watch.generation = NULL;
}
