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
#include <time.h>

#include "daemon/base/clock.h"
#include "daemon/base/notify.h"
#include "daemon/base/utf8.h"
#include "daemon/proxy/generation.h"
#include "daemon/worker/process.h"

#define INTERVAL_MS 5000

/* How long the manager shall wait for the next message: two may be late. */
#define EXTEND_MS 15000

/* Of the reload that failed. */
#define FAILURE_SIZE 384

static struct {
	struct process *process;
	struct event timer;
	bool started, draining;
	char failure[FAILURE_SIZE]; /* empty: the last reload has not failed */
	uint64_t sent_ms;           /* when the last line was */
	char text[640];             /* that line */
} status;

static void format(char *buf, size_t size)
{
	const struct process *process = status.process;
	unsigned int n = connection_limit_used(&status.process->limit);

	if (status.draining)
		snprintf(buf, size, "stopping: %u connection(s) left", n);
	else
		snprintf(buf, size, "%u connection(s), %zu prox%s%s", n,
			 process->generation->n_proxies,
			 process->generation->n_proxies == 1 ? "y" : "ies", status.failure);
}

/* The manager takes a line of UTF-8; words of a file may be anything. */
static size_t append_clean(char *buf, size_t size, size_t used, const char *words)
{
	while (*words) {
		size_t length = utf8_length(words);
		bool is_plain = length > 1 || (length == 1 && *words >= ' ' && *words != 0x7f);

		if (used + (length > 1 ? length : 1) >= size)
			break;
		if (is_plain)
			memcpy(buf + used, words, length);
		else
			buf[used] = '?';
		used += is_plain ? length : 1;
		words += length > 0 ? length : 1;
	}
	buf[used] = '\0';
	return used;
}

static void format_failure(const char *why)
{
	time_t now = time(NULL);
	struct tm tm;
	size_t used;

	localtime_r(&now, &tm);
	used = strftime(status.failure, sizeof(status.failure),
			"; the reload at %F %T failed: ", &tm);
	(void)append_clean(status.failure, sizeof(status.failure), used, why);
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

static void tell_soon(void)
{
	uint64_t since = clock_ms() - status.sent_ms;

	if (status.started && !event_pending(&status.timer, EV_TIMEOUT, NULL))
		arm(since >= INTERVAL_MS ? 0 : INTERVAL_MS - since);
}

static void change_delivered(struct message *message)
{
	(void)message;
	tell_soon();
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

void manager_status_note_reload(const char *why)
{
	if (why)
		format_failure(why);
	else
		status.failure[0] = '\0';
	tell_soon();
}

void manager_status_stop(void)
{
	if (status.started)
		event_del(&status.timer);
	status.started = false;
}
