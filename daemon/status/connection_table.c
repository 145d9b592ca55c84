/* SPDX-License-Identifier: MIT */
/*
 * The open connections as a table: see connection_table.h.
 */
#include "daemon/status/connection_table.h"

#include <event2/buffer.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/status/json.h"
#include "daemon/status/overview.h"

/* ---- rates ---- */

/* qsort_r() hands on the list. */
static int compare_ids(const void *a, const void *b, void *list)
{
	const struct table_row *x = a, *y = b;

	return strcmp(view_text(list, x->view, VIEW_ID), view_text(list, y->view, VIEW_ID));
}

static double rate_of(uint64_t now, uint64_t before, uint64_t us)
{
	return us > 0 && now > before ? (double)(now - before) * 1e6 / (double)us : 0;
}

static void set_rates(struct table_row *row, const struct view *before)
{
	uint64_t us = row->view->at_us - before->at_us;

	row->rate_up = rate_of(row->view->up, before->up, us);
	row->rate_down = rate_of(row->view->down, before->down, us);
}

/* Both are sorted by id. */
static void compare_with(struct connection_table *table, const struct connection_table *before)
{
	size_t j = 0;

	for (size_t i = 0; i < table->list.n; i++) {
		struct table_row *row = &table->rows[i];
		const char *id = view_text(&table->list, row->view, VIEW_ID);
		int order = -1;

		while (j < before->list.n) {
			order = strcmp(view_text(&before->list, before->rows[j].view, VIEW_ID), id);
			if (order >= 0)
				break;
			j++;
		}
		if (j < before->list.n && order == 0)
			set_rates(row, before->rows[j].view);
	}
}

/* False: out of memory. */
static bool sort_by_id(struct connection_table *table)
{
	size_t n = table->list.n;

	table->rows = calloc(n + 1, sizeof(*table->rows));
	if (!table->rows)
		return false;
	for (size_t i = 0; i < n; i++)
		table->rows[i].view = &table->list.views[i];
	qsort_r(table->rows, n, sizeof(*table->rows), compare_ids, &table->list);
	return true;
}

void connection_table_set(struct connection_table *table, struct view_list *list)
{
	struct connection_table next = { .list = *list };

	*list = (struct view_list){ 0 };
	if (sort_by_id(&next))
		compare_with(&next, table);
	else
		view_list_clear(&next.list);
	connection_table_clear(table);
	*table = next;
}

void connection_table_clear(struct connection_table *table)
{
	view_list_clear(&table->list);
	free(table->rows);
	table->rows = NULL;
}

/* ---- order ---- */

static const char *const key_names[] = {
	[BY_AGE] = "age", [BY_CLIENT] = "client", [BY_PROXY] = "proxy", [BY_SERVER] = "server",
	[BY_UP] = "up",   [BY_DOWN] = "down",     [BY_RATE] = "rate",
};

bool table_key_parse(const char *name, enum table_key *ret)
{
	for (size_t i = 0; i < sizeof(key_names) / sizeof(*key_names); i++)
		if (strcmp(key_names[i], name) == 0) {
			*ret = (enum table_key)i;
			return true;
		}
	return false;
}

struct order {
	const struct view_list *list;
	const struct table_window *window;
};

static int compare_numbers(double a, double b)
{
	return (a > b) - (a < b);
}

static int compare_texts(const struct order *order, const struct table_row *a,
			 const struct table_row *b, enum view_text which)
{
	return strcmp(view_text(order->list, a->view, which),
		      view_text(order->list, b->view, which));
}

static int compare_by_key(const struct order *order, const struct table_row *a,
			  const struct table_row *b)
{
	switch (order->window->key) {
	case BY_CLIENT:
		return compare_texts(order, a, b, VIEW_CLIENT);
	case BY_PROXY:
		return compare_texts(order, a, b, VIEW_PROXY);
	case BY_SERVER:
		return compare_texts(order, a, b, VIEW_SERVER);
	case BY_UP:
		return compare_numbers((double)a->view->up, (double)b->view->up);
	case BY_DOWN:
		return compare_numbers((double)a->view->down, (double)b->view->down);
	case BY_RATE:
		return compare_numbers(a->rate_up + a->rate_down, b->rate_up + b->rate_down);
	case BY_AGE:
		break;
	}
	return compare_numbers((double)a->view->age_us, (double)b->view->age_us);
}

