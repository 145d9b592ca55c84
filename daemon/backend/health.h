/* SPDX-License-Identifier: MIT */
/*
 * Whether a server answers, by what its clients and our own probes have met.  Shared by all
 * threads; while all is well, a note costs two loads.
 */
#ifndef DAEMON_BACKEND_HEALTH_H
#define DAEMON_BACKEND_HEALTH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 *	     no answer for a while             the third failure in a row
 *	UP ------------------------> SUSPECT ------------------------------> DOWN
 *	 | ^                            |                                     | ^
 *	 | |         it answers         |                                     | |
 *	 | '----------------------------+-------------------------------------' |
 *	 |                   the third failure in a row                         |
 *	 '----------------------------------------------------------------------'
 *
 * A failure is a connection that was refused or never came about; or one that was reset
 * before a byte had moved, since anything later may be what the client deserves.
 * Those are counted apart: a server that accepts, and resets, has answered each time.
 */
enum health_state { HEALTH_UP, HEALTH_SUSPECT, HEALTH_DOWN };

#define HEALTH_FAILURES 3

struct health {
	atomic_uint state; /* enum health_state; assigned by enter() alone */
	atomic_uint failures;
	atomic_uint resets;
	pthread_mutex_t lock; /* whoever changes these has it */
};

void health_init(struct health *health);
void health_clear(struct health *health);

static inline enum health_state health_state(const struct health *health)
{
	return (enum health_state)atomic_load_explicit(&health->state, memory_order_relaxed);
}

static inline bool health_is_up(const struct health *health)
{
	return health_state(health) == HEALTH_UP;
}

/* Each returns whether the state is another one now.  Any thread. */

bool health_note_failure(struct health *health);
bool health_note_silence(struct health *health);

/* A connection was reset before a byte had moved. */
bool health_note_reset(struct health *health);

/* It has accepted a connection. */
bool health_note_answer(struct health *health);

/* Bytes have moved. */
void health_note_service(struct health *health);

#endif
