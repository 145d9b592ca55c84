/* SPDX-License-Identifier: MIT */
/*
 * A process beside this one that does one thing until this one ends.
 */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/* As fork(), for a child that is killed when its parent ends. */
pid_t child_fork(void);

/* Whether one has ended by itself. */
bool child_has_ended(void);

#endif
