/* SPDX-License-Identifier: MIT */
/*
 * Threads that exist only for what would block somebody else.
 */
#ifndef DAEMON_BASE_THREAD_H
#define DAEMON_BASE_THREAD_H

#include <stddef.h>

/*
 * Starts a thread that nobody waits for, with every signal blocked: they are the main
 * thread's.
 *
 * @stack_size: bytes; 0: the system's default
 *
 * Returns 0 or -errno.
 */
int thread_start_detached(void *(*main)(void *), void *arg, size_t stack_size);

#endif
