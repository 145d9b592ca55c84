/* SPDX-License-Identifier: MIT */
/*
 * A loop that seldom has something to do, and a thread that runs it only then.
 *
 * While a process has one thread, the kernel looks up its descriptors without counting who
 * uses them: a short connection costs a twentieth less.  So the thread that has the most to do
 * runs another loop, the host, which waits for what would wake this one.
 *
 *	            a descriptor of it is ready, or a timer is due
 *	RESTING --------------------------------------------------> RUNNING
 *	   ^                                                           |
 *	   '-----------------------------------------------------------'
 *	            nothing was to do for a moment
 */
#ifndef DAEMON_BASE_LOOP_THREAD_H
#define DAEMON_BASE_LOOP_THREAD_H

#include <event2/event_struct.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/loop.h"

struct loop_thread {
	struct loop *loop;
	struct loop *host;
	struct event ready, due; /* on the host's base, while the loop is RESTING */
	struct event now;        /* on the loop's: what its timers are compared with */
	struct message rested;   /* to the host: the thread is over */
	pthread_t thread;
	bool is_to_join;   /* it was started, and may have ended since */
	uint64_t pause_us; /* until the loop's first timer; UINT64_MAX: it has none */
	bool is_left;      /* event_base_loopbreak() was called for it */
};

/*
 * Runs @loop once, and whenever it has something to do after that.  The caller's thread is to
 * run @host's, and does not touch what belongs to @loop meanwhile.  Leaving @loop, by
 * event_base_loopbreak(), leaves @host's too.
 *
 * @loop: its poll_fd is known
 */
void loop_thread_begin(struct loop_thread *thread, struct loop *loop, struct loop *host);

/* After that: both loops are the caller's again. */
void loop_thread_end(struct loop_thread *thread);

#endif
