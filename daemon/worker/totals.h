/* SPDX-License-Identifier: MIT */
/*
 * What all workers have together.  Each counts for itself, so that nothing is shared on
 * the way of a connection.  Any thread, while the workers are there.
 */
#ifndef DAEMON_WORKER_TOTALS_H
#define DAEMON_WORKER_TOTALS_H

struct process;

/* Clients that wait for their backend now. */
unsigned int total_held(const struct process *process);

/* Clients that have reached it so far. */
unsigned long long total_served(const struct process *process);

/* Pipes for splicing, those that are idle too. */
unsigned int total_pipes(const struct process *process);

#endif
