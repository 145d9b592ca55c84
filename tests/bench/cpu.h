/* SPDX-License-Identifier: MIT */
/*
 * How much processor time the proxy has used: the kernel's own account of each
 * thread in its tree of processes.
 */
#ifndef BENCH_CPU_H
#define BENCH_CPU_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Nanoseconds that @pid, its threads, its children of any depth and the
 * children that have ended already have run.  Returns 0, or -ESRCH when @pid
 * is gone.
 */
int cpu_of_tree(pid_t pid, uint64_t *ret_ns);

#endif
