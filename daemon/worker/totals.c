/* SPDX-License-Identifier: MIT */
/*
 * Sums over the workers: see totals.h.
 */
#include "daemon/worker/totals.h"

#include "daemon/worker/process.h"
#include "daemon/worker/worker.h"

unsigned int total_held(const struct process *process)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < process->n_workers; i++)
		n += atomic_load_explicit(&process->workers[i].host.counts.held,
					  memory_order_relaxed);
	return n;
}

unsigned long long total_served(const struct process *process)
{
	unsigned long long n = 0;

	for (unsigned int i = 0; i < process->n_workers; i++)
		n += atomic_load_explicit(&process->workers[i].host.counts.served,
					  memory_order_relaxed);
	return n;
}

unsigned int total_pipes(const struct process *process)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < process->n_workers; i++)
		n += atomic_load_explicit(&process->workers[i].host.pipes.n_pipes,
					  memory_order_relaxed);
	return n;
}
