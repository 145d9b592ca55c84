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
 * So are checks that fail, of which there may have to be more or fewer.
 *
 * Where servers are trusted after a check alone, they begin as UNKNOWN, a failure makes one
 * SUSPECT at once, and nothing but checks that pass makes it UP.
 */
enum health_state { HEALTH_UP, HEALTH_SUSPECT, HEALTH_DOWN, HEALTH_UNKNOWN };

#define HEALTH_FAILURES 3

struct health {
	atomic_uint state; /* enum health_state; assigned by enter() alone */
	atomic_uint failures;
	atomic_uint resets;
	atomic_ullong failed_ms;         /* when one of these, or a check, was last counted */
	atomic_bool trusts_checks;       /* alone; as the newest line has it */
	pthread_mutex_t lock;            /* whoever changes these, but for the last one, has it */
	unsigned int n_passed, n_failed; /* checks in a row */
};

/* @trusts_checks: nothing else makes it up */
void health_init(struct health *health, bool trusts_checks);
void health_clear(struct health *health);

/* @health goes on, with what @newer trusts.  Before other threads know @newer. */
void health_share(struct health *health, const struct health *newer);

static inline enum health_state health_state(const struct health *health)
{
	return (enum health_state)atomic_load_explicit(&health->state, memory_order_relaxed);
}

static inline bool health_is_up(const struct health *health)
{
	return health_state(health) == HEALTH_UP;
}

/* Whether it is down, and something has failed within the last minute: it may be back by then. */
bool health_is_known_down(const struct health *health);

/* Each returns whether the state is another one now.  Any thread. */

bool health_note_failure(struct health *health);
bool health_note_silence(struct health *health);

/* A connection was reset before a byte had moved. */
bool health_note_reset(struct health *health);

/* It has accepted a connection. */
bool health_note_answer(struct health *health);

/* A check has passed: so many in a row make it up. */
bool health_note_passed_check(struct health *health, unsigned int rise);

/* A check has failed: so many in a row make it down. */
bool health_note_failed_check(struct health *health, unsigned int fall);

/* Bytes have moved. */
void health_note_service(struct health *health);

#endif
