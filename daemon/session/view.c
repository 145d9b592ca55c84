/* SPDX-License-Identifier: MIT */
/*
 * Copies of connections: see view.h.
 */
#include "daemon/session/view.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/backend/server.h"
#include "daemon/base/clock.h"
#include "daemon/proxy/proxy.h"
#include "daemon/session/access_log.h"
#include "daemon/session/connection_id.h"
#include "daemon/session/state.h"

/* ---- lists ---- */

/* Room for @more after the @used ones of @size bytes each. */
static bool make_room(void **array, size_t *room, size_t used, size_t more, size_t size)
{
	size_t wanted = *room > 0 ? *room : 64;
	void *larger;

	while (wanted - used < more)
		wanted *= 2;
	if (wanted == *room)
		return true;
	larger = realloc(*array, wanted * size);
	if (!larger)
		return false;
	*array = larger;
	*room = wanted;
	return true;
}

static bool room_for(struct view_list *list, size_t n, size_t bytes)
{
	return make_room((void **)&list->views, &list->room, list->n, n, sizeof(*list->views)) &&
	       make_room((void **)&list->texts, &list->texts_room, list->used, bytes, 1);
}

static void add(struct view_list *list, struct view *view, const char *const texts[N_VIEW_TEXTS])
{
	size_t bytes = 0;

	for (int i = 0; i < N_VIEW_TEXTS; i++)
		bytes += strlen(texts[i]) + 1;
	if (!room_for(list, 1, bytes)) {
		list->missed++;
		return;
	}
	for (int i = 0; i < N_VIEW_TEXTS; i++) {
		view->texts[i] = list->used;
		strcpy(list->texts + list->used, texts[i]);
		list->used += strlen(texts[i]) + 1;
	}
	list->views[list->n++] = *view;
}

void view_list_append(struct view_list *list, struct view_list *more)
{
	list->missed += more->missed;
	if (more->n == 0)
		return;
	if (!room_for(list, more->n, more->used)) {
		list->missed += more->n;
		view_list_clear(more);
		return;
	}
	for (size_t i = 0; i < more->n; i++) {
		struct view view = more->views[i];

		for (int j = 0; j < N_VIEW_TEXTS; j++)
			view.texts[j] += list->used;
		list->views[list->n++] = view;
	}
	memcpy(list->texts + list->used, more->texts, more->used);
	list->used += more->used;
	view_list_clear(more);
}

void view_list_clear(struct view_list *list)
{
	free(list->views);
	free(list->texts);
	*list = (struct view_list){ 0 };
}

/* ---- sessions ---- */

static enum view_state state_of(const struct session *session)
{
	switch ((enum session_state)session->state) {
	case SESSION_NEW:
	case SESSION_AWAITING_HEADER:
		return VIEW_HEADER;
	case SESSION_CONNECTING:
		return VIEW_CONNECTING;
	case SESSION_RELAYING:
		return session->client.ended || session->backend.ended ? VIEW_HALF_CLOSED
								       : VIEW_RELAYING;
	case SESSION_ABORTING:
	case SESSION_CLOSED:
		break;
	}
	return VIEW_ABORTING;
}

const char *view_state_word(enum view_state state)
{
	static const char *const words[] = {
		[VIEW_HEADER] = "header",     [VIEW_CONNECTING] = "connecting",
		[VIEW_RELAYING] = "relaying", [VIEW_HALF_CLOSED] = "half-closed",
		[VIEW_ABORTING] = "aborting",
	};

	return words[state];
}

/* One that was not needed so far is made now: it stays the same from one look to the next. */
static const char *id_of(struct session *session)
{
	struct sfront_connection connection;
	struct connection_id id;

	if (!session->note) {
		connection = endpoint_connection(&session->client);
		id = connection_id_next();
		session->note = access_note_new(&connection, &id);
	}
	return session->note ? access_note_id(session->note) : "";
}

static void add_session(struct view_list *list, struct session *session, const char *reason)
{
	const char *texts[N_VIEW_TEXTS] = {
		[VIEW_ID] = id_of(session),
		[VIEW_PROXY] = session->proxy->config.name,
		[VIEW_LISTENER] = proxy_socket_at(session->proxy, session->socket)->text,
		[VIEW_SERVER] = session->server ? session->server->text : "",
		[VIEW_REASON] = reason,
	};
	char client[SFRONT_ADDRESS_TEXT_SIZE];
	struct view view = {
		.up = session->client.moved,
		.down = session->backend.moved,
		.at_us = clock_exact_us(),
		.state = state_of(session),
	};

	if (session->began_us > 0)
		view.age_us = view.at_us - session->began_us;
	access_log_format_client(session->note, &session->client, client, sizeof(client));
	texts[VIEW_CLIENT] = client;
	add(list, &view, texts);
}

void view_add_open(struct view_list *list, struct session *session)
{
	add_session(list, session, "");
}

void view_add_ended(struct view_list *list, struct session *session, const char *reason)
{
	if (list->n < VIEW_ENDED_MAX)
		add_session(list, session, reason);
	else
		list->missed++;
}