/* Of those that are alike, the order stays the same from one look to the next. */
static int compare_rows(const void *a, const void *b, void *data)
{
	const struct table_row *x = *(const struct table_row *const *)a;
	const struct table_row *y = *(const struct table_row *const *)b;
	const struct order *order = data;
	int by_key = compare_by_key(order, x, y);

	if (by_key == 0)
		return compare_texts(order, x, y, VIEW_ID);
	return order->window->is_descending ? -by_key : by_key;
}

/* ---- JSON ---- */

/* What a row and an ended connection have in common. */
static void put_names(struct evbuffer *out, const char *separator, const struct view_list *list,
		      const struct view *view)
{
	const char *server = view_text(list, view, VIEW_SERVER);

	evbuffer_add_printf(out, "%s{", separator);
	json_put_text(out, "", "id", view_text(list, view, VIEW_ID));
	json_put_text(out, ",", "client", view_text(list, view, VIEW_CLIENT));
	json_put_text(out, ",", "proxy", view_text(list, view, VIEW_PROXY));
	json_put_text(out, ",", "listener", view_text(list, view, VIEW_LISTENER));
	json_put_text(out, ",", "server", *server ? server : NULL);
	json_put_number(out, ",", "up", view->up);
	json_put_number(out, ",", "down", view->down);
}

static void put_row(struct evbuffer *out, const char *separator, const struct view_list *list,
		    const struct table_row *row)
{
	put_names(out, separator, list, row->view);
	json_put_seconds(out, ",", "age", (double)row->view->age_us / 1e6);
	evbuffer_add_printf(out, ",\"rate_up\":%.1f,\"rate_down\":%.1f", row->rate_up,
			    row->rate_down);
	json_put_text(out, ",", "state", view_state_word(row->view->state));
	evbuffer_add(out, "}", 1);
}

static void put_rows(const struct connection_table *table, const struct table_window *window,
		     struct evbuffer *out)
{
	const struct order order = { .list = &table->list, .window = window };
	size_t n = table->list.n, last = window->first + window->rows;
	const struct table_row **sorted = calloc(n + 1, sizeof(struct table_row *));

	if (!sorted)
		return;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &table->rows[i];
	qsort_r(sorted, n, sizeof(struct table_row *), compare_rows, (void *)&order);
	for (size_t i = window->first; i < n && i < last; i++)
		put_row(out, i > window->first ? "," : "", &table->list, sorted[i]);
	free(sorted);
}

void connection_table_put(const struct connection_table *table, const struct table_window *window,
			  struct evbuffer *out)
{
	json_put_number(out, "", "total", table->list.n + table->list.missed);
	json_put_number(out, ",", "first", window->first);
	json_put_name(out, ",", "rows");
	evbuffer_add(out, "[", 1);
	put_rows(table, window, out);
	evbuffer_add(out, "]", 1);
}

void connection_table_put_ended(const struct view_list *ended, struct evbuffer *out)
{
	size_t first = ended->n > VIEW_ENDED_MAX ? ended->n - VIEW_ENDED_MAX : 0;
	double now = overview_now();
	uint64_t now_us = clock_exact_us();

	evbuffer_add(out, "[", 1);
	for (size_t i = first; i < ended->n; i++) {
		const struct view *view = &ended->views[i];

		put_names(out, i > first ? "," : "", ended, view);
		json_put_seconds(out, ",", "duration", (double)view->age_us / 1e6);
		json_put_text(out, ",", "reason", view_text(ended, view, VIEW_REASON));
		json_put_seconds(out, ",", "at", now - (double)(now_us - view->at_us) / 1e6);
		evbuffer_add(out, "}", 1);
	}
	evbuffer_add(out, "]", 1);
}
