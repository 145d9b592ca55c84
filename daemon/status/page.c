/* SPDX-License-Identifier: MIT */
/*
 * "/": see page.h.  page_file.h has what is the same for everybody; the table of the proxies
 * is made here, some rows a turn.
 */
#include "daemon/status/page.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdlib.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/unit.h"
#include "daemon/base/counters.h"
#include "daemon/proxy/generation.h"
#include "daemon/proxy/proxy.h"
#include "daemon/proxy/proxy_counts.h"
#include "daemon/status/markup.h"
#include "daemon/status/page_file.h"
#include "daemon/status/status.h"
#include "daemon/status/word.h"
#include "daemon/worker/process.h"

/* Rows of a turn: after so many bytes, the rest waits.  One row of many servers is as long. */
#define TURN_SIZE (16 * 1024)

/* What has been sent is counted, not pointed to: there may be another generation next time. */
struct page {
	const struct process *process; /* borrowed */
	bool has_begun;                /* what is before the rows is sent */
	size_t n_rows;                 /* that are sent */
};

/* ---- the columns ---- */

/* @backend: the proxy's, of the moment */
typedef void column_writer(struct evbuffer *out, const struct proxy *proxy,
			   struct backend *backend);

static void write_name(struct evbuffer *out, const struct proxy *proxy, struct backend *backend)
{
	(void)backend;
	markup_add_text(out, proxy->config.name);
}

static void write_listeners(struct evbuffer *out, const struct proxy *proxy,
			    struct backend *backend)
{
	(void)backend;
	markup_add(out, "<ul>");
	for (size_t i = 0; i < proxy->n_sockets; i++) {
		markup_add(out, "<li class=\"mono\">");
		markup_add_text(out, proxy_socket_at(proxy, i)->text);
	}
	markup_add(out, "</ul>");
}

static void write_server(struct evbuffer *out, const struct server *server)
{
	const char *state = word_of_health(health_state(&server->state->health));

	markup_add(out, "<li><span class=\"mono\">");
	markup_add_text(out, server->text);
	evbuffer_add_printf(out, "</span> <span class=\"state is-%s\"><i></i>%s</span>", state,
			    state);
	if (server->is_backup)
		markup_add(out, " <span class=\"tag\">backup</span>");
}

static void write_unit(struct evbuffer *out, const struct unit *unit)
{
	markup_add(out, "<li class=\"muted\">");
	markup_add_text(out, unit_name(unit));
	evbuffer_add_printf(out, " %s", word_of_unit(unit_state(unit)));
}

static void write_servers(struct evbuffer *out, const struct proxy *proxy, struct backend *backend)
{
	(void)proxy;
	markup_add(out, "<ul>");
	for (size_t i = 0; i < backend_n_servers(backend); i++)
		write_server(out, backend_server(backend, i));
	if (backend_unit(backend))
		write_unit(out, backend_unit(backend));
	markup_add(out, "</ul>");
}

static void write_open(struct evbuffer *out, const struct proxy *proxy, struct backend *backend)
{
	(void)backend;
	evbuffer_add_printf(out, "%u", connection_limit_used(&proxy->limit->connections));
}

static void write_sum(struct evbuffer *out, const struct proxy *proxy, unsigned int which)
{
	evbuffer_add_printf(out, "%llu", (unsigned long long)counters_sum(proxy->counts, which));
}

static void write_accepted(struct evbuffer *out, const struct proxy *proxy, struct backend *backend)
{
	(void)backend;
	write_sum(out, proxy, PROXY_ACCEPTED);
}

static void write_up(struct evbuffer *out, const struct proxy *proxy, struct backend *backend)
{
	(void)backend;
	write_sum(out, proxy, PROXY_UP);
}

static void write_down(struct evbuffer *out, const struct proxy *proxy, struct backend *backend)
{
	(void)backend;
	write_sum(out, proxy, PROXY_DOWN);
}

static const struct column {
	const char *title;
	column_writer *write;
	bool is_number;
} columns[] = {
	{ "Proxy", write_name, false },       { "Listens on", write_listeners, false },
	{ "Servers", write_servers, false },  { "Open", write_open, true },
	{ "Accepted", write_accepted, true }, { "Bytes up", write_up, true },
	{ "Bytes down", write_down, true },
};
#define N_COLUMNS (sizeof(columns) / sizeof(*columns))

/* ---- the table ---- */

static void begin_table(struct evbuffer *out)
{
	markup_add(out, "<table>\n<caption class=\"unseen\">Proxies, what they listen on, and "
			"their servers</caption>\n<thead><tr>");
	for (size_t i = 0; i < N_COLUMNS; i++)
		evbuffer_add_printf(out, "<th scope=\"col\"%s>%s</th>",
				    columns[i].is_number ? " class=\"number\"" : "",
				    columns[i].title);
	markup_add(out, "</tr></thead>\n<tbody>\n");
}

static void write_cell(struct evbuffer *out, const struct column *column, const struct proxy *proxy,
		       struct backend *backend)
{
	const char *tag = column == columns ? "th" : "td";

	evbuffer_add_printf(out, "<%s%s%s>", tag, column == columns ? " scope=\"row\"" : "",
			    column->is_number ? " class=\"number\"" : "");
	column->write(out, proxy, backend);
	evbuffer_add_printf(out, "</%s>", tag);
}

static void write_row(struct evbuffer *out, const struct proxy *proxy)
{
	struct backend *backend = proxy_backend(proxy);

	markup_add(out, "<tr>");
	for (size_t i = 0; i < N_COLUMNS; i++)
		write_cell(out, &columns[i], proxy, backend);
	markup_add(out, "</tr>\n");
	backend_unref(backend);
}

/* Returns whether there are more. */
static bool write_rows(struct page *page, struct evbuffer *out)
{
	const struct generation *generation = page->process->generation;

	while (page->n_rows < generation->n_proxies && evbuffer_get_length(out) < TURN_SIZE)
		write_row(out, generation->proxies[page->n_rows++]);
	return page->n_rows < generation->n_proxies;
}

/* ---- the answer ---- */

static void *page_begin(struct status *status, const struct answer_request *request, int *ret_code,
			const char **ret_type)
{
	struct page *page = calloc(1, sizeof(*page));

	(void)request;
	*ret_code = HTTP_OK;
	*ret_type = "text/html; charset=utf-8";
	if (page)
		page->process = status->process;
	return page;
}

static bool page_more(void *answer, struct evbuffer *out)
{
	struct page *page = answer;

	if (!page->has_begun) {
		evbuffer_add_reference(out, page_before, page_before_size, NULL, NULL);
		begin_table(out);
		page->has_begun = true;
		return true;
	}
	if (write_rows(page, out))
		return true;
	markup_add(out, "</tbody></table>\n");
	evbuffer_add_reference(out, page_after, page_after_size, NULL, NULL);
	return false;
}

const struct answer_route page_route = {
	.path = "/",
	.policy = page_policy,
	.begin = page_begin,
	.more = page_more,
	.end = free,
};
