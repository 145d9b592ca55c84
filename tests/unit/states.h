/* SPDX-License-Identifier: MIT */
/*
 * The table test of a state machine: every event in every state, with the state that
 * follows and what is done, in words.  What stands not in the table changes nothing.
 */
#ifndef TESTS_UNIT_STATES_H
#define TESTS_UNIT_STATES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct states_row {
	int state, event, after;
	const char *done;
};

struct states {
	const struct states_row *rows;
	size_t n_rows;
	const char *const *state_names, *const *event_names;
	int n_states, n_events;
	void (*reach)(int state);  /* from the beginning, and forgets what was done on the way */
	void (*happen)(int event); /* and notes what is done */
	int (*state)(void);
};

/* What was done, in words. */
static char states_done[256];

static inline void note_done(const char *word)
{
	if (*states_done != '\0')
		strncat(states_done, " ", sizeof(states_done) - strlen(states_done) - 1);
	strncat(states_done, word, sizeof(states_done) - strlen(states_done) - 1);
}

static inline struct states_row states_find(const struct states *states, int state, int event)
{
	for (size_t i = 0; i < states->n_rows; i++)
		if (states->rows[i].state == state && states->rows[i].event == event)
			return states->rows[i];
	return (struct states_row){ state, event, state, "" };
}

/* Whether that event has the effect that the table says. */
static inline bool states_check(const struct states *states, int state, int event)
{
	struct states_row row = states_find(states, state, event);

	states->reach(state);
	assert_int_equal(states->state(), state);
	states_done[0] = '\0';
	states->happen(event);
	if (states->state() == row.after && strcmp(states_done, row.done) == 0)
		return true;
	print_error("%s, %s: %s \"%s\" instead of %s \"%s\"\n", states->state_names[state],
		    states->event_names[event], states->state_names[states->state()], states_done,
		    states->state_names[row.after], row.done);
	return false;
}

static inline void states_check_all(const struct states *states)
{
	int n_wrong = 0;

	for (int state = 0; state < states->n_states; state++)
		for (int event = 0; event < states->n_events; event++)
			n_wrong += !states_check(states, state, event);
	assert_int_equal(n_wrong, 0);
}

#endif
