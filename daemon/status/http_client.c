/* SPDX-License-Identifier: MIT */
/*
 * One client of the status address: see http_client.h.
 *
 * While an answer is under way nothing is read, so that what a client sends beyond its request
 * waits in the kernel; of a stream, whose end is seen by reading, a little is.  The next piece
 * is made when the last one is written.
 */
#include "daemon/status/http_client.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/status/answer.h"
#include "daemon/status/http_guard.h"
#include "daemon/status/http_headers.h"

#define REQUEST_S 5  /* from accept to the end of the request */
#define SILENCE_S 10 /* with something unsent */

/* More than the headers may be, so that evhttp sees that they are too many. */
#define READ_MAX (32 * 1024)

#define STREAMS_MAX 32

static struct bufferevent *bufferevent_of(const struct http_client *client)
{
	return evhttp_connection_get_bufferevent(client->connection);
}

/* ---- the beginning, and the end ---- */

static void forget_answer(struct http_client *client)
{
	if (!client->route)
		return;
	client->site->n_streams -= client->route->open != NULL;
	client->route->end(client->answer);
	client->route = NULL;
}

static void closed(struct evhttp_connection *connection, void *arg)
{
	struct http_client *client = arg;
	struct evhttp_request *request = client->stream.request;
	struct http_site *site = client->site;

	(void)connection;
	/* Where evhttp has let go of it, nobody else frees it. */
	if (request && !evhttp_request_get_connection(request))
		evhttp_request_free(request);
	forget_answer(client);
	event_del(&client->deadline);
	event_del(&client->turn);
	TAILQ_REMOVE(&site->clients, client, entry);
	site->n_clients--;
	free(client);
	site->left(site);
}

static void deadline_passed(evutil_socket_t fd, short what, void *arg)
{
	struct http_client *client = arg;

	(void)fd;
	(void)what;
	evhttp_connection_free(client->connection);
}

static void set_limits(struct http_client *client)
{
	const struct timeval request = { .tv_sec = REQUEST_S }, silence = { .tv_sec = SILENCE_S };
	struct bufferevent *bev = bufferevent_of(client);

	event_add(&client->deadline, &request);
	bufferevent_setwatermark(bev, EV_READ, 0, READ_MAX);
	bufferevent_set_timeouts(bev, NULL, &silence);
	/* What else the thread has to do comes first. */
	bufferevent_priority_set(bev, event_base_get_npriorities(client->site->base) - 1);
}

static void turn_came(evutil_socket_t fd, short what, void *arg);

struct http_client *http_client_new(struct http_site *site, const void *server,
				    struct evhttp_connection *connection)
{
	struct http_client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->site = site;
	client->server = server;
	client->connection = connection;
	client->headers = http_headers_watch(bufferevent_of(client));
	if (!client->headers) {
		free(client);
		return NULL;
	}
	event_assign(&client->deadline, site->base, -1, 0, deadline_passed, client);
	event_assign(&client->turn, site->base, -1, 0, turn_came, client);
	event_priority_set(&client->turn, event_base_get_npriorities(site->base) - 1);
	evhttp_connection_set_closecb(connection, closed, client);
	TAILQ_INSERT_TAIL(&site->clients, client, entry);
	site->n_clients++;
	set_limits(client);
	return client;
}

/* ---- an answer in turns ---- */

/* The last call for a client of which all has been made: it may be freed in that. */
static void finish(struct http_client *client)
{
	struct evhttp_request *request = client->stream.request;

	client->stream.request = NULL;
	forget_answer(client);
	evhttp_send_reply_end(request);
}

static void piece_written(struct evhttp_connection *connection, void *arg)
{
	struct http_client *client = arg;

	(void)connection;
	event_active(&client->turn, EV_TIMEOUT, 0);
}

/* An empty piece is never written, and so needs no waiting for that. */
static void send_piece(struct http_client *client, struct evbuffer *piece)
{
	if (evbuffer_get_length(piece) == 0) {
		event_active(&client->turn, EV_TIMEOUT, 0);
		return;
	}
	evhttp_send_reply_chunk_with_cb(client->stream.request, piece, piece_written, client);
	bufferevent_disable(bufferevent_of(client), EV_READ);
}

