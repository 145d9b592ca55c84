/* SPDX-License-Identifier: MIT */
/*
 * Starts threads: see thread.h.
 */
#include "daemon/base/thread.h"

#include <pthread.h>
#include <signal.h>

static int set_up(pthread_attr_t *attributes, size_t stack_size)
{
	int r = pthread_attr_setdetachstate(attributes, PTHREAD_CREATE_DETACHED);

	if (r == 0 && stack_size > 0)
		r = pthread_attr_setstacksize(attributes, stack_size);
	return r;
}

/* Returns 0 or an errno, as pthread_create() does. */
static int create(pthread_t *ret_thread, const pthread_attr_t *attributes, void *(*main)(void *),
		  void *arg)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(ret_thread, attributes, main, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int thread_start_detached(void *(*main)(void *), void *arg, size_t stack_size)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r = pthread_attr_init(&attributes);

	if (r != 0)
		return -r;
	r = set_up(&attributes, stack_size);
	if (r == 0)
		r = create(&thread, &attributes, main, arg);
	pthread_attr_destroy(&attributes);
	return -r;
}

int thread_start(pthread_t *ret_thread, void *(*main)(void *), void *arg)
{
	return -create(ret_thread, NULL, main, arg);
}
