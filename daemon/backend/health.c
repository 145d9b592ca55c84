/* SPDX-License-Identifier: MIT */
/*
 * The health of a server: see health.h.
 */
#include "daemon/backend/health.h"

#include "daemon/base/clock.h"

/* Longer than a server that is down is left alone by probes; clients may stay away for ever. */
#define KNOWN_MS 60000

void health_init(struct health *health, bool trusts_checks)
{
	atomic_init(&health->state, trusts_checks ? HEALTH_UNKNOWN : HEALTH_UP);
	atomic_init(&health->trusts_checks, trusts_checks);
	health->n_passed = health->n_failed = 0;
	atomic_init(&health->failures, 0);
	atomic_init(&health->resets, 0);
	atomic_init(&health->failed_ms, 0);
	pthread_mutex_init(&health->lock, NULL);
}

void health_clear(struct health *health)
{
	pthread_mutex_destroy(&health->lock);
}

void health_share(struct health *health, const struct health *newer)
{
	atomic_store(&health->trusts_checks, atomic_load(&newer->trusts_checks));
}

bool health_is_known_down(const struct health *health)
{
	return health_state(health) == HEALTH_DOWN &&
	       clock_ms() < atomic_load(&health->failed_ms) + KNOWN_MS;
}

/* The only place where the state changes.  Returns whether it does. */
static bool enter(struct health *health, enum health_state state)
{
	if (health_state(health) == state)
		return false;
	atomic_store(&health->state, state);
	health->n_passed = health->n_failed = 0;
	if (state == HEALTH_UP) {
		atomic_store(&health->failures, 0);
		atomic_store(&health->resets, 0);
	}
	return true;
}

/* One more of those that are counted there. */
static bool count(struct health *health, atomic_uint *counter)
{
	bool changed = false;

	pthread_mutex_lock(&health->lock);
	atomic_store(&health->failed_ms, clock_ms());
	if (atomic_fetch_add(counter, 1) + 1 >= HEALTH_FAILURES)
		changed = enter(health, HEALTH_DOWN);
	else if (health_is_up(health) && atomic_load(&health->trusts_checks))
		changed = enter(health, HEALTH_SUSPECT);
	health->n_passed = 0;
	pthread_mutex_unlock(&health->lock);
	return changed;
}

bool health_note_failure(struct health *health)
{
	return count(health, &health->failures);
}

bool health_note_reset(struct health *health)
{
	return count(health, &health->resets);
}

bool health_note_silence(struct health *health)
{
	bool changed = false;

	pthread_mutex_lock(&health->lock);
	if (health_is_up(health))
		changed = enter(health, HEALTH_SUSPECT);
	pthread_mutex_unlock(&health->lock);
	return changed;
}

bool health_note_answer(struct health *health)
{
	bool changed = false;

	if (health_is_up(health) &&
	    atomic_load_explicit(&health->failures, memory_order_relaxed) == 0)
		return false;
	pthread_mutex_lock(&health->lock);
	if (health_is_up(health) || !atomic_load(&health->trusts_checks)) {
		atomic_store(&health->failures, 0);
		changed = enter(health, HEALTH_UP);
	}
	pthread_mutex_unlock(&health->lock);
	return changed;
}

bool health_note_passed_check(struct health *health, unsigned int rise)
{
	bool changed = false;

	pthread_mutex_lock(&health->lock);
	health->n_failed = 0;
	if (health->n_passed < rise)
		health->n_passed++;
	if (health->n_passed >= rise)
		changed = enter(health, HEALTH_UP);
	pthread_mutex_unlock(&health->lock);
	return changed;
}

bool health_note_failed_check(struct health *health, unsigned int fall)
{
	bool changed = false;

	pthread_mutex_lock(&health->lock);
	atomic_store(&health->failed_ms, clock_ms());
	health->n_passed = 0;
	if (health->n_failed < fall)
		health->n_failed++;
	if (health->n_failed >= fall)
		changed = enter(health, HEALTH_DOWN);
	pthread_mutex_unlock(&health->lock);
	return changed;
}

void health_note_service(struct health *health)
{
	if (atomic_load_explicit(&health->resets, memory_order_relaxed) == 0)
		return;
	pthread_mutex_lock(&health->lock);
	atomic_store(&health->resets, 0);
	pthread_mutex_unlock(&health->lock);
}
