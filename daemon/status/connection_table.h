/* SPDX-License-Identifier: MIT */
/*
 * The open connections as a table: how fast each is, and a window of it in some order.
 */
#ifndef DAEMON_STATUS_CONNECTION_TABLE_H
#define DAEMON_STATUS_CONNECTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/session/view.h"

struct evbuffer;

/* What it is sorted by. */
enum table_key { BY_AGE, BY_CLIENT, BY_PROXY, BY_SERVER, BY_UP, BY_DOWN, BY_RATE };

struct table_window {
	enum table_key key;
	bool is_descending;
	size_t first, rows; /* rows: TABLE_ROWS_MAX at most */
};

#define TABLE_ROWS_MAX 200

struct table_row {
	const struct view *view;
	double rate_up, rate_down; /* bytes a second, since the last look */
};

/* Zeroed at first. */
struct connection_table {
	struct view_list list;  /* owned */
	struct table_row *rows; /* owned array, by id */
};

/*
 * Takes a new list, which is empty then; what was before tells the rates.  Without memory the
 * table is empty.
 */
void connection_table_set(struct connection_table *table, struct view_list *list);

void connection_table_clear(struct connection_table *table);

/* The key of that name.  False: there is none. */
bool table_key_parse(const char *name, enum table_key *ret);

/* "total":..., "first":..., "rows":[...] */
void connection_table_put(const struct connection_table *table, const struct table_window *window,
			  struct evbuffer *out);

/* [...]: connections that have ended, the newest last. */
void connection_table_put_ended(const struct view_list *ended, struct evbuffer *out);

#endif
