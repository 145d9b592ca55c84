/* SPDX-License-Identifier: MIT */
/*
 * Events for those who look: see events.h.
 *
 *	        somebody looks              all workers             it is
 *	RESTING --------------> SURVEYING -----------------> TELLING ---------> WAITING
 *	   ^                        ^     have answered                            |
 *	   |                        '----------------------------------------------'
 *	   |                                  a second after it began              |
 *	   '-----------------------------------------------------------------------'
 *	                                    nobody looks any more
 *
 * TELLING takes many turns of the loop: the overview is made in pieces, and who looks is told
 * one after the other.
 */
#include "daemon/status/events.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "daemon/base/clock.h"
#include "daemon/proxy/generation.h"
#include "daemon/status/connection_table.h"
#include "daemon/status/http_stream.h"
#include "daemon/status/overview.h"
#include "daemon/status/query.h"
#include "daemon/status/status.h"
#include "daemon/worker/process.h"
#include "daemon/worker/survey.h"

#define PERIOD_MS 1000

#define ROWS 50

/* Somebody who looks. */
struct watcher {
	TAILQ_ENTRY(watcher) link;
	struct http_stream *stream; /* NULL: it is not open yet */
	struct table_window window;
	bool has_all; /* of the proxies: it is told of changes alone */
	bool is_told; /* in this round */
};

enum events_state { EVENTS_RESTING, EVENTS_SURVEYING, EVENTS_TELLING, EVENTS_WAITING };

static struct {
	struct status *status; /* NULL: nobody has looked yet */
	enum events_state state;
	uint64_t due_ms; /* of the next round */
	struct event turn;
	struct survey *survey; /* owned; made once */
	TAILQ_HEAD(, watcher) watchers;
	struct connection_table table;
	struct view_list ended;
	/* What the proxies were, as was told last: */
	unsigned int generation;   /* its number */
	uint64_t *hashes;          /* NULL: nothing was told yet */
	struct overview *overview; /* while it is made */
	struct evbuffer *text;     /* of that */
	bool is_partial;           /* that */
} events = { .watchers = TAILQ_HEAD_INITIALIZER(events.watchers) };

static void enter(enum events_state state);

/* ---- one event ---- */

static bool send_event(struct watcher *watcher, const char *name, struct evbuffer *data)
{
	struct evbuffer *event = evbuffer_new();
	bool is_sent;

	if (!event)
		return false;
	evbuffer_add_printf(event, "event: %s\ndata: ", name);
	evbuffer_add_buffer_reference(event, data);
	evbuffer_add(event, "\n\n", 2);
	is_sent = http_stream_send(watcher->stream, event);
	evbuffer_free(event);
	return is_sent;
}

static void send_connections(struct watcher *watcher)
{
	struct evbuffer *data = evbuffer_new();

	if (!data)
		return;
	evbuffer_add_printf(data, "{\"now\":%.6f,", overview_now());
	connection_table_put(&events.table, &watcher->window, data);
	evbuffer_add(data, "}", 1);
	(void)send_event(watcher, "connections", data);
	evbuffer_free(data);
}

static void send_ended(struct watcher *watcher)
{
	struct evbuffer *data;

	if (events.ended.n == 0)
		return;
	data = evbuffer_new();
	if (!data)
		return;
	evbuffer_add_printf(data, "{\"rows\":");
	connection_table_put_ended(&events.ended, data);
	evbuffer_add(data, "}", 1);
	(void)send_event(watcher, "ended", data);
	evbuffer_free(data);
}

/* One that has missed what changed is told all of it next time. */
static void tell(struct watcher *watcher)
{
	watcher->is_told = true;
	watcher->has_all = (watcher->has_all || !events.is_partial) &&
			   send_event(watcher, "status", events.text);
	send_connections(watcher);
	send_ended(watcher);
}

/* ---- a round ---- */

static bool wants_all(void)
{
	const struct watcher *watcher;

	TAILQ_FOREACH (watcher, &events.watchers, link)
		if (watcher->stream && !watcher->has_all)
			return true;
	return false;
}

/* False: out of memory. */
static bool begin_overview(void)
{
	const struct generation *generation = events.status->process->generation;

	events.is_partial =
		events.hashes && events.generation == generation->number && !wants_all();
	if (!events.is_partial) {
		free(events.hashes);
		events.hashes = calloc(generation->n_proxies + 1, sizeof(*events.hashes));
		events.generation = generation->number;
	}
	events.text = evbuffer_new();
	events.overview = events.text && events.hashes
				  ? overview_begin(events.status, events.hashes, !events.is_partial)
				  : NULL;
	return events.overview;
}

static void end_overview(void)
{
	if (events.overview)
		overview_end(events.overview);
	events.overview = NULL;
	if (events.text)
		evbuffer_free(events.text);
	events.text = NULL;
}

