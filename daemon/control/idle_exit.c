/* SPDX-License-Identifier: MIT */
/*
 * The timer of exit-idle-time.  It does not follow each connection: when it
 * fires, it looks how long it has been quiet, and sleeps for what is missing.
 */
#include "daemon/control/idle_exit.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdint.h>

#include "conf/conf.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/control/on_demand.h"
#include "daemon/handover/takeover.h"
#include "daemon/proxy/generation.h"
#include "daemon/worker/acceptor.h"
#include "daemon/worker/process.h"
#include "daemon/worker/totals.h"

/* systemd gives a unit up that is started more than five times in ten seconds. */
#define SAFE_MS 3000

#define RETRY_MS 100

static struct {
	struct process *process;
	struct event timer;
	bool started;
	void (*quiet)(void);
	uint64_t warned_of_ms;
	uint64_t served_ms;        /* when somebody was last seen to be served */
	unsigned long long served; /* how many had been by then */
} idle;

static void arm(uint64_t ms)
{
	struct timeval tv = timeval_from_ms(ms);

	event_add(&idle.timer, &tv);
}

/* How long the most patient proxy holds a client. */
static uint64_t longest_hold(void)
{
	const struct generation *generation = idle.process->generation;
	uint64_t longest = 0;

	for (size_t i = 0; i < generation->n_proxies; i++)
		if (generation->proxies[i]->config.connect_timeout_ms > longest)
			longest = generation->proxies[i]->config.connect_timeout_ms;
	return longest;
}

/*
 * Clients that wait for a backend that is gone, and others after them, would keep the
 * process for ever, and with it a backend that starts with it: after a connect-timeout
 * without anybody served they count no more.
 */
static uint64_t time_left_beside_held(uint64_t limit)
{
	uint64_t hold = longest_hold(), quiet = clock_ms() - idle.served_ms;

	/* Until then they may leave at any time. */
	if (quiet < hold)
		return limit;
	return quiet - hold >= limit ? 0 : limit - (quiet - hold);
}

static bool is_anybody_served(unsigned int used)
{
	unsigned long long served = total_served(idle.process);
	bool anybody = used > total_held(idle.process) || served != idle.served;

	idle.served = served;
	if (anybody)
		idle.served_ms = clock_ms();
	return anybody;
}

/* How long there have to be no clients from now on; 0: not at all. */
static uint64_t time_left_of_clients(void)
{
	struct connection_limit *connections = &idle.process->limit;
	uint64_t limit = idle.process->settings.exit_idle_ms, quiet;
	unsigned int used = connection_limit_used(connections);

	/* Those of the process that this one took over from end with it. */
	if (takeover_state() == TAKEOVER_FOLLOWED || (is_anybody_served(used) && used > 0))
		return limit;
	if (used > 0)
		return time_left_beside_held(limit);
	quiet = clock_ms() - connection_limit_quiet_since(connections);
	return quiet >= limit ? 0 : limit - quiet;
}

/* How long it has to stay quiet from now on; 0: not at all. */
static uint64_t time_left(void)
{
	uint64_t units = on_demand_time_left_ms(), left = time_left_of_clients();

	/* What was started here is stopped here. */
	return left > units ? left : units;
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	uint64_t left = time_left();

	(void)fd;
	(void)what;
	(void)arg;
	if (left > 0)
		arm(left);
	else
		acceptor_stop_if_idle(idle.process->acceptor);
}

static void acceptor_answered(struct message *message)
{
	uint64_t left;

	/* Nothing is accepted any more: there is no way back, whatever was set meanwhile. */
	if (message_owner(message, struct acceptor, asked_if_idle)->stopped_idle) {
		idle.quiet();
		return;
	}
	if (!idle.started)
		return;
	/* Somebody came in just then; or accepting pauses, and there is no way to tell. */
	left = time_left();
	arm(left > RETRY_MS ? left : RETRY_MS);
}

void idle_exit_start(struct process *process, void (*quiet)(void))
{
	uint64_t limit = process->settings.exit_idle_ms;

	idle_exit_stop();
	if (limit == SFRONT_INFINITY_MS)
		return;
	if (limit < SAFE_MS && limit != idle.warned_of_ms)
		log_line(LOG_WARNING,
			 "exit-idle-time is below 3s: a unit that is started that often needs "
			 "StartLimitIntervalSec=0, or systemd gives it and its sockets up");
	idle.warned_of_ms = limit;
	idle.process = process;
	idle.quiet = quiet;
	idle.started = true;
	idle.served_ms = clock_ms();
	process->acceptor->asked_if_idle.deliver = acceptor_answered;
	event_assign(&idle.timer, process->loop.base, -1, 0, timer_fired, NULL);
	arm(limit);
}

void idle_exit_stop(void)
{
	if (idle.started)
		event_del(&idle.timer);
	idle.started = false;
}
