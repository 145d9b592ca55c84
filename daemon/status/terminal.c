/* SPDX-License-Identifier: MIT */
/*
 * The table: see terminal.h.  All proxies are looked at twice: what is above the first line of
 * one is added up of all, and a name takes as many columns as the longest.
 */
#include "daemon/status/terminal.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/server_counts.h"
#include "daemon/backend/unit.h"
#include "daemon/base/counters.h"
#include "daemon/proxy/proxy.h"
#include "daemon/proxy/proxy_counts.h"
#include "daemon/status/columns.h"
#include "daemon/status/healthz.h"
#include "daemon/status/overview.h"
#include "daemon/status/query.h"
#include "daemon/status/self.h"
#include "daemon/status/status.h"
#include "daemon/status/subjects.h"
#include "daemon/status/turn.h"
#include "daemon/status/word.h"
#include "daemon/worker/process.h"

#define WIDTH    80
#define NAME_MIN 16 /* columns; of the others, those are left out for which there is no room */

enum column { STATE, OPEN, HELD, ACCEPTED, REFUSED, FAILED, UP, DOWN, N_COLUMNS };

/* Each with a blank in front of it. */
static const struct {
	const char *title;
	size_t width;
} columns[N_COLUMNS] = {
	[STATE] = { "STATE", 8 },     [OPEN] = { "OPEN", 6 },
	[HELD] = { "HELD", 5 },       [ACCEPTED] = { "ACCEPTED", 8 },
	[REFUSED] = { "REFUSED", 7 }, [FAILED] = { "FAILED", 6 },
	[UP] = { "UP", 5 },           [DOWN] = { "DOWN", 5 },
};

/* What a line is about. */
static const char title_mark[] = "", proxy_mark[] = "", listener_mark[] = "  < ",
		  server_mark[] = "  > ", unit_mark[] = "  * ";

struct row {
	const char *mark, *name;
	const char *cells[N_COLUMNS]; /* NULL: empty */
};

enum terminal_state { MEASURING, DRAWING };

struct terminal {
	struct status *status;
	struct subjects subjects;
	enum terminal_state state;
	struct subject_cursor at;
	uint64_t open, held, accepted;
	size_t width;
	size_t name_width; /* of the longest so far; then: of all */
	unsigned int n_columns;
};

/* ---- measuring ---- */

static void measure_name(struct terminal *terminal, const char *mark, const char *name)
{
	size_t width = strlen(mark) + columns_count(name);

	if (width > terminal->name_width)
		terminal->name_width = width;
}

static void add_up(struct terminal *terminal, const struct subject *subject)
{
	terminal->open += subject_open(subject);
	terminal->held += subject_held(subject);
	terminal->accepted += counters_sum(subject->proxy->counts, PROXY_ACCEPTED);
}

/* The part of the subject that it is at. */
static void measure(struct terminal *terminal, const struct subject *subject)
{
	const struct unit *unit = backend_unit(subject->backend);
	size_t index = terminal->at.index;

	switch (terminal->at.part) {
	case SUBJECT_HEAD:
		add_up(terminal, subject);
		measure_name(terminal, proxy_mark, subject->proxy->config.name);
		break;
	case SUBJECT_SOCKET:
		measure_name(terminal, listener_mark, proxy_socket_at(subject->proxy, index)->text);
		break;
	case SUBJECT_MIDDLE:
		break;
	case SUBJECT_SERVER:
		measure_name(terminal, server_mark, backend_server(subject->backend, index)->text);
		break;
	case SUBJECT_TAIL:
		if (unit)
			measure_name(terminal, unit_mark, unit_name(unit));
		break;
	}
}

/* Names get what the columns leave them, and no more than they need. */
static void share_width(struct terminal *terminal)
{
	size_t taken = 0;

	while (terminal->n_columns < N_COLUMNS) {
		size_t width = 1 + columns[terminal->n_columns].width;

		if (NAME_MIN + taken + width > terminal->width)
			break;
		taken += width;
		terminal->n_columns++;
	}
	if (terminal->name_width < NAME_MIN)
		terminal->name_width = NAME_MIN;
	if (terminal->name_width > terminal->width - taken)
		terminal->name_width = terminal->width - taken;
}

/* ---- lines ---- */

static void put_blanks(struct evbuffer *out, size_t n)
{
	evbuffer_add_printf(out, "%*s", (int)n, "");
}

