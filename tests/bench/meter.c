/* SPDX-License-Identifier: MIT */
/*
 * Phases, clocks and the printed result of a measurement: see meter.h.
 */
#include "tests/bench/meter.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/bench/cpu.h"

#define RESTING_US 100000

static uint64_t proxy_cpu(const struct plan *plan)
{
	uint64_t ns = 0;

	if (plan->proxy != 0 && cpu_of_tree(plan->proxy, &ns) < 0)
		fatal("the proxy, process %d, has ended", plan->proxy);
	return ns;
}

uint64_t meter_resting_cpu(const struct plan *plan)
{
	uint64_t cpu, began;

	if (plan->proxy == 0)
		return 0;
	cpu = proxy_cpu(plan);
	began = clock_ns();
	usleep(RESTING_US);
	cpu = proxy_cpu(plan) - cpu;
	return cpu * 1000 / ((clock_ns() - began) / 1000000);
}

void meter_start(struct meter *meter, const struct plan *plan)
{
	uint64_t now = clock_ns();

	*meter = (struct meter){
		.plan = plan,
		.phase = PHASE_WARM,
		.due_ns = now + plan->warm_ns,
		.progress_ns = now,
	};
}

bool meter_turns(struct meter *meter, uint64_t now)
{
	if (meter->phase == PHASE_OVER || now < meter->due_ns)
		return false;
	if (meter->phase == PHASE_WARM) {
		meter->phase = PHASE_MEASURE;
		meter->cpu_began_ns = proxy_cpu(meter->plan);
		meter->began_ns = clock_ns();
		meter->due_ns = meter->began_ns + meter->plan->measure_ns;
	} else {
		meter->phase = PHASE_OVER;
		meter->ended_ns = clock_ns();
		meter->cpu_ended_ns = proxy_cpu(meter->plan);
	}
	return true;
}

void meter_watch(struct meter *meter, uint64_t now, bool moved)
{
	if (moved)
		meter->progress_ns = now;
	else if (now > meter->progress_ns + STALL_NS)
		fatal("nothing has moved for %" PRIu64 " seconds", STALL_NS / NS_PER_S);
}

static void print_latency(const struct histogram *latency)
{
	static const struct {
		const char *name;
		double share;
	} points[] = { { "p50_ns", 0.5 }, { "p99_ns", 0.99 }, { "p999_ns", 0.999 } };

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		printf(", \"%s\": %" PRIu64, points[i].name,
		       histogram_at(latency, points[i].share));
}

void meter_note(struct meter *meter, const char *name, uint64_t value)
{
	meter->notes[meter->n_notes++] = (struct note){ name, value };
}

void meter_print(const struct meter *meter, const char *what, uint64_t amount,
		 const struct histogram *latency)
{
	if (amount == 0)
		fatal("nothing was done in the time that was measured");
	printf("{\"%s\": %" PRIu64 ", \"ns\": %" PRIu64, what, amount,
	       meter->ended_ns - meter->began_ns);
	if (meter->plan->proxy != 0)
		printf(", \"cpu_ns\": %" PRIu64 ", \"resting_cpu_ns\": %" PRIu64,
		       meter->cpu_ended_ns - meter->cpu_began_ns, meter->resting_cpu_ns);
	for (size_t i = 0; i < meter->n_notes; i++)
		printf(", \"%s\": %" PRIu64, meter->notes[i].name, meter->notes[i].value);
	if (latency != NULL)
		print_latency(latency);
	printf("}\n");
}
