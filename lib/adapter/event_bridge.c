/* SPDX-License-Identifier: MIT */
/*
 * Carries bytes between a connection of any kind and a socket; see the header.
 * Of libsockfront-event, below event_http.c.
 */
#include "lib/adapter/event_bridge.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Bytes of one direction that may wait here. */
#define MOST_WAITING 262144

struct bridge {
	struct bufferevent *inner; /* owned; the socket */
	struct sfront_connection connection;
	struct event *readable; /* owned; of connection.read_fd */
	struct event *writable; /* owned; of connection.write_fd */
	bool input_over;        /* the connection has sent all that it will */
	bool inner_over;        /* and the socket */
	void (*ended)(void *data, struct bridge *bridge);
	void *data;
};

/* epoll refuses files: they are always ready. */
static void await(struct event *event, enum sfront_stream stream, short what)
{
	if (stream == SFRONT_STREAM_FILE)
		event_active(event, what, 0);
	else
		event_add(event, NULL);
}

static void await_input(struct bridge *bridge)
{
	await(bridge->readable, bridge->connection.read_stream, EV_READ);
}

static void await_room(struct bridge *bridge)
{
	await(bridge->writable, bridge->connection.write_stream, EV_WRITE);
}

static void pass_end_on(struct bridge *bridge)
{
	if (evbuffer_get_length(bufferevent_get_output(bridge->inner)) == 0)
		shutdown(bufferevent_getfd(bridge->inner), SHUT_WR);
}

static void connection_readable(evutil_socket_t fd, short what, void *arg)
{
	struct bridge *bridge = arg;
	struct evbuffer *output = bufferevent_get_output(bridge->inner);
	int n = evbuffer_read(output, fd, MOST_WAITING / 4);

	(void)what;
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		bridge->ended(bridge->data, bridge);
	} else if (n == 0) {
		bridge->input_over = true;
		pass_end_on(bridge);
	} else if (evbuffer_get_length(output) < MOST_WAITING) {
		await_input(bridge);
	}
}

static void inner_drained(struct bufferevent *bev, void *arg)
{
	struct bridge *bridge = arg;

	(void)bev;
	if (bridge->input_over)
		pass_end_on(bridge);
	else
		await_input(bridge);
}

static void connection_writable(evutil_socket_t fd, short what, void *arg)
{
	struct bridge *bridge = arg;
	struct evbuffer *input = bufferevent_get_input(bridge->inner);
	int n = evbuffer_get_length(input) ? evbuffer_write(input, fd) : 0;

	bool broken = n < 0 && errno != EAGAIN && errno != EINTR;
	bool rest = evbuffer_get_length(input) > 0;

	(void)what;
	if (broken || (!rest && bridge->inner_over))
		bridge->ended(bridge->data, bridge);
	else if (rest)
		await_room(bridge);
}

static void inner_readable(struct bufferevent *bev, void *arg)
{
	(void)bev;
	await_room(arg);
}

static void inner_ended(struct bufferevent *bev, short what, void *arg)
{
	struct bridge *bridge = arg;

	(void)bev;
	(void)what;
	bridge->inner_over = true;
	await_room(bridge);
}

struct bridge *sfront_bridge_new(struct event_base *base, int socket,
				 const struct sfront_connection *connection,
				 void (*ended)(void *data, struct bridge *bridge), void *data)
{
	struct bridge *bridge = calloc(1, sizeof(*bridge));

	if (!bridge)
		return NULL;
	*bridge = (struct bridge){
		.connection = { .read_fd = -1, .write_fd = -1 },
		.ended = ended,
		.data = data,
	};
	bridge->readable =
		event_new(base, connection->read_fd, EV_READ, connection_readable, bridge);
	bridge->writable =
		event_new(base, connection->write_fd, EV_WRITE, connection_writable, bridge);
	bridge->inner = bufferevent_socket_new(base, socket, 0);
	if (!bridge->readable || !bridge->writable || !bridge->inner) {
		sfront_bridge_free(bridge);
		return NULL;
	}

	bridge->connection = *connection;
	bufferevent_setcb(bridge->inner, inner_readable, inner_drained, inner_ended, bridge);
	bufferevent_setwatermark(bridge->inner, EV_READ, 0, MOST_WAITING);
	bufferevent_enable(bridge->inner, EV_READ | EV_WRITE);
	await_input(bridge);
	return bridge;
}

const struct sfront_connection *sfront_bridge_connection(const struct bridge *bridge)
{
	return &bridge->connection;
}

void sfront_bridge_free(struct bridge *bridge)
{
	int socket = -1;

	if (!bridge)
		return;
	if (bridge->readable)
		event_free(bridge->readable);
	if (bridge->writable)
		event_free(bridge->writable);
	if (bridge->inner) {
		socket = bufferevent_getfd(bridge->inner);
		bufferevent_free(bridge->inner);
	}
	/* Until it is complete, the descriptors are still the caller's. */
	if (bridge->connection.read_fd >= 0) {
		evutil_closesocket(socket);
		sfront_connection_close(&bridge->connection);
	}
	free(bridge);
}