/*
 * @blanks: that stand before it, unless nothing follows; states begin at the left, numbers end
 *          at the right
 */
static void put_cell(struct evbuffer *out, const char *text, enum column column, size_t *blanks)
{
	size_t room = columns[column].width - (text ? strlen(text) : 0);

	*blanks += 1;
	if (!text) {
		*blanks += room;
		return;
	}
	put_blanks(out, *blanks + (column == STATE ? 0 : room));
	evbuffer_add(out, text, strlen(text));
	*blanks = column == STATE ? room : 0;
}

static void put_row(struct evbuffer *out, const struct terminal *terminal, const struct row *row)
{
	size_t mark = strlen(row->mark), blanks;

	evbuffer_add(out, row->mark, mark);
	blanks = terminal->name_width - mark -
		 columns_put(out, row->name, terminal->name_width - mark);
	for (unsigned int i = 0; i < terminal->n_columns; i++)
		put_cell(out, row->cells[i], i, &blanks);
	evbuffer_add(out, "\n", 1);
}

static void put_line(struct evbuffer *out, const struct terminal *terminal, const char *text)
{
	columns_put(out, text, terminal->width);
	evbuffer_add(out, "\n", 1);
}

/* ---- the process ---- */

static void put_process(struct evbuffer *out, const struct terminal *terminal)
{
	char reason[160], line[320], age[COLUMNS_NUMBER_SIZE];
	bool is_healthy = healthz_is_healthy(terminal->status, reason, sizeof(reason));
	struct self self;
	double seconds;

	self_look(&self);
	seconds = overview_now() - self.started;
	columns_format_age(seconds > 0 ? (uint64_t)seconds : 0, age);
	snprintf(line, sizeof(line), "sockfront %s, process %d, up %s: %s%s", SOCKFRONT_VERSION,
		 (int)getpid(), age, is_healthy ? "healthy" : "not healthy, ",
		 is_healthy ? "" : reason);
	put_line(out, terminal, line);
}

static void put_connections(struct evbuffer *out, const struct terminal *terminal)
{
	unsigned int n = counters_look_after();
	char line[160];
	int used;

	used = snprintf(line, sizeof(line), "%llu of %u connections, %llu held, %llu accepted",
			(unsigned long long)terminal->open,
			atomic_load(&terminal->status->process->limit.max),
			(unsigned long long)terminal->held, (unsigned long long)terminal->accepted);
	if (n > 0)
		snprintf(line + used, sizeof(line) - (size_t)used, "; %u older process%s", n,
			 n == 1 ? " drains" : "es drain");
	put_line(out, terminal, line);
}

static void put_head(struct evbuffer *out, const struct terminal *terminal)
{
	struct row titles = { .mark = title_mark, .name = "PROXY" };

	for (unsigned int i = 0; i < N_COLUMNS; i++)
		titles.cells[i] = columns[i].title;
	put_process(out, terminal);
	put_connections(out, terminal);
	evbuffer_add(out, "\n", 1);
	put_row(out, terminal, &titles);
}

/* ---- proxies ---- */

/* The texts of a row. */
struct cells {
	char texts[N_COLUMNS][COLUMNS_NUMBER_SIZE];
};

static void set_count(struct row *row, struct cells *cells, enum column column, uint64_t n)
{
	columns_format_count(n, columns[column].width, cells->texts[column]);
	row->cells[column] = cells->texts[column];
}

static void set_bytes(struct row *row, struct cells *cells, uint64_t up, uint64_t down)
{
	columns_format_bytes(up, cells->texts[UP]);
	columns_format_bytes(down, cells->texts[DOWN]);
	row->cells[UP] = cells->texts[UP];
	row->cells[DOWN] = cells->texts[DOWN];
}

static void put_proxy(struct evbuffer *out, const struct terminal *terminal,
		      const struct subject *subject)
{
	const struct counters *counts = subject->proxy->counts;
	struct row row = { .mark = proxy_mark, .name = subject->proxy->config.name };
	struct cells cells;

	set_count(&row, &cells, OPEN, subject_open(subject));
	set_count(&row, &cells, HELD, subject_held(subject));
	set_count(&row, &cells, ACCEPTED, counters_sum(counts, PROXY_ACCEPTED));
	set_count(&row, &cells, REFUSED, subject_refused(subject));
	set_count(&row, &cells, FAILED, counters_sum(counts, PROXY_ENDED + END_NO_BACKEND));
	set_bytes(&row, &cells, counters_sum(counts, PROXY_UP), counters_sum(counts, PROXY_DOWN));
	put_row(out, terminal, &row);
}

