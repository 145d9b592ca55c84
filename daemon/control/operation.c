/* SPDX-License-Identifier: MIT */
/*
 * Which operation is under way and which ones wait: see operation.h.
 */
#include "daemon/control/operation.h"

/* The only place that says which one is under way. */
static void operation_enter(struct operation_queue *queue, enum operation operation)
{
	queue->current = operation;
	queue->waits[operation] = false;
}

enum operation_answer operation_ask(struct operation_queue *queue, enum operation operation,
				    bool may_begin)
{
	if (may_begin && queue->current == OPERATION_NONE) {
		operation_enter(queue, operation);
		return OPERATION_BEGINS;
	}
	/* A file that is changed while it is read has to be read again; a program has not. */
	if (operation == OPERATION_UPGRADE && queue->current == OPERATION_UPGRADE)
		return OPERATION_REPEATED;
	if (queue->waits[operation])
		return OPERATION_REPEATED;
	queue->waits[operation] = true;
	return OPERATION_WAITS;
}

enum operation operation_ended(struct operation_queue *queue)
{
	enum operation next = OPERATION_NONE;

	if (queue->waits[OPERATION_UPGRADE])
		next = OPERATION_UPGRADE;
	else if (queue->waits[OPERATION_RELOAD])
		next = OPERATION_RELOAD;
	operation_enter(queue, next);
	return next;
}
