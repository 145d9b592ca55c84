/* SPDX-License-Identifier: MIT */
/*
 * Twice in each period of the watchdog every worker is asked for a sign of life.
 * The manager hears of it once the last one has answered, so that one worker
 * that hangs is enough for it to act.
 */
#include "daemon/control/watchdog.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdint.h>
#include <systemd/sd-daemon.h>

#include "daemon/base/log.h"
#include "daemon/base/notify.h"
#include "daemon/worker/process.h"
#include "daemon/worker/worker.h"

static struct {
	struct process *process;
	struct event timer;
	bool started;
	unsigned int unanswered; /* workers that were asked and have said nothing yet */
	unsigned int rounds;     /* how often they have been waited for in vain */
} watchdog;

static void worker_answered(struct message *message)
{
	(void)message;
	if (--watchdog.unanswered > 0)
		return;
	if (watchdog.rounds > 0)
		log_line(LOG_NOTICE, "every worker answers again");
	watchdog.rounds = 0;
	notify_hint("WATCHDOG=1");
}

static void complain(void)
{
	watchdog.rounds++;
	log_line(LOG_ERR,
		 "%u worker(s) of %u stuck: no answer for %u period(s) of the watchdog's timer",
		 watchdog.unanswered, watchdog.process->n_workers, watchdog.rounds);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct process *process = watchdog.process;

	(void)fd;
	(void)what;
	(void)arg;
	if (watchdog.unanswered > 0) {
		complain();
		return;
	}
	watchdog.unanswered = process->n_workers;
	for (unsigned int i = 0; i < process->n_workers; i++)
		worker_ping(&process->workers[i]);
}

void watchdog_start(struct process *process)
{
	uint64_t usec;
	struct timeval half;

	if (watchdog.started || sd_watchdog_enabled(0, &usec) <= 0)
		return;
	watchdog.process = process;
	watchdog.started = true;
	for (unsigned int i = 0; i < process->n_workers; i++)
		process->workers[i].pong.deliver = worker_answered;
	half.tv_sec = (time_t)(usec / 2 / 1000000);
	half.tv_usec = (suseconds_t)(usec / 2 % 1000000);
	event_assign(&watchdog.timer, process->loop.base, -1, EV_PERSIST, timer_fired, NULL);
	event_add(&watchdog.timer, &half);
	timer_fired(-1, 0, NULL);
}

void watchdog_stop(void)
{
	if (watchdog.started)
		event_del(&watchdog.timer);
	watchdog.started = false;
}
