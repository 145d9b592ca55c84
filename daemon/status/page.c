/* SPDX-License-Identifier: MIT */
/*
 * "/": see page.h.  page_file.h has what is the same for everybody; the table of the proxies
 * is made here, some of it a turn.
 */
#include "daemon/status/page.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdlib.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/unit.h"
#include "daemon/base/counters.h"
#include "daemon/proxy/proxy.h"
#include "daemon/proxy/proxy_counts.h"
#include "daemon/status/markup.h"
#include "daemon/status/page_file.h"
#include "daemon/status/status.h"
#include "daemon/status/subjects.h"
#include "daemon/status/turn.h"
#include "daemon/status/word.h"
#include "daemon/worker/process.h"

struct page {
	struct subjects subjects;
	struct subject_cursor at;
	bool has_begun; /* what is before the rows is sent */
};

/* ---- a row ---- */

static void write_name(struct evbuffer *out, const struct proxy *proxy)
{
	markup_add(out, "<tr><th scope=\"row\">");
	markup_add_text(out, proxy->config.name);
	markup_add(out, "</th><td><ul>");
}

static void write_socket(struct evbuffer *out, const struct listener_socket *socket)
{
	markup_add(out, "<li class=\"mono\">");
	markup_add_text(out, socket->text);
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

static void write_number(struct evbuffer *out, uint64_t number)
{
	evbuffer_add_printf(out, "<td class=\"number\">%llu</td>", (unsigned long long)number);
}

static void write_numbers(struct evbuffer *out, const struct proxy *proxy)
{
	markup_add(out, "</ul></td>");
	write_number(out, connection_limit_used(&proxy->limit->connections));
	write_number(out, counters_sum(proxy->counts, PROXY_ACCEPTED));
	write_number(out, counters_sum(proxy->counts, PROXY_UP));
	write_number(out, counters_sum(proxy->counts, PROXY_DOWN));
	markup_add(out, "</tr>\n");
}

static void write_part(struct evbuffer *out, const struct subject *subject,
		       const struct subject_cursor *at)
{
	switch (at->part) {
	case SUBJECT_HEAD:
		write_name(out, subject->proxy);
		break;
	case SUBJECT_SOCKET:
		write_socket(out, proxy_socket_at(subject->proxy, at->index));
		break;
	case SUBJECT_MIDDLE:
		markup_add(out, "</ul></td><td><ul>");
		break;
	case SUBJECT_SERVER:
		write_server(out, backend_server(subject->backend, at->index));
		break;
	case SUBJECT_TAIL:
		if (backend_unit(subject->backend))
			write_unit(out, backend_unit(subject->backend));
		write_numbers(out, subject->proxy);
		break;
	}
}

/* ---- the table ---- */

static const struct {
	const char *title;
	bool is_number;
} columns[] = {
	{ "Proxy", false },   { "Listens on", false }, { "Servers", false },   { "Open", true },
	{ "Accepted", true }, { "Bytes up", true },    { "Bytes down", true },
};

static void begin_table(struct evbuffer *out)
{
	markup_add(out, "<table>\n<caption class=\"unseen\">Proxies, what they listen on, and "
			"their servers</caption>\n<thead><tr>");
	for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++)
		evbuffer_add_printf(out, "<th scope=\"col\"%s>%s</th>",
				    columns[i].is_number ? " class=\"number\"" : "",
				    columns[i].title);
	markup_add(out, "</tr></thead>\n<tbody>\n");
}

static void write_rows(struct page *page, struct evbuffer *out)
{
	struct turn turn = turn_begin(out);
	const struct subject *subject;

	while ((subject = subject_at(&page->subjects, &page->at))) {
		write_part(out, subject, &page->at);
		subject_cursor_next(&page->at, &page->subjects);
		if (turn_is_over(&turn, out))
			break;
	}
}

/* ---- the answer ---- */

static void *page_begin(struct status *status, const struct answer_request *request, int *ret_code,
			const char **ret_type)
{
	struct page *page = calloc(1, sizeof(*page));

	(void)request;
	*ret_code = HTTP_OK;
	*ret_type = "text/html; charset=utf-8";
	if (page && subjects_take(&page->subjects, status->process->generation) == 0)
		return page;
	free(page);
	return NULL;
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
	if (subject_at(&page->subjects, &page->at)) {
		write_rows(page, out);
		return true; /* what is after the rows is a turn of its own */
	}
	markup_add(out, "</tbody></table>\n");
	evbuffer_add_reference(out, page_after, page_after_size, NULL, NULL);
	return false;
}

static void page_end(void *answer)
{
	struct page *page = answer;

	subjects_drop(&page->subjects);
	free(page);
}

const struct answer_route page_route = {
	.path = "/",
	.policy = page_policy,
	.begin = page_begin,
	.more = page_more,
	.end = page_end,
};