static void put_socket(struct evbuffer *out, const struct terminal *terminal,
		       const struct proxy *proxy, size_t index)
{
	const struct counters *counts = proxy->sockets[index].counts;
	struct row row = { .mark = listener_mark, .name = proxy_socket_at(proxy, index)->text };
	struct cells cells;

	set_count(&row, &cells, ACCEPTED, counters_sum(counts, LISTENER_ACCEPTED));
	set_bytes(&row, &cells, counters_sum(counts, LISTENER_UP),
		  counters_sum(counts, LISTENER_DOWN));
	put_row(out, terminal, &row);
}

static void put_server(struct evbuffer *out, const struct terminal *terminal,
		       const struct server *server)
{
	struct row row = { .mark = server_mark, .name = server->text };
	struct cells cells;

	row.cells[STATE] = word_of_health(health_state(&server->state->health));
	set_count(&row, &cells, OPEN, server_active(server));
	set_count(&row, &cells, ACCEPTED, counters_sum(server->counts, SERVER_CONNECTED));
	set_count(&row, &cells, FAILED, subject_server_failures(server));
	set_bytes(&row, &cells, counters_sum(server->counts, SERVER_UP),
		  counters_sum(server->counts, SERVER_DOWN));
	put_row(out, terminal, &row);
}

static void put_unit(struct evbuffer *out, const struct terminal *terminal, const struct unit *unit)
{
	struct row row = { .mark = unit_mark, .name = unit_name(unit) };

	row.cells[STATE] = word_of_unit(unit_state(unit));
	put_row(out, terminal, &row);
}

static void draw(struct evbuffer *out, const struct terminal *terminal,
		 const struct subject *subject)
{
	const struct unit *unit = backend_unit(subject->backend);
	size_t index = terminal->at.index;

	switch (terminal->at.part) {
	case SUBJECT_HEAD:
		put_proxy(out, terminal, subject);
		break;
	case SUBJECT_SOCKET:
		put_socket(out, terminal, subject->proxy, index);
		break;
	case SUBJECT_MIDDLE:
		break;
	case SUBJECT_SERVER:
		put_server(out, terminal, backend_server(subject->backend, index));
		break;
	case SUBJECT_TAIL:
		if (unit)
			put_unit(out, terminal, unit);
		break;
	}
}

/* ---- in pieces ---- */

/* Goes on with the subjects until all are done, or the turn is over. */
static bool go_on(struct terminal *terminal, struct evbuffer *out)
{
	struct turn turn = turn_begin(out);
	const struct subject *subject;

	while ((subject = subject_at(&terminal->subjects, &terminal->at))) {
		if (terminal->state == MEASURING)
			measure(terminal, subject);
		else
			draw(out, terminal, subject);
		subject_cursor_next(&terminal->at, &terminal->subjects);
		if (turn_is_over(&turn, out))
			return true;
	}
	return false;
}

static bool more(void *data, struct evbuffer *out)
{
	struct terminal *terminal = data;

	if (go_on(terminal, out))
		return true;
	if (terminal->state == DRAWING)
		return false;
	share_width(terminal);
	put_head(out, terminal);
	terminal->state = DRAWING;
	terminal->at = (struct subject_cursor){ 0 };
	return true;
}

static void *begin(struct status *status, const struct answer_request *request, int *ret_code,
		   const char **ret_type)
{
	struct terminal *terminal = calloc(1, sizeof(*terminal));
	size_t width = query_number(request->query, "width", WIDTH, TERMINAL_WIDTH_MAX);

	*ret_code = HTTP_OK;
	*ret_type = "text/plain; charset=utf-8";
	if (!terminal)
		return NULL;
	if (subjects_take(&terminal->subjects, status->process->generation) < 0) {
		free(terminal);
		return NULL;
	}
	terminal->status = status;
	terminal->width = width > TERMINAL_WIDTH_MIN ? width : TERMINAL_WIDTH_MIN;
	return terminal;
}

static void end(void *data)
{
	struct terminal *terminal = data;

	subjects_drop(&terminal->subjects);
	free(terminal);
}

const struct answer_route terminal_route = {
	.path = TERMINAL_PATH,
	.begin = begin,
	.more = more,
	.end = end,
};
