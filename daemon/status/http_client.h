/* SPDX-License-Identifier: MIT */
/*
 * One client of the status address, from accept to close: one request, one answer.  evhttp
 * reads the request and frees the connection; what it does not bound is bounded here.
 */
#ifndef DAEMON_STATUS_HTTP_CLIENT_H
#define DAEMON_STATUS_HTTP_CLIENT_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "daemon/status/http_stream.h"

struct answer_route;
struct evbuffer_cb_entry;
struct evhttp_connection;
struct host_list;
struct status;

TAILQ_HEAD(http_clients, http_client);

/* What all clients have in common. */
struct http_site {
	struct event_base *base;                  /* borrowed */
	const struct answer_route *const *routes; /* borrowed; NULL after the last */
	struct status *status;                    /* for these; borrowed */
	const struct host_list *hosts;            /* names beside localhost; borrowed */
	struct http_clients clients;
	unsigned int n_clients, n_streams;
	void (*left)(struct http_site *site); /* a client has gone */
};

struct http_client {
	TAILQ_ENTRY(http_client) entry;
	struct http_site *site;               /* borrowed */
	const void *server;                   /* which accepted it: the site's owner knows */
	struct evhttp_connection *connection; /* evhttp's */
	struct evbuffer_cb_entry *headers;    /* see http_headers_watch(); until it has asked */
	struct event deadline;                /* of the request */
	struct event turn;                    /* the next piece of the answer is due */
	const struct answer_route *route; /* of the answer that is under way; NULL: there is none */
	void *answer;                     /* of that */
	struct http_stream stream;        /* has its request, whether it is a stream or not */
};

/*
 * Begins to look after a connection of which evhttp has read nothing yet.  It is freed with
 * the connection.  Returns it, or NULL when out of memory.
 */
struct http_client *http_client_new(struct http_site *site, const void *server,
				    struct evhttp_connection *connection);

/* Answers what evhttp has read: its generic callback.  @arg: the site */
void http_client_asks(struct evhttp_request *request, void *arg);

/* Ends the answer of a client that stays; others are let finish. */
void http_client_end_stream(struct http_client *client);

#endif
