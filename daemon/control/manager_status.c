/* SPDX-License-Identifier: MIT */
/*
 * STATUS= and EXTEND_TIMEOUT_USEC=, through notify.c.  Workers tell the main
 * thread of the first change after each message only, and without a change no
 * timer runs.
 */
#include "daemon/control/manager_status.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/notify.h"
#include "daemon/proxy/generation.h"
#include "daemon/worker/process.h"

#define INTERVAL_MS 5000

/* How long the manager shall wait for the next message: two may be late. */
#define EXTEND_MS 15000

static struct {
	struct process *process;
	struct event timer;
	bool started, draining;
	uint64_t sent_ms; /* when the last line was */
	char text[128];   /* that line */
} status;

static void format(char *buf, size_t size)
{
	const struct process *process = status.process;
	unsigned int n = connection_limit_used(&status.process->limit);

	if (status.draining)
		snprintf(buf, size, "stopping: %u connection(s) left", n);
	else
		snprintf(buf, size, "%u connection(s), %zu prox%s", n,
			 process->generation->n_proxies,
			 process->generation->n_proxies == 1 ? "y" : "ies");
}

static void arm(uint64_t ms)
{
	struct timeval tv = timeval_from_ms(ms);

	event_add(&status.timer, &tv);
}

static void tell(void)
{
	char text[sizeof(status.text)];

	format(text, sizeof(text));
	if (status.draining)
		notify_hint("EXTEND_TIMEOUT_USEC=%u000", EXTEND_MS);
	if (strcmp(text, status.text) == 0)
		return;
	if (!notify_hint("STATUS=%s", text)) {
		arm(INTERVAL_MS);
		return;
	}
	strcpy(status.text, text);
	status.sent_ms = clock_ms();
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	/* Before the count is read: what changes after that asks again. */
	atomic_store(&status.process->observer.waits, true);
	tell();
	if (status.draining)
		arm(INTERVAL_MS);
}

static void change_delivered(struct message *message)
{
	uint64_t since = clock_ms() - status.sent_ms;

	(void)message;
	if (status.started && !event_pending(&status.timer, EV_TIMEOUT, NULL))
		arm(since >= INTERVAL_MS ? 0 : INTERVAL_MS - since);
}

void manager_status_start(struct process *process)
{
	if (status.started || !notify_wanted())
		return;
	status.process = process;
	status.started = true;
	process->observer.mailbox = &process->loop.mailbox;
	process->observer.changed.deliver = change_delivered;
	event_assign(&status.timer, process->loop.base, -1, 0, timer_fired, NULL);
	arm(0);
}

void manager_status_drain(void)
{
	if (!status.started)
		return;
	status.draining = true;
	arm(0);
}

void manager_status_stop(void)
{
	if (status.started)
		event_del(&status.timer);
	status.started = false;
}