static void turn_came(evutil_socket_t fd, short what, void *arg)
{
	struct http_client *client = arg;
	struct evbuffer *piece = evbuffer_new();

	(void)fd;
	(void)what;
	if (!piece) {
		evhttp_connection_free(client->connection);
		return;
	}
	if (client->route->more(client->answer, piece)) {
		send_piece(client, piece);
	} else {
		evhttp_send_reply_chunk(client->stream.request, piece);
		bufferevent_disable(bufferevent_of(client), EV_READ);
		finish(client);
	}
	evbuffer_free(piece);
}

/* Whoever asked for the headers alone gets no more. */
static void start_answer(struct http_client *client, int code, const char *type)
{
	const struct answer_route *route = client->route;
	struct evhttp_request *request = client->stream.request;

	http_headers_add(request, type, route->policy);
	evhttp_send_reply_start(request, code, NULL);
	if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD) {
		finish(client);
	} else if (route->open) {
		route->open(client->answer, &client->stream);
	} else {
		bufferevent_disable(bufferevent_of(client), EV_READ);
		event_active(&client->turn, EV_TIMEOUT, 0);
	}
}

/* ---- what is asked ---- */

/* Answers in one line. */
static void say(struct evhttp_request *request, int code, const char *phrase, const char *text)
{
	bool wants_text = evhttp_request_get_command(request) != EVHTTP_REQ_HEAD;
	struct evbuffer *body = wants_text ? evbuffer_new() : NULL;

	if (body)
		evbuffer_add_printf(body, "%s\n", text);
	http_headers_add(request, "text/plain; charset=utf-8", NULL);
	evhttp_send_reply(request, code, phrase, body);
	if (body)
		evbuffer_free(body);
}

static void say_not_found(const struct http_site *site, struct evhttp_request *request)
{
	char text[512] = "there is nothing here; there is";

	for (size_t i = 0; site->routes[i]; i++) {
		size_t n = strlen(text);

		snprintf(text + n, sizeof(text) - n, "%s %s", i > 0 ? "," : "",
			 site->routes[i]->path);
	}
	say(request, HTTP_NOTFOUND, "Not Found", text);
}

static void begin_answer(struct http_client *client, const struct answer_route *route,
			 struct evhttp_request *request)
{
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
	const char *type = "text/plain; charset=utf-8";
	struct evkeyvalq decoded = { 0 };
	struct answer_request asked = {
		.query = &decoded,
		.accept = evhttp_find_header(evhttp_request_get_input_headers(request), "Accept"),
	};
	int code = HTTP_OK;

	TAILQ_INIT(&decoded);
	if (query)
		(void)evhttp_parse_query_str(query, &decoded);
	client->answer = route->begin(client->site->status, &asked, &code, &type);
	evhttp_clear_headers(&decoded);
	if (!client->answer) {
		say(request, HTTP_SERVUNAVAIL, "Service Unavailable", "out of memory");
		return;
	}
	client->route = route;
	client->site->n_streams += route->open != NULL;
	client->stream.request = request;
	start_answer(client, code, type);
}

static const struct answer_route *find_route(const struct http_site *site, const char *path)
{
	for (size_t i = 0; site->routes[i]; i++)
		if (strcmp(site->routes[i]->path, path) == 0)
			return site->routes[i];
	return NULL;
}

static void answer(struct http_client *client, struct evhttp_request *request)
{
	struct http_site *site = client->site;
	const struct http_refusal *refusal = http_guard_check(request, site->hosts);
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
	const struct answer_route *route = path ? find_route(site, path) : NULL;

	if (refusal) {
		if (refusal->code == HTTP_BADMETHOD)
			evhttp_add_header(evhttp_request_get_output_headers(request), "Allow",
					  "GET, HEAD");
		say(request, refusal->code, refusal->phrase, refusal->text);
	} else if (!route) {
		say_not_found(site, request);
	} else if (route->open && site->n_streams == STREAMS_MAX) {
		say(request, HTTP_SERVUNAVAIL, "Service Unavailable",
		    "too many are watching already");
	} else {
		begin_answer(client, route, request);
	}
}

void http_client_asks(struct evhttp_request *request, void *arg)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	struct http_site *site = arg;
	struct http_client *client;

	TAILQ_FOREACH (client, &site->clients, entry)
		if (client->connection == connection)
			break;
	if (!client) {
		evhttp_connection_free(connection);
		return;
	}
	event_del(&client->deadline);
	http_headers_forget(bufferevent_of(client), client->headers);
	answer(client, request);
}

void http_client_end_stream(struct http_client *client)
{
	if (client->route && client->route->open)
		finish(client);
}
