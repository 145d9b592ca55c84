/* SPDX-License-Identifier: MIT */
/*
 * What connections there are: asked of each worker by a message, and gathered there in turns,
 * between which it relays.  The main thread's.
 */
#ifndef DAEMON_WORKER_SURVEY_H
#define DAEMON_WORKER_SURVEY_H

#include <stdbool.h>

#include "daemon/session/view.h"

struct process;

/* The lists are @done's to take; what it leaves is freed. */
typedef void survey_done(void *data, struct view_list *open, struct view_list *ended);

struct survey;

/* Returns NULL when out of memory. */
struct survey *survey_new(struct process *process, survey_done *done, void *data);

/* Once the workers' threads have ended. */
void survey_free(struct survey *survey);

/*
 * Asks all workers; @done is called once all have answered.  Connections that end from now on
 * are noted, up to survey_rest().  Does nothing while one is under way.
 */
void survey_begin(struct survey *survey);

/* Nobody looks any more: what ends is no longer noted. */
void survey_rest(struct survey *survey);

#endif
