/* SPDX-License-Identifier: MIT */
/*
 * A timerfd: see fine_timer.h.  It is never read: setting it forgets what has expired, and
 * watched edge-triggered it is told of once.
 */
#include "daemon/base/fine_timer.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include "daemon/base/clock.h"

#define NS_PER_S UINT64_C(1000000000)

static void timer_ready(evutil_socket_t fd, short what, void *arg)
{
	struct fine_timer *timer = arg;

	(void)fd;
	(void)what;
	timer->due_ns = 0;
	timer->fired(timer->arg);
}

void fine_timer_init(struct fine_timer *timer, struct event_base *base, void (*fired)(void *arg),
		     void *arg)
{
	*timer = (struct fine_timer){ .base = base, .fired = fired, .arg = arg, .fd = -1 };
}

static bool open_timer(struct fine_timer *timer)
{
	if (timer->fd >= 0)
		return true;
	timer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (timer->fd < 0)
		return false;
	event_assign(&timer->event, timer->base, timer->fd, EV_READ | EV_PERSIST | EV_ET,
		     timer_ready, timer);
	if (event_add(&timer->event, NULL) == 0)
		return true;
	close(timer->fd);
	timer->fd = -1;
	return false;
}

bool fine_timer_set(struct fine_timer *timer, uint64_t ns)
{
	struct itimerspec time = {
		.it_value = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) },
	};

	if (!open_timer(timer) || timerfd_settime(timer->fd, 0, &time, NULL) < 0)
		return false;
	timer->due_ns = clock_exact_ns() + ns;
	return true;
}

void fine_timer_close(struct fine_timer *timer)
{
	if (timer->fd < 0)
		return;
	event_del(&timer->event);
	close(timer->fd);
	timer->fd = -1;
	timer->due_ns = 0;
}
