/* SPDX-License-Identifier: MIT */
/*
 * Asks the workers for their connections: see survey.h.
 */
#include "daemon/worker/survey.h"

#include <stdlib.h>

#include "daemon/worker/process.h"
#include "daemon/worker/worker.h"

/* One worker's part.  The worker's while it is asked, the main thread's else. */
struct part {
	struct survey *survey;
	struct worker *worker;
	struct message ask;      /* delivered to the worker: begin, or go on */
	struct message rest;     /* the same: nobody looks any more */
	struct message answered; /* delivered to the main thread */
	bool is_touring;
	struct view_list open;  /* of this tour */
	struct view_list over;  /* what had ended when it began */
	struct view_list ended; /* what ends now; the worker's alone */
};

struct survey {
	struct process *process;
	survey_done *done;
	void *data;
	unsigned int n_parts, n_awaited;
	struct view_list open, ended; /* of the parts that have answered */
	struct part parts[];
};

/* ---- on the worker's thread ---- */

static void view(void *object, void *data)
{
	view_add_open(data, object);
}

static void begin(struct part *part)
{
	struct session_host *host = &part->worker->host;

	part->over = part->ended;
	part->ended = (struct view_list){ 0 };
	host->ended = &part->ended;
	slab_tour_begin(&host->sessions);
	part->is_touring = true;
}

/* A piece at a time: connections want their turn too. */
static void asked(struct message *message)
{
	struct part *part = message_owner(message, struct part, ask);

	if (!part->is_touring)
		begin(part);
	if (slab_tour_go_on(&part->worker->host.sessions, view, &part->open)) {
		mailbox_post(&part->worker->host.loop.mailbox, &part->ask);
		return;
	}
	part->is_touring = false;
	mailbox_post(&part->survey->process->loop.mailbox, &part->answered);
}

static void rest(struct message *message)
{
	struct part *part = message_owner(message, struct part, rest);

	part->worker->host.ended = NULL;
	view_list_clear(&part->ended);
}

/* ---- on the main thread ---- */

static void finish(struct survey *survey)
{
	survey->done(survey->data, &survey->open, &survey->ended);
	view_list_clear(&survey->open);
	view_list_clear(&survey->ended);
}

static void answered(struct message *message)
{
	struct part *part = message_owner(message, struct part, answered);
	struct survey *survey = part->survey;

	view_list_append(&survey->open, &part->open);
	view_list_append(&survey->ended, &part->over);
	if (--survey->n_awaited == 0)
		finish(survey);
}

static void part_init(struct part *part, struct survey *survey, struct worker *worker)
{
	*part = (struct part){
		.survey = survey,
		.worker = worker,
		.ask.deliver = asked,
		.rest.deliver = rest,
		.answered.deliver = answered,
	};
}

struct survey *survey_new(struct process *process, survey_done *done, void *data)
{
	unsigned int n = process->n_workers;
	struct survey *survey = calloc(1, sizeof(*survey) + n * sizeof(*survey->parts));

	if (!survey)
		return NULL;
	survey->process = process;
	survey->done = done;
	survey->data = data;
	survey->n_parts = n;
	for (unsigned int i = 0; i < n; i++)
		part_init(&survey->parts[i], survey, &process->workers[i]);
	return survey;
}

void survey_free(struct survey *survey)
{
	if (!survey)
		return;
	for (unsigned int i = 0; i < survey->n_parts; i++) {
		view_list_clear(&survey->parts[i].open);
		view_list_clear(&survey->parts[i].over);
		view_list_clear(&survey->parts[i].ended);
	}
	view_list_clear(&survey->open);
	view_list_clear(&survey->ended);
	free(survey);
}

void survey_begin(struct survey *survey)
{
	if (survey->n_awaited > 0)
		return;
	survey->n_awaited = survey->n_parts;
	for (unsigned int i = 0; i < survey->n_parts; i++)
		mailbox_post(&survey->parts[i].worker->host.loop.mailbox, &survey->parts[i].ask);
}

void survey_rest(struct survey *survey)
{
	for (unsigned int i = 0; i < survey->n_parts; i++)
		mailbox_post(&survey->parts[i].worker->host.loop.mailbox, &survey->parts[i].rest);
}
