/* SPDX-License-Identifier: MIT */
/*
 * The course of a measurement: warm up, measure, be over.  Takes the time and
 * the proxy's processor time exactly where the measurement begins and ends.
 */
#ifndef BENCH_METER_H
#define BENCH_METER_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/bench/histogram.h"
#include "tests/bench/load.h"

enum phase { PHASE_WARM, PHASE_MEASURE, PHASE_OVER };

/* A figure that only some workloads have. */
struct note {
	const char *name;
	uint64_t value;
};

#define METER_NOTES 2

struct meter {
	const struct plan *plan;
	enum phase phase;
	uint64_t due_ns; /* the end of this phase */
	uint64_t began_ns, ended_ns;
	uint64_t cpu_began_ns, cpu_ended_ns;
	uint64_t progress_ns;    /* when something last moved */
	uint64_t resting_cpu_ns; /* of a second: meter_resting_cpu() */
	struct note notes[METER_NOTES];
	size_t n_notes;
};

/* What the proxy uses while nothing is asked of it, as nanoseconds of a second; takes 0.1 s. */
uint64_t meter_resting_cpu(const struct plan *plan);

void meter_start(struct meter *meter, const struct plan *plan);

/* Whether another phase has just begun; to be asked after every batch of events. */
bool meter_turns(struct meter *meter, uint64_t now);

/* Ends the program when nothing has moved for too long; @now is noted if it has. */
void meter_watch(struct meter *meter, uint64_t now, bool moved);

/* Has the result say this, too; METER_NOTES at most, once the measurement is over. */
void meter_note(struct meter *meter, const char *name, uint64_t value);

/* Prints the result, one JSON object.  @latency: may be NULL. */
void meter_print(const struct meter *meter, const char *what, uint64_t amount,
		 const struct histogram *latency);

#endif
