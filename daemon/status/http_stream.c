/* SPDX-License-Identifier: MIT */
/*
 * Events for clients that stay: see http_stream.h.
 */
#include "daemon/status/http_stream.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>

/* With so many bytes unsent, more would only fill the memory. */
#define UNSENT_MAX (256 * 1024)

bool http_stream_send(struct http_stream *stream, struct evbuffer *event)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(stream->request);
	struct bufferevent *bev;

	if (!connection)
		return false;
	bev = evhttp_connection_get_bufferevent(connection);
	if (evbuffer_get_length(bufferevent_get_output(bev)) >= UNSENT_MAX)
		return false;
	evhttp_send_reply_chunk(stream->request, event);
	return true;
}
