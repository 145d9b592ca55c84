/* SPDX-License-Identifier: MIT */
/*
 * The new process of an upgrade: what it was given, and its notes to the old one.
 */
#include "daemon/handover/takeover.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/notify.h"
#include "daemon/handover/fdstore.h"
#include "daemon/handover/upgrade_protocol.h"

/* For the old process to read what there is to say. */
#define PATIENCE_MS 60000

static struct {
	bool is_one;          /* until it is the service */
	bool has_predecessor; /* .control is open */
	bool may_accept;
	bool is_undecided; /* from "accepting" to the answer */
	bool is_called_off;
	int control;
	size_t n_received;
	struct event event;
	struct takeover_handlers handlers;
} takeover;

static int take_descriptor(const char **text)
{
	char *end;
	long fd = strtol(*text, &end, 10);

	if (end == *text || fd < 3 || fd > INT32_MAX || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return -1;
	*text = end;
	return (int)fd;
}

/* " FD:NAME" */
static bool receive_one(const char **text)
{
	char name[STORE_NAME_SIZE];
	size_t len;
	int fd;

	*text += 1;
	fd = take_descriptor(text);
	if (fd < 0 || **text != ':')
		return false;
	*text += 1;
	len = strcspn(*text, " ");
	snprintf(name, sizeof(name), "%.*s", (int)len, *text);
	*text += len;
	takeover.n_received++;
	return store_add(name, fd);
}

int takeover_receive(void)
{
	const char *text = getenv(UPGRADE_VARIABLE);

	if (!text)
		return 0;
	takeover.control = take_descriptor(&text);
	takeover.is_one = takeover.has_predecessor = takeover.control >= 0;
	while (takeover.is_one && *text == ' ' && receive_one(&text))
		;
	/* Another process is the service. */
	notify_mute(takeover.is_one);
	if (!takeover.is_one || *text != '\0')
		return -EINVAL;
	unsetenv(UPGRADE_VARIABLE);
	return fcntl(takeover.control, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

bool takeover_is_waiting(void)
{
	return takeover.is_one;
}

bool takeover_expects_word(void)
{
	return takeover.is_one && takeover.has_predecessor && !takeover.is_called_off;
}

bool takeover_is_undecided(void)
{
	return takeover.is_undecided;
}

bool takeover_has_predecessor(void)
{
	return takeover.has_predecessor;
}

static void become_service(void)
{
	takeover.is_one = takeover.is_undecided = false;
	notify_mute(false);
	takeover.handlers.yours();
}

/* The old process goes on, or ends, without us. */
static void lost(void)
{
	takeover.may_accept = takeover.is_undecided = false;
	takeover.is_called_off = true;
	takeover.handlers.lost();
}

/* Before it is the service, it may serve those whom it has accepted; then nothing is lost. */
static void old_ended(void)
{
	event_del(&takeover.event);
	close(takeover.control);
	takeover.has_predecessor = false;
	if (!takeover.may_accept)
		lost();
	else if (takeover.is_one)
		become_service();
	else
		takeover.handlers.alone();
}

static void act_on(const struct note *note)
{
	switch (note->kind) {
	case NOTE_GO:
		takeover.may_accept = true;
		takeover.handlers.go();
		break;
	case NOTE_STOP:
		takeover.handlers.stop();
		break;
	case NOTE_RELOAD:
		takeover.handlers.reload();
		break;
	case NOTE_YOURS:
		become_service();
		break;
	case NOTE_CALLED_OFF:
		lost();
		break;
	default:
		break;
	}
}

static void old_spoke(evutil_socket_t fd, short what, void *arg)
{
	struct note note;
	int r = note_read(fd, &note);

	(void)what;
	(void)arg;
	if (r == -EAGAIN)
		return;
	if (r < 0)
		old_ended();
	else
		act_on(&note);
}

/* With many listeners the old process needs its time to read. */
static void report(int kind, int value)
{
	const struct note note = { kind, value };
	struct pollfd room = { .fd = takeover.control, .events = POLLOUT };

	/* If the old process has ended, reading says so. */
	while (write(takeover.control, &note, sizeof(note)) < 0 && errno == EAGAIN)
		if (poll(&room, 1, PATIENCE_MS) == 0)
			return; /* it gives us up, too */
}

void takeover_report_ready(struct event_base *base, const struct takeover_handlers *handlers)
{
	takeover.handlers = *handlers;
	event_assign(&takeover.event, base, takeover.control, EV_READ | EV_PERSIST, old_spoke,
		     NULL);
	event_add(&takeover.event, NULL);
	for (size_t i = 0; i < takeover.n_received; i++)
		if (store_was_taken(i))
			report(NOTE_TAKEN, (int)i);
	report(NOTE_READY, 0);
}

void takeover_report_accepting(void)
{
	takeover.is_undecided = true;
	report(NOTE_ACCEPTING, 0);
}
