/* SPDX-License-Identifier: MIT */
/*
 * Hands the connections of any listener to an evhttp, which by itself takes
 * them from accept() alone.  Of libsockfront-event, above event.c and
 * event_bridge.c; the public header says how.
 *
 * The private socket, here the door, has a backlog of one, which our own
 * connection fills before evhttp is shown it: nobody else can come in.
 *
 *	OPEN --(a client is accepted)--> GUEST --(evhttp took the door's)--> CLOSED
 *	  ^                                                                    |
 *	  +---------------------(a new door could be made)--------------------+
 */
#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <sockfront/event.h>

#include "lib/adapter/event_bridge.h"

#define RETRY_MS 100

enum door_state {
	DOOR_CLOSED, /* there is none; retry makes one if it is wanted */
	DOOR_OPEN,   /* our connection waits in it; the acceptor runs */
	DOOR_GUEST   /* evhttp is about to take it; nobody else is accepted */
};

/* A connection that does not go to evhttp itself. */
struct carried {
	LIST_ENTRY(carried) entry;
	struct sfront_evhttp *server;
	struct bridge *bridge; /* owned */
	ino_t inode;           /* of the socket that evhttp has; 0 before */
};

struct sfront_evhttp {
	struct event_base *base;          /* borrowed */
	struct evhttp *http;              /* borrowed */
	struct sfront_listener *listener; /* borrowed */
	struct sfront_acceptor *acceptor; /* owned */
	struct sfront_evhttp_calls calls;
	void *data; /* the program's */

	enum door_state state;
	bool is_paused;                    /* by the program */
	struct evconnlistener *door;       /* belongs to .bound */
	struct evhttp_bound_socket *bound; /* belongs to .http, until it is taken off */
	int key;                           /* our connection to the door; -1: gone */
	struct sfront_connection guest;    /* in DOOR_GUEST, unless it is carried */
	struct carried *guest_carried;     /* the same, if it is */
	struct bufferevent *fresh;         /* a reference: what evhttp has for the guest */
	struct event *taken;               /* owned; active once evhttp took the guest */
	struct event *retry; /* owned; makes a door, or in DOOR_GUEST shows it again */

	bool over;         /* there will be no more */
	int error;         /* why; 0: it was stopped */
	struct event *end; /* owned; calls ended() */
	LIST_HEAD(, carried) carried;
};

static void accept_if_open(struct sfront_evhttp *server)
{
	if (!server->acceptor)
		return;
	if (server->state == DOOR_OPEN && !server->is_paused)
		sfront_acceptor_resume(server->acceptor);
	else
		sfront_acceptor_pause(server->acceptor);
}

static void enter(struct sfront_evhttp *server, enum door_state state)
{
	server->state = state;
	accept_if_open(server);
}

static void end_if_over(struct sfront_evhttp *server)
{
	if (server->over && server->state != DOOR_GUEST && LIST_EMPTY(&server->carried))
		event_active(server->end, EV_TIMEOUT, 0);
}

static void retry_later(struct sfront_evhttp *server)
{
	const struct timeval delay = { .tv_usec = RETRY_MS * 1000L };

	evtimer_add(server->retry, &delay);
}

/* Two sockets, one waiting to be accepted from the other.  Returns 0 or -errno. */
static int make_door(int *ret_door, int *ret_key)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(addr);
	int door, key, r;

	door = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (door < 0)
		return -errno;
	key = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (key < 0) {
		r = -errno;
		close(door);
		return r;
	}

	/* A name that the kernel chooses. */
	if (bind(door, (struct sockaddr *)&addr, sizeof(sa_family_t)) < 0 ||
	    getsockname(door, (struct sockaddr *)&addr, &len) < 0 || listen(door, 0) < 0 ||
	    connect(key, (struct sockaddr *)&addr, len) < 0) {
		r = -errno;
		close(door);
		close(key);
		return r;
	}
	*ret_door = door;
	*ret_key = key;
	return 0;
}

/*
 * evhttp's accept() failed, most likely for want of a descriptor.  What it is
 * called with is evhttp's; retry, which is pending all the time, goes on.
 */
static void door_failed(struct evconnlistener *door, void *arg)
{
	(void)arg;
	evconnlistener_disable(door);
}