static struct watcher *next_to_tell(void)
{
	struct watcher *watcher;

	TAILQ_FOREACH (watcher, &events.watchers, link)
		if (watcher->stream && !watcher->is_told)
			return watcher;
	return NULL;
}

static void begin_telling(void)
{
	struct watcher *watcher;

	TAILQ_FOREACH (watcher, &events.watchers, link)
		watcher->is_told = false;
	if (!begin_overview())
		enter(EVENTS_WAITING);
}

/* One turn of it. */
static void go_on_telling(void)
{
	struct watcher *watcher;

	if (events.overview) {
		if (!overview_more(events.overview, events.text)) {
			overview_end(events.overview);
			events.overview = NULL;
		}
		return;
	}
	watcher = next_to_tell();
	if (watcher)
		tell(watcher);
	else
		enter(EVENTS_WAITING);
}

static void surveyed(void *data, struct view_list *open, struct view_list *ended)
{
	(void)data;
	if (events.state != EVENTS_SURVEYING)
		return;
	connection_table_set(&events.table, open);
	view_list_append(&events.ended, ended);
	enter(EVENTS_TELLING);
}

static void turn_after(uint64_t ms)
{
	struct timeval tv = timeval_from_ms(ms);

	event_add(&events.turn, &tv);
}

static uint64_t time_left(void)
{
	uint64_t now = clock_ms();

	return events.due_ms > now ? events.due_ms - now : 0;
}

/* The only place where the state changes. */
static void enter(enum events_state state)
{
	if (events.state == EVENTS_TELLING) {
		end_overview();
		view_list_clear(&events.ended);
	}
	event_del(&events.turn);
	events.state = state;
	switch (state) {
	case EVENTS_RESTING:
		survey_rest(events.survey);
		connection_table_clear(&events.table);
		break;
	case EVENTS_SURVEYING:
		events.due_ms = clock_ms() + PERIOD_MS;
		survey_begin(events.survey);
		break;
	case EVENTS_TELLING:
		turn_after(0);
		begin_telling();
		break;
	case EVENTS_WAITING:
		turn_after(time_left());
		break;
	}
}

static void turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (events.state == EVENTS_TELLING) {
		turn_after(0);
		go_on_telling();
	} else if (events.state == EVENTS_WAITING) {
		enter(EVENTS_SURVEYING);
	}
}

/* ---- who looks ---- */

/* False: out of memory. */
static bool prepare(struct status *status)
{
	if (events.survey)
		return true;
	events.survey = survey_new(status->process, surveyed, NULL);
	if (!events.survey)
		return false;
	events.status = status;
	event_assign(&events.turn, status->process->loop.base, -1, 0, turn, NULL);
	return true;
}

static void read_window(const struct evkeyvalq *query, struct table_window *window)
{
	const char *key = evhttp_find_header(query, "sort");
	const char *order = evhttp_find_header(query, "order");

	window->key = BY_AGE;
	if (key)
		(void)table_key_parse(key, &window->key);
	window->is_descending = !order || strcmp(order, "asc") != 0;
	window->first = query_number(query, "first", 0, UINT32_MAX);
	window->rows = query_number(query, "rows", ROWS, TABLE_ROWS_MAX);
}

static void *watcher_begin(struct status *status, const struct answer_request *request,
			   int *ret_code, const char **ret_type)
{
	struct watcher *watcher = calloc(1, sizeof(*watcher));

	*ret_code = 200;
	if (!watcher || !prepare(status)) {
		free(watcher);
		return NULL;
	}
	read_window(request->query, &watcher->window);
	TAILQ_INSERT_TAIL(&events.watchers, watcher, link);
	*ret_type = "text/event-stream";
	return watcher;
}

/* Who has come is told at once, if nobody is just being told. */
static void watcher_open(void *answer, struct http_stream *stream)
{
	struct watcher *watcher = answer;

	watcher->stream = stream;
	if (events.state == EVENTS_RESTING || events.state == EVENTS_WAITING)
		enter(EVENTS_SURVEYING);
}

static void watcher_end(void *answer)
{
	struct watcher *watcher = answer;

	TAILQ_REMOVE(&events.watchers, watcher, link);
	free(watcher);
	if (TAILQ_EMPTY(&events.watchers) && events.state != EVENTS_RESTING)
		enter(EVENTS_RESTING);
}

void events_clear(void)
{
	if (!events.survey)
		return;
	survey_free(events.survey);
	events.survey = NULL;
	free(events.hashes);
	events.hashes = NULL;
	view_list_clear(&events.ended);
	connection_table_clear(&events.table);
}

const struct answer_route events_route = {
	.path = "/events",
	.begin = watcher_begin,
	.end = watcher_end,
	.open = watcher_open,
};
