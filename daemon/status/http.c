/* SPDX-License-Identifier: MIT */
/*
 * evhttp on the listeners of [status]: see http.h.  Each listener has an evhttp of its own,
 * as sockfront/event.h wants it.
 */
#include "daemon/status/http.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <search.h>
#include <sockfront/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "conf/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/reset.h"
#include "daemon/proxy/access.h"
#include "daemon/proxy/listener.h"
#include "daemon/proxy/status_section.h"
#include "daemon/relay/passed_fds.h"
#include "daemon/status/http_client.h"

#define HEADERS_MAX (16 * 1024)
#define BODY_MAX    (16 * 1024)

#define EVERY_METHOD 0xffff /* those that are refused get an answer, too */

/* One listener. */
struct server {
	LIST_ENTRY(server) entry;
	struct http *http;
	struct listener *listener;  /* a reference; NULL: it is answered on no more */
	struct evhttp *evhttp;      /* owned */
	struct sfront_evhttp *door; /* owned; NULL as above */
	bool is_wanted;             /* by the section that comes */
};

struct http {
	struct http_site site; /* first: see http_of() */
	const struct source_list *access;
	LIST_HEAD(, server) servers;
	void *by_listener; /* those that have one; tsearch's */
	bool is_full;
};

static struct http *http_of(struct http_site *site)
{
	return (struct http *)site;
}

/* ---- clients ---- */

static void enter_full(struct http *http, bool is_full)
{
	struct server *server;

	if (http->is_full == is_full)
		return;
	http->is_full = is_full;
	LIST_FOREACH (server, &http->servers, entry) {
		if (!server->door)
			continue;
		if (is_full)
			sfront_evhttp_pause(server->door);
		else
			sfront_evhttp_resume(server->door);
	}
}

static void client_left(struct http_site *site)
{
	enter_full(http_of(site), site->n_clients >= HTTP_CLIENTS_MAX);
}

static void log_refused(const struct server *server, const struct sfront_connection *client,
			const struct source_rule *rule)
{
	static struct log_limit limit;
	char who[SFRONT_ADDRESS_TEXT_SIZE], reason[96];
	unsigned int dropped;

	if (!log_limit_passes(&limit, &dropped))
		return;
	sfront_connection_format(client, who, sizeof(who));
	access_format_reason(rule, reason, sizeof(reason));
	log_line(LOG_NOTICE, "status on %s: %s: %s%s", server->listener->sockets[0].text, who,
		 reason, dropped > 0 ? "; others were refused as well" : "");
}

static bool may_ask(const struct server *server, const struct sfront_connection *client)
{
	const struct source_list *access = server->http->access;
	const struct source_rule *rule;
	struct access_client who;

	if (access->n == 0)
		return true;
	who = access_client_of(client);
	if (access_is_granted(access, &who, &rule))
		return true;
	log_refused(server, client, rule);
	return false;
}

/* Nothing of it has been read. */
static void turn_away(struct evhttp_connection *connection, const struct sfront_connection *client)
{
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));

	if (client->write_stream == SFRONT_STREAM_TCP)
		reset_on_close(fd);
	else if (client->write_stream == SFRONT_STREAM_UNIX)
		passed_fds_clear(fd);
	evhttp_connection_free(connection);
}

static void connected(void *data, struct evhttp_connection *connection,
		      const struct sfront_connection *client)
{
	struct server *server = data;
	struct http *http = server->http;

	if (!may_ask(server, client))
		turn_away(connection, client);
	else if (!http_client_new(&http->site, server, connection))
		evhttp_connection_free(connection);
	enter_full(http, http->site.n_clients >= HTTP_CLIENTS_MAX);
}

/* ---- servers ---- */

static void accepting_ended(void *data, int error)
{
	struct server *server = data;

	if (error < 0)
		log_line(LOG_WARNING,
			 "status on %s: accepting failed: %s; this listener is given up",
			 server->listener->sockets[0].text, strerror(-error));
}

static int compare(const void *a, const void *b)
{
	const struct server *one = a, *other = b;

	return (one->listener > other->listener) - (one->listener < other->listener);
}

static struct server *find(const struct http *http, struct listener *listener)
{
	const struct server wanted = { .listener = listener };
	void *node = tfind(&wanted, &http->by_listener, compare);

	return node ? *(struct server **)node : NULL;
}

