/* SPDX-License-Identifier: MIT */
/*
 * Wakes a loop and lets it rest: see loop_thread.h.
 */
#include "daemon/base/loop_thread.h"

#include <event2/event.h>
#include <poll.h>
#include <stddef.h>
#include <sys/time.h>

#include "daemon/base/counters.h"
#include "daemon/base/thread.h"

/*
 * What follows soon, as the next of many requests does, finds the thread still there: to
 * start one costs the host, and who waits for the host notices that.
 */
#define LINGER_MS 100

/* How soon to look again where there is no memory to tell when the first timer is due. */
#define NO_MEMORY_US ((uint64_t)LINGER_MS * 1000)

static void start(struct loop_thread *thread);

/* ---- timers ---- */

struct first_timer {
	const struct event *now;
	struct timeval due;
	bool is_found;
};

/* timercmp() is none that cppcheck can read. */
static bool is_earlier(const struct timeval *a, const struct timeval *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_usec < b->tv_usec;
}

static int note_timer(const struct event_base *base, const struct event *event, void *data)
{
	struct first_timer *first = data;
	struct timeval due;

	(void)base;
	if (event == first->now || !event_pending(event, EV_TIMEOUT, &due))
		return 0;
	if (!first->is_found || is_earlier(&due, &first->due))
		first->due = due;
	first->is_found = true;
	return 0;
}

/*
 * libevent tells by the wall clock when a timer is due, and looks at that seldom; the
 * difference between two timers that it is asked for in a row does not change with it.
 */
static uint64_t time_to_first_timer(struct loop_thread *thread)
{
	static const struct timeval at_once = { 0, 0 };
	struct first_timer first = { .now = &thread->now };
	struct timeval now, left;

	if (event_add(&thread->now, &at_once) < 0)
		return NO_MEMORY_US;
	event_pending(&thread->now, EV_TIMEOUT, &now);
	event_base_foreach_event(thread->loop->base, note_timer, &first);
	event_del(&thread->now);
	if (!first.is_found)
		return UINT64_MAX;
	if (is_earlier(&first.due, &now))
		return 0;
	timersub(&first.due, &now, &left);
	return (uint64_t)left.tv_sec * 1000000 + (uint64_t)left.tv_usec;
}

static void now_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* ---- RUNNING ---- */

/* Whether there is something to do, or will be in that time, which is waited for. */
static bool goes_on(const struct loop_thread *thread, unsigned int linger_ms)
{
	struct pollfd pfd = { .fd = thread->loop->poll_fd, .events = POLLIN };
	bool is_due = thread->pause_us <= linger_ms * UINT64_C(1000);
	int ms = is_due ? (int)((thread->pause_us + 999) / 1000) : (int)linger_ms;

	return poll(&pfd, 1, ms) != 0 || is_due;
}

static void run(struct loop_thread *thread, unsigned int linger_ms)
{
	struct event_base *base = thread->loop->base;

	do {
		event_base_loop(base, EVLOOP_NONBLOCK);
		thread->is_left = event_base_got_break(base);
		thread->pause_us = time_to_first_timer(thread);
	} while (!thread->is_left && goes_on(thread, linger_ms));
	if (thread->pause_us != UINT64_MAX)
		thread->pause_us -= linger_ms * UINT64_C(1000);
}

static void *thread_main(void *arg)
{
	struct loop_thread *thread = arg;

	run(thread, LINGER_MS);
	mailbox_post(&thread->host->mailbox, &thread->rested);
	return NULL;
}

/* Without a thread to be had, the host waits. */
static void run_here(struct loop_thread *thread)
{
	unsigned int row = counters_row;

	counters_use_main_row();
	run(thread, 0);
	counters_row = row;
	mailbox_post(&thread->host->mailbox, &thread->rested);
}

/* ---- RESTING, on the host's thread ---- */

static void rest(struct loop_thread *thread)
{
	struct timeval pause = { .tv_sec = (time_t)(thread->pause_us / 1000000),
				 .tv_usec = (suseconds_t)(thread->pause_us % 1000000) };

	/* Without memory to wait for it, it runs. */
	if (event_add(&thread->ready, NULL) < 0 ||
	    (thread->pause_us != UINT64_MAX && event_add(&thread->due, &pause) < 0))
		start(thread);
}

static void rested(struct message *message)
{
	struct loop_thread *thread = message_owner(message, struct loop_thread, rested);

	if (thread->is_left)
		event_base_loopbreak(thread->host->base);
	else
		rest(thread);
}

/* One that has rested has no more to do than to end. */
static void join(struct loop_thread *thread)
{
	if (thread->is_to_join)
		pthread_join(thread->thread, NULL);
	thread->is_to_join = false;
}

static void start(struct loop_thread *thread)
{
	event_del(&thread->ready);
	event_del(&thread->due);
	join(thread);
	thread->is_to_join = thread_start(&thread->thread, thread_main, thread) == 0;
	if (!thread->is_to_join)
		run_here(thread);
}

static void woken(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	start(arg);
}

/* ---- */

void loop_thread_begin(struct loop_thread *thread, struct loop *loop, struct loop *host)
{
	thread->loop = loop;
	thread->host = host;
	thread->is_to_join = false;
	thread->rested = (struct message){ .deliver = rested };
	event_assign(&thread->ready, host->base, loop->poll_fd, EV_READ, woken, thread);
	event_assign(&thread->due, host->base, -1, 0, woken, thread);
	event_assign(&thread->now, loop->base, -1, 0, now_fired, NULL);
	start(thread);
}

void loop_thread_end(struct loop_thread *thread)
{
	join(thread);
	event_del(&thread->ready);
	event_del(&thread->due);
	event_del(&thread->now);
}
