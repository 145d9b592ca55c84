/* SPDX-License-Identifier: MIT */
/*
 * What a path of the status address answers with, in turns: no answer is built in one, so that
 * nobody who asks keeps the thread from its other work.  http_client.c asks for the turns.
 */
#ifndef DAEMON_STATUS_ANSWER_H
#define DAEMON_STATUS_ANSWER_H

#include <stdbool.h>

struct evbuffer;
struct evkeyvalq;
struct http_stream;
struct status;

/* Valid while begin() runs. */
struct answer_request {
	const struct evkeyvalq *query; /* the decoded query string; may be empty */
	const char *accept;            /* the Accept header, or NULL */
};

/* One path. */
struct answer_route {
	const char *path; /* "/metrics" */
	/* The Content-Security-Policy; NULL: the one that allows nothing. */
	const char *policy;
	/*
	 * Begins an answer.
	 *
	 * @ret_code: 200, unless it is changed
	 * @ret_type: static; the Content-Type, "text/plain; charset=utf-8" unless it is changed
	 *
	 * Returns what the other calls get, or NULL when out of memory.
	 */
	void *(*begin)(struct status *status, const struct answer_request *request, int *ret_code,
		       const char **ret_type);
	/* Appends a piece: at most about 64 KiB, in about 1 ms.  Returns whether there is more. */
	bool (*more)(void *answer, struct evbuffer *out);
	/* The answer is complete, or the client has gone. */
	void (*end)(void *answer);
	/*
	 * Set in place of more() for a stream, which is open until the client leaves: called
	 * once, when something can be sent.  @stream may be used until end() is called.
	 */
	void (*open)(void *answer, struct http_stream *stream);
};

#endif