/* Nobody who comes is answered any more. */
static void leave_listener(struct server *server)
{
	if (!server->listener)
		return;
	sfront_evhttp_free(server->door);
	server->door = NULL;
	tdelete(server, &server->http->by_listener, compare);
	listener_unref(server->listener);
	server->listener = NULL;
}

static void server_free(struct server *server)
{
	leave_listener(server);
	if (server->evhttp)
		evhttp_free(server->evhttp); /* which ends the clients that are left */
	free(server);
}

static int open_door(struct server *server)
{
	static const struct sfront_evhttp_calls calls = {
		.size = sizeof(calls),
		.ended = accepting_ended,
		.connected = connected,
	};
	struct http *http = server->http;
	struct sfront_error err;
	int r;

	evhttp_set_max_headers_size(server->evhttp, HEADERS_MAX);
	evhttp_set_max_body_size(server->evhttp, BODY_MAX);
	evhttp_set_allowed_methods(server->evhttp, EVERY_METHOD);
	evhttp_set_gencb(server->evhttp, http_client_asks, &http->site);
	r = sfront_evhttp_new(http->site.base, server->evhttp, server->listener->open, &calls,
			      server, &server->door, &err);
	if (r < 0)
		log_line(LOG_ERR, "status on %s: %s", server->listener->sockets[0].text,
			 err.message);
	else if (http->is_full)
		sfront_evhttp_pause(server->door);
	return r;
}

static struct server *server_new(struct http *http, struct listener *listener)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	server->http = http;
	server->listener = listener_ref(listener);
	server->evhttp = evhttp_new(http->site.base);
	if (server->evhttp && tsearch(server, &http->by_listener, compare))
		return server;
	server_free(server);
	return NULL;
}

static void open_server(struct http *http, struct listener *listener)
{
	struct server *server = server_new(http, listener);

	if (!server) {
		log_line(LOG_ERR, "status on %s: out of memory", listener->sockets[0].text);
		return;
	}
	if (open_door(server) < 0) {
		server_free(server);
		return;
	}
	LIST_INSERT_HEAD(&http->servers, server, entry);
	for (size_t i = 0; i < listener->n_sockets; i++)
		log_line(LOG_INFO, "status on %s", listener->sockets[i].text);
}

/* Nobody new comes; who has asked gets the answer. */
static void close_door(struct server *server)
{
	struct http_client *client, *next;

	leave_listener(server);
	for (client = TAILQ_FIRST(&server->http->site.clients); client; client = next) {
		next = TAILQ_NEXT(client, entry);
		if (client->server == server)
			http_client_end_stream(client);
	}
}

static bool has_clients(const struct server *server)
{
	const struct http_client *client;

	TAILQ_FOREACH (client, &server->http->site.clients, entry)
		if (client->server == server)
			return true;
	return false;
}

/* ---- which there are ---- */

static void mark_wanted(struct http *http, const struct status_section *section)
{
	struct server *server;

	LIST_FOREACH (server, &http->servers, entry)
		server->is_wanted = false;
	for (size_t i = 0; section && i < section->n_listeners; i++) {
		server = find(http, section->listeners[i]);
		if (server)
			server->is_wanted = true;
	}
}

static void close_others(struct http *http)
{
	struct server *server, *next;

	for (server = LIST_FIRST(&http->servers); server; server = next) {
		next = LIST_NEXT(server, entry);
		if (server->door && !server->is_wanted)
			close_door(server);
		if (server->door || has_clients(server))
			continue;
		LIST_REMOVE(server, entry);
		server_free(server);
	}
}

void http_listen(struct http *http, const struct status_section *section)
{
	static const struct host_list no_hosts;

	http->site.hosts = section ? &section->config->hosts : &no_hosts;
	http->access = section ? &section->config->access : NULL;
	mark_wanted(http, section);
	close_others(http);
	for (size_t i = 0; section && i < section->n_listeners; i++)
		if (!find(http, section->listeners[i]))
			open_server(http, section->listeners[i]);
}

struct http *http_new(struct event_base *base, const struct answer_route *const *routes,
		      struct status *status)
{
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	http->site.base = base;
	http->site.routes = routes;
	http->site.status = status;
	http->site.left = client_left;
	TAILQ_INIT(&http->site.clients);
	LIST_INIT(&http->servers);
	return http;
}

void http_free(struct http *http)
{
	struct server *server;

	if (!http)
		return;
	while ((server = LIST_FIRST(&http->servers))) {
		LIST_REMOVE(server, entry);
		server_free(server);
	}
	free(http);
}
