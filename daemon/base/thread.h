/* SPDX-License-Identifier: MIT */
/*
 * Threads that exist only for what would block somebody else.  Each has every signal blocked:
 * they are the main thread's.
 */
#ifndef DAEMON_BASE_THREAD_H
#define DAEMON_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/*
 * Starts a thread that nobody waits for.
 *
 * @stack_size: bytes; 0: the system's default
 *
 * Returns 0 or -errno.
 */
int thread_start_detached(void *(*main)(void *), void *arg, size_t stack_size);

/* Starts one that is to be joined, with the system's default of a stack.  Returns 0 or -errno. */
int thread_start(pthread_t *ret_thread, void *(*main)(void *), void *arg);

#endif
