/* SPDX-License-Identifier: MIT */
/*
 * What is counted for the status: sets of counters with a name each.
 *
 * Each thread that counts has a row of its own in every set, in cache lines of its own, so that
 * counting is an addition without a lock.  All sets lie in one memory file, which an upgrade
 * passes on: the next process adds up its own rows and those of a process that still drains,
 * and no count is lost on the way.
 */
#ifndef DAEMON_BASE_COUNTERS_H
#define DAEMON_BASE_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A set.  NULL stands for one that is not counted. */
struct counters {
	const char *name;
	unsigned int n;
	unsigned int stride; /* counters in a row, whole cache lines */
	unsigned int refs;
	_Atomic(const void *) teller; /* for those who have it, to agree who of them tells of it */
	_Atomic uint64_t *rows;       /* that of past processes, the main thread's, each worker's */
};

/* The row of the thread: 1, the main thread's, unless counters_use_row() says otherwise. */
extern _Thread_local unsigned int counters_row;

/*
 * Makes the file, unless it is there.  The main thread's, before others count.
 *
 * @n_workers: rows beside the main thread's
 *
 * Returns 0 or -errno.
 */
int counters_open(unsigned int n_workers);

/* At the end of the process; every set must have been put. */
void counters_close(void);

/* The thread of worker @index (from 0) counts from now on. */
void counters_use_row(unsigned int index);

/* The thread counts as the main one does, which does not meanwhile. */
void counters_use_main_row(void);

/*
 * The set of that name, made if need be; the caller's until counters_put().  Any thread.
 *
 * @kind: what it is of: "proxy"
 * @of:   and which one; it has no blank in it where there is a part
 * @part: of that; "": all of it
 * @n:    counters in it, the same in each call for that kind
 *
 * Returns NULL when nothing is counted (counters_open() was not called), or without memory.
 */
struct counters *counters_get(const char *kind, const char *of, const char *part, unsigned int n);

/* The last one forgets what was counted.  NULL is allowed. */
void counters_put(struct counters *set);

/* One writer a row: no instruction has to lock the bus.  NULL is allowed. */
static inline void counters_add(struct counters *set, unsigned int index, uint64_t n)
{
	_Atomic uint64_t *counter;

	if (!set)
		return;
	counter = &set->rows[(size_t)counters_row * set->stride + index];
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* The sum over all threads, and over the processes before this one.  The main thread's. */
uint64_t counters_sum(const struct counters *set, unsigned int index);

/* The same, of the processes before this one that are still there. */
uint64_t counters_sum_draining(const struct counters *set, unsigned int index);

/* ---- upgrades; the main thread's ---- */

/* The files to pass on: this process's, then those of the processes before it that still drain. */
#define COUNTERS_FILES_MAX 8

/* Fills in the descriptors, which stay ours; returns how many.  No set is reused from now on. */
unsigned int counters_files(int fds[COUNTERS_FILES_MAX]);

/* Takes the descriptor of such a file: its counts are added to ours.  False: it is none. */
bool counters_follow(int fd);

/* The process that they were passed to does not go on with them: this one does. */
void counters_take_back(void);

/*
 * Looks which of those processes have ended: what they have counted stays ours, unless it was
 * passed on with their files.  Returns how many there still are.
 */
unsigned int counters_look_after(void);

#endif
