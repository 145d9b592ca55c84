/* SPDX-License-Identifier: MIT */
/*
 * What follows from what happens to the process: see life.h.
 */
#include "daemon/control/life.h"

/* The only place that changes the state. */
static enum life_action life_enter(struct life *life, enum life_state state,
				   enum life_action action)
{
	if (state <= life->state)
		return LIFE_NOTHING;
	life->state = state;
	return action;
}

static enum life_action note_stop(struct life *life, bool expects_word)
{
	bool is_second = life->stop_asked && !expects_word;

	life->stop_asked = true;
	if (!life_is_ending(life))
		return life_enter(life, LIFE_DRAINING, LIFE_TAKE_QUEUES);
	/* It may drain for another reason than a signal. */
	if (!is_second)
		return LIFE_SAY_WAITING;
	return life_enter(life, LIFE_CUTTING, LIFE_END_CONNECTIONS);
}

enum life_action life_note(struct life *life, enum life_event event, bool expects_word)
{
	switch (event) {
	case LIFE_ACCEPTS:
		return life_enter(life, LIFE_RUNNING, LIFE_ANNOUNCE);
	case LIFE_STOP:
		return note_stop(life, expects_word);
	case LIFE_STOP_PASSED_ON:
		if (!life_is_ending(life))
			life->stop_asked = true;
		return life_enter(life, LIFE_DRAINING, LIFE_TAKE_QUEUES);
	case LIFE_ORPHANED:
		/* Its own signal, which may be on its way still, is not a second one. */
		life->stop_asked = false;
		return life_enter(life, LIFE_DRAINING, LIFE_TAKE_QUEUES);
	case LIFE_REPLACED:
		/* The last clients of a listener that the new process lacks are still ours. */
		return life_enter(life, LIFE_DRAINING, LIFE_TAKE_QUEUES);
	case LIFE_QUIET:
		return life->state == LIFE_RUNNING
			       ? life_enter(life, LIFE_DRAINING, LIFE_LEAVE_QUEUES)
			       : LIFE_NOTHING;
	case LIFE_CUT:
		return life_enter(life, LIFE_CUTTING, LIFE_END_CONNECTIONS);
	}
	return LIFE_NOTHING;
}
