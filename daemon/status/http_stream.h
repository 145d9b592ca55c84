/* SPDX-License-Identifier: MIT */
/*
 * An answer without an end: events for a client that stays.
 */
#ifndef DAEMON_STATUS_HTTP_STREAM_H
#define DAEMON_STATUS_HTTP_STREAM_H

#include <stdbool.h>

struct evbuffer;
struct evhttp_request;

struct http_stream {
	struct evhttp_request *request; /* borrowed */
};

/*
 * Sends what is in @event, and empties it.  False: the client has not read what it was sent
 * before, so that this is left out; @event is as it was.
 */
bool http_stream_send(struct http_stream *stream, struct evbuffer *event);

#endif
