/* SPDX-License-Identifier: MIT */
/*
 * Connections as the status shows them: copies, for another thread to read.
 */
#ifndef DAEMON_SESSION_VIEW_H
#define DAEMON_SESSION_VIEW_H

#include <stddef.h>
#include <stdint.h>

struct session;

enum view_state { VIEW_HEADER, VIEW_CONNECTING, VIEW_RELAYING, VIEW_HALF_CLOSED, VIEW_ABORTING };

enum view_text {
	VIEW_ID,
	VIEW_CLIENT,
	VIEW_PROXY,
	VIEW_LISTENER,
	VIEW_SERVER, /* empty: none has answered */
	VIEW_REASON, /* empty: it is open */
	N_VIEW_TEXTS
};

struct view {
	uint64_t up, down; /* bytes */
	uint64_t age_us;   /* how long it has lasted */
	uint64_t at_us;    /* when it was seen, or ended: by the exact clock */
	enum view_state state;
	size_t texts[N_VIEW_TEXTS]; /* where they begin among those of the list */
};

/* Zeroed at first. */
struct view_list {
	struct view *views; /* owned array */
	size_t n, room;
	char *texts; /* owned */
	size_t used, texts_room;
	size_t missed; /* for which there was no memory, or no place */
};

/* How many ended connections are kept until somebody takes them. */
#define VIEW_ENDED_MAX 100

/* The session's own thread. */
void view_add_open(struct view_list *list, struct session *session);
void view_add_ended(struct view_list *list, struct session *session, const char *reason);

static inline const char *view_text(const struct view_list *list, const struct view *view,
				    enum view_text which)
{
	return list->texts + view->texts[which];
}

/* Adds those of @more, which is empty then. */
void view_list_append(struct view_list *list, struct view_list *more);

void view_list_clear(struct view_list *list);

/* As a word: "half-closed". */
const char *view_state_word(enum view_state state);

#endif
