/* SPDX-License-Identifier: MIT */
/*
 * Headers of every answer: see http_headers.h.
 *
 * evhttp tells nobody of the answers that it gives by itself, and drops the headers that were
 * set for them.  But it writes the first line of an answer by itself, and its own headers after
 * that: ours go between the two.
 */
#include "daemon/status/http_headers.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stdbool.h>
#include <stddef.h>

/* Where nothing else is said, there is nothing in an answer that may do anything. */
#define POLICY "default-src 'none'; frame-ancestors 'none'"

static const struct {
	const char *name, *value;
} fixed[] = {
	{ "Cache-Control", "no-store" },
	{ "X-Content-Type-Options", "nosniff" },
};

#define N_FIXED (sizeof(fixed) / sizeof(*fixed))

/* ---- answers of our own ---- */

void http_headers_add(struct evhttp_request *request, const char *type, const char *policy)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

	evhttp_add_header(headers, "Connection", "close");
	evhttp_add_header(headers, "Content-Type", type);
	for (size_t i = 0; i < N_FIXED; i++)
		evhttp_add_header(headers, fixed[i].name, fixed[i].value);
	evhttp_add_header(headers, "Content-Security-Policy", policy ? policy : POLICY);
}

/* ---- answers of evhttp ---- */

/* Whether the last @n bytes are the first line of an answer, whose headers are still to come. */
static bool is_first_line(struct evbuffer *out, size_t n)
{
	size_t length = evbuffer_get_length(out);
	struct evbuffer_ptr begin;

	return evbuffer_ptr_set(out, &begin, length - n, EVBUFFER_PTR_SET) == 0 &&
	       evbuffer_search(out, "HTTP/", 5, &begin).pos == begin.pos &&
	       evbuffer_search(out, "\r\n", 2, &begin).pos == (ev_ssize_t)length - 2;
}

static void written(struct evbuffer *out, const struct evbuffer_cb_info *info, void *arg)
{
	(void)arg;
	if (info->n_added == 0 || !is_first_line(out, info->n_added))
		return;
	for (size_t i = 0; i < N_FIXED; i++)
		evbuffer_add_printf(out, "%s: %s\r\n", fixed[i].name, fixed[i].value);
	evbuffer_add_printf(out, "Content-Security-Policy: %s\r\n", POLICY);
}

struct evbuffer_cb_entry *http_headers_watch(struct bufferevent *bev)
{
	return evbuffer_add_cb(bufferevent_get_output(bev), written, NULL);
}

void http_headers_forget(struct bufferevent *bev, struct evbuffer_cb_entry *watch)
{
	evbuffer_remove_cb_entry(bufferevent_get_output(bev), watch);
}
