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
	struct succession succession;
} successor;

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
	successor.n_received++;
	return store_add(name, fd);
}

int successor_receive(void)
{
	const char *text = getenv(UPGRADE_VARIABLE);

	if (text == NULL)
		return 0;
	successor.control = take_descriptor(&text);
	successor.is_one = successor.has_predecessor = successor.control >= 0;
	while (successor.is_one && *text == ' ' && receive_one(&text))
		;
	/* Another process is the service. */
	notify_mute(successor.is_one);
	if (!successor.is_one || *text != '\0')
		return -EINVAL;
	unsetenv(UPGRADE_VARIABLE);
	return fcntl(successor.control, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

bool successor_is_waiting(void)
{
	return successor.is_one;
}

bool successor_expects_word(void)
{
	return successor.is_one && successor.has_predecessor && !successor.is_called_off;
}

bool successor_is_undecided(void)
{
	return successor.is_undecided;
}

bool successor_has_predecessor(void)
{
	return successor.has_predecessor;
}

static void become_service(void)
{
	successor.is_one = successor.is_undecided = false;
	notify_mute(false);
	successor.succession.yours();
}

/* The old process goes on, or ends, without us. */
static void lost(void)
{
	successor.may_accept = successor.is_undecided = false;
	successor.is_called_off = true;
	successor.succession.lost();
}

/* Before it is the service, it may serve those whom it has accepted; then nothing is lost. */
static void old_ended(void)
{
	event_del(&successor.event);
	close(successor.control);
	successor.has_predecessor = false;
	if (!successor.may_accept)
		lost();
	else if (successor.is_one)
		become_service();
	else
		successor.succession.alone();
}

static void act_on(const struct note *note)
{
	switch (note->kind) {
	case NOTE_GO:
		successor.may_accept = true;
		successor.succession.go();
		break;
	case NOTE_STOP:
		successor.succession.stop();
		break;
	case NOTE_RELOAD:
		successor.succession.reload();
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
	struct pollfd room = { .fd = successor.control, .events = POLLOUT };

	/* If the old process has ended, reading says so. */
	while (write(successor.control, &note, sizeof(note)) < 0 && errno == EAGAIN)
		if (poll(&room, 1, PATIENCE_MS) == 0)
			return; /* it gives us up, too */
}

void successor_report_ready(struct event_base *base, const struct succession *succession)
{
	successor.succession = *succession;
	event_assign(&successor.event, base, successor.control, EV_READ | EV_PERSIST, old_spoke,
		     NULL);
	event_add(&successor.event, NULL);
	for (size_t i = 0; i < successor.n_received; i++)
		if (store_was_taken(i))
			report(NOTE_TAKEN, (int)i);
	report(NOTE_READY, 0);
}

void successor_report_accepting(void)
{
	successor.is_undecided = true;
	report(NOTE_ACCEPTING, 0);
}