static int open_door(struct sfront_evhttp *server)
{
	int fd = -1, r;

	r = make_door(&fd, &server->key);
	if (r < 0)
		return r;

	server->door = evconnlistener_new(
		server->base, NULL, NULL,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_DISABLED, 0, fd);
	server->bound = server->door ? evhttp_bind_listener(server->http, server->door) : NULL;
	if (!server->bound) {
		if (server->door)
			evconnlistener_free(server->door);
		else
			close(fd);
		close(server->key);
		server->key = -1;
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(server->door, door_failed);
	enter(server, DOOR_OPEN);
	return 0;
}

static void close_door(struct sfront_evhttp *server)
{
	if (server->state == DOOR_CLOSED)
		return;
	evhttp_del_accept_socket(server->http, server->bound);
	if (server->key >= 0)
		close(server->key);
	server->key = -1;
	enter(server, DOOR_CLOSED);
}

static void retry(evutil_socket_t fd, short what, void *arg)
{
	struct sfront_evhttp *server = arg;

	(void)fd;
	(void)what;
	if (server->state == DOOR_GUEST) {
		evconnlistener_enable(server->door);
		retry_later(server);
	} else if (server->state == DOOR_CLOSED && !server->over && open_door(server) < 0) {
		retry_later(server);
	}
}

/* Called by evhttp as it takes a connection, of which it does not tell the descriptor. */
static struct bufferevent *evhttp_wants_bufferevent(struct event_base *base, void *arg)
{
	struct sfront_evhttp *server = arg;
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

	evconnlistener_disable(server->door);
	if (bev) {
		bufferevent_incref(bev);
		server->fresh = bev;
	}
	event_active(server->taken, EV_TIMEOUT, 0);
	return bev;
}

static void forget_carried(struct carried *carried)
{
	struct sfront_evhttp *server = carried->server;

	if (server->guest_carried == carried)
		server->guest_carried = NULL;
	LIST_REMOVE(carried, entry);
	sfront_bridge_free(carried->bridge);
	free(carried);
}

static void carried_ended(void *data, struct bridge *bridge)
{
	struct carried *carried = data;
	struct sfront_evhttp *server = carried->server;

	(void)bridge;
	forget_carried(carried);
	end_if_over(server);
}

/* Lets evhttp's descriptor @fd be the guest's, before anything was read from it. */
static void replace(struct sfront_evhttp *server, int fd)
{
	bufferevent_disable(server->fresh, EV_READ | EV_WRITE);
	if (dup3(server->guest.read_fd, fd, O_CLOEXEC) < 0)
		shutdown(fd, SHUT_RDWR);
	bufferevent_enable(server->fresh, EV_READ);
}

/* What evhttp hands to the callbacks of a bufferevent: the connection; NULL: it is gone. */
static struct evhttp_connection *connection_of(struct bufferevent *bev)
{
	void *arg;

	bufferevent_getcb(bev, NULL, NULL, NULL, &arg);
	return arg;
}

static int client_of(const struct sfront_evhttp *server, int fd, struct sfront_connection *ret);

/* The program may free the connection, and this server not. */
static void tell_connected(struct sfront_evhttp *server, int fd)
{
	struct evhttp_connection *connection = connection_of(server->fresh);
	struct sfront_connection client;

	if (server->calls.connected && connection && client_of(server, fd, &client) == 0)
		server->calls.connected(server->data, connection, &client);
}

/* Runs before evhttp's next look at the descriptor: it was made active earlier. */
static void guest_taken(evutil_socket_t fd, short what, void *arg)
{
	struct sfront_evhttp *server = arg;
	struct stat st;

	(void)what;
	fd = server->fresh ? bufferevent_getfd(server->fresh) : -1;
	if (server->guest_carried) {
		if (fd >= 0 && fstat(fd, &st) == 0)
			server->guest_carried->inode = st.st_ino;
		server->guest_carried = NULL;
	} else {
		if (fd >= 0 && server->guest.read_fd >= 0)
			replace(server, fd);
		sfront_connection_close(&server->guest);
	}
	if (fd >= 0)
		tell_connected(server, fd);
	if (server->fresh)
		bufferevent_decref(server->fresh);
	server->fresh = NULL;

	evtimer_del(server->retry);
	close_door(server);
	if (!server->over && open_door(server) < 0)
		retry_later(server);
	end_if_over(server);
}

static int carry(struct sfront_evhttp *server, const struct sfront_connection *connection)
{
	struct carried *carried = calloc(1, sizeof(*carried));

	if (!carried)
		return -ENOMEM;
	carried->server = server;
	carried->bridge =
		sfront_bridge_new(server->base, server->key, connection, carried_ended, carried);
	if (!carried->bridge) {
		free(carried);
		return -ENOMEM;
	}
	server->key = -1;
	server->guest_carried = carried;
	LIST_INSERT_HEAD(&server->carried, carried, entry);
	return 0;
}

static void accepted(void *data, size_t index, struct sfront_connection *connection)
{
	struct sfront_evhttp *server = data;
	bool as_it_is = !sfront_listener_is_single(server->listener, index) &&
			connection->read_fd == connection->write_fd &&
			connection->read_stream <= SFRONT_STREAM_VSOCK;

	if (as_it_is) {
		/* This frees the number that evhttp's accept() is going to want. */
		close(server->key);
		server->key = -1;
		server->guest = *connection;
	} else if (carry(server, connection) < 0) {
		sfront_connection_close(connection);
		return;
	}
	enter(server, DOOR_GUEST);
	evconnlistener_enable(server->door);
	retry_later(server);
}

static void acceptor_ended(void *data, int error)
{
	struct sfront_evhttp *server = data;

	server->over = true;
	server->error = error;
	if (server->state == DOOR_OPEN)
		close_door(server);
	end_if_over(server);
}

static void end(evutil_socket_t fd, short what, void *arg)
{
	struct sfront_evhttp *server = arg;

	(void)fd;
	(void)what;
	if (server->calls.ended)
		server->calls.ended(server->data, server->error);
}

static int start(struct sfront_evhttp *server)
{
	const struct sfront_acceptor_calls calls = {
		.size = sizeof(calls),
		.accepted = accepted,
		.ended = acceptor_ended,
	};
	int r;

	server->taken = event_new(server->base, -1, 0, guest_taken, server);
	server->end = event_new(server->base, -1, 0, end, server);
	server->retry = evtimer_new(server->base, retry, server);
	if (!server->taken || !server->end || !server->retry)
		return -ENOMEM;
	r = open_door(server);
	if (r < 0)
		return r;
	r = sfront_acceptor_new(server->base, server->listener, &calls, server, &server->acceptor);
	if (r == 0)
		evhttp_set_bevcb(server->http, evhttp_wants_bufferevent, server);
	return r;
}

static int refuse_headers(struct sfront_error *err)
{
	if (err)
		snprintf(err->message, sizeof(err->message),
			 "connections cannot be handed to evhttp: it does not read the headers "
			 "that accept-proxy-protocol asks for");
	return -EOPNOTSUPP;
}

int sfront_evhttp_new(struct event_base *base, struct evhttp *http,
		      struct sfront_listener *listener, const struct sfront_evhttp_calls *calls,
		      void *data, struct sfront_evhttp **ret_server, struct sfront_error *err)
{
	struct sfront_evhttp *server;
	int r = -ENOMEM;

	for (size_t i = 0; i < sfront_listener_count(listener); i++)
		if (sfront_listener_header_due(listener, i))
			return refuse_headers(err);
	server = calloc(1, sizeof(*server));
	if (!server)
		goto fail;
	*server = (struct sfront_evhttp){
		.base = base,
		.http = http,
		.listener = listener,
		.data = data,
		.key = -1,
		.guest = { .read_fd = -1, .write_fd = -1 },
	};
	LIST_INIT(&server->carried);
	if (calls)
		memcpy(&server->calls, calls,
		       calls->size < sizeof(*calls) ? calls->size : sizeof(*calls));
	r = start(server);
	if (r < 0)
		goto fail;
	*ret_server = server;
	return 0;

fail:
	sfront_evhttp_free(server);
	if (err)
		snprintf(err->message, sizeof(err->message),
			 "connections cannot be handed to evhttp: %s", strerror(-r));
	return r;
}

/* Whose connection evhttp's descriptor @fd is, if it is carried. */
static const struct carried *find_carried(const struct sfront_evhttp *server, int fd)
{
	const struct carried *carried;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	LIST_FOREACH (carried, &server->carried, entry)
		if (carried->inode == st.st_ino)
			return carried;
	return NULL;
}

static int client_of(const struct sfront_evhttp *server, int fd, struct sfront_connection *ret)
{
	const struct carried *carried = find_carried(server, fd);

	if (carried)
		*ret = *sfront_bridge_connection(carried->bridge);
	else if (sfront_connection_from_fds(fd, fd, ret, NULL) < 0)
		return -ENOTCONN;
	return 0;
}

int sfront_evhttp_connection(struct sfront_evhttp *server, struct evhttp_request *request,
			     struct sfront_connection *ret)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	int fd = -1;

	if (connection)
		fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
	return fd < 0 ? -ENOTCONN : client_of(server, fd, ret);
}

void sfront_evhttp_pause(struct sfront_evhttp *server)
{
	server->is_paused = true;
	accept_if_open(server);
}

void sfront_evhttp_resume(struct sfront_evhttp *server)
{
	server->is_paused = false;
	accept_if_open(server);
}

void sfront_evhttp_stop(struct sfront_evhttp *server)
{
	if (server->over)
		return;

	sfront_acceptor_free(server->acceptor);
	server->acceptor = NULL;
	acceptor_ended(server, 0);
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

void sfront_evhttp_free(struct sfront_evhttp *server)
{
	struct carried *carried, *next;

	if (!server)
		return;
	sfront_acceptor_free(server->acceptor);
	server->acceptor = NULL;
	if (server->state == DOOR_GUEST && !server->guest_carried)
		sfront_connection_close(&server->guest);
	close_door(server);
	if (server->fresh)
		bufferevent_decref(server->fresh);
	for (carried = LIST_FIRST(&server->carried); carried; carried = next) {
		next = LIST_NEXT(carried, entry);
		sfront_bridge_free(carried->bridge);
		free(carried);
	}
	evhttp_set_bevcb(server->http, NULL, NULL);
	free_event(server->taken);
	free_event(server->retry);
	free_event(server->end);
	free(server);
}
