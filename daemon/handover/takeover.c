/* SPDX-License-Identifier: MIT */
/*
 * The new process of an upgrade: what it was given, and its notes to the old one.
 */
#include "daemon/handover/takeover.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <limits.h>
#include <sockfront/listener.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/counters.h"
#include "daemon/base/notify.h"
#include "daemon/handover/fdstore.h"
#include "daemon/handover/passed_sockets.h"
#include "daemon/handover/received.h"
#include "daemon/handover/upgrade_protocol.h"

/* For the old process to read what there is to say: with many listeners it needs its time.  After
 * that it gives this one up, too. */
#define PATIENCE_MS 60000

static struct {
	enum takeover_state state;
	int control; /* owned from the start until the old process ends */
	size_t n_received;
	char *units;                      /* owned; NULL: nothing was said of any */
	int counters[COUNTERS_FILES_MAX]; /* owned, until takeover_follow_counters() */
	unsigned int n_counters;
	struct event event;
	struct takeover_handlers handlers;
} takeover;

enum takeover_state takeover_state(void)
{
	return takeover.state;
}

bool takeover_is_waiting(void)
{
	return takeover.state != TAKEOVER_NONE && takeover.state != TAKEOVER_FOLLOWED;
}

bool takeover_expects_word(void)
{
	return takeover_is_waiting() && takeover.state != TAKEOVER_LOST;
}

/* While this process is not the service, another one speaks for that. */
static void enter(enum takeover_state state)
{
	bool was_waiting = takeover_is_waiting();

	takeover.state = state;
	if (takeover_is_waiting() != was_waiting)
		notify_mute(!was_waiting);
}

/* ---- what it was given ---- */

static void keep_counters(int fd)
{
	if (takeover.n_counters < COUNTERS_FILES_MAX)
		takeover.counters[takeover.n_counters++] = fd;
	else
		close(fd);
}

void takeover_follow_counters(void)
{
	while (takeover.n_counters > 0)
		(void)counters_follow(takeover.counters[--takeover.n_counters]);
}

static int receive_socket(const struct passed_socket *passed)
{
	if (*passed->name == '\0')
		return sfront_former_parse(passed->fd, passed->former);
	if (strcmp(passed->name, PASSED_COUNTERS) == 0) {
		keep_counters(passed->fd);
		return 0;
	}
	if (passed->is_kept)
		fdstore_note_kept(passed->name);
	if (!received_add(passed->name, passed->fd))
		return -ENOMEM;
	takeover.n_received++;
	return 0;
}

static int receive_sockets(const char *text)
{
	struct passed_socket passed;
	int r;

	while ((r = passed_socket_read(&text, &passed)) == 0) {
		r = receive_socket(&passed);
		if (r < 0)
			return r;
	}
	return r == -ENOENT ? 0 : r;
}

/* @text: what stands behind the socket for notes: the list, or where it is */
static int receive_list(const char *text)
{
	struct passed_socket list;
	const char *rest = text;
	char *loaded = NULL;
	int r;

	if (passed_socket_read(&rest, &list) < 0 || strcmp(list.name, PASSED_LIST) != 0)
		return receive_sockets(text);
	r = passed_list_load(list.fd, &loaded);
	if (r == 0)
		r = receive_sockets(loaded);
	if (r == 0)
		takeover.units = strdup(passed_units_find(loaded));
	free(loaded);
	close(list.fd);
	return r;
}

static int take_control(const char **text)
{
	char *end;
	long fd = strtol(*text, &end, 10);

	if (end == *text || fd <= STDERR_FILENO || fd > INT_MAX ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl((int)fd, F_SETFL, O_NONBLOCK) < 0)
		return -EINVAL;
	*text = end;
	return (int)fd;
}

int takeover_receive(void)
{
	const char *text = getenv(UPGRADE_VARIABLE);
	int r;

	if (!text)
		return 0;
	takeover.n_received = 0;
	takeover.control = take_control(&text);
	if (takeover.control < 0)
		return takeover.control;
	enter(TAKEOVER_OPENING);
	r = receive_list(text);
	unsetenv(UPGRADE_VARIABLE);
	return r;
}

char *takeover_take_units(void)
{
	char *units = takeover.units;

	takeover.units = NULL;
	return units;
}

/* ---- notes ---- */

static void become_service(enum takeover_state state)
{
	enter(state);
	takeover.handlers.yours();
}

static void lose(void)
{
	enter(TAKEOVER_LOST);
	takeover.handlers.lost();
}

/* Before it is the service, it may serve those whom it has accepted; then nothing is lost. */
static void old_ended(void)
{
	event_del(&takeover.event);
	close(takeover.control);
	switch (takeover.state) {
	case TAKEOVER_OPENING:
		lose();
		break;
	case TAKEOVER_ALLOWED:
	case TAKEOVER_UNDECIDED:
		become_service(TAKEOVER_NONE);
		break;
	case TAKEOVER_FOLLOWED:
		enter(TAKEOVER_NONE);
		takeover.handlers.alone();
		break;
	case TAKEOVER_NONE:
	case TAKEOVER_LOST: /* which was said */
		break;
	}
}

/* In a state in which a note makes no sense, nothing is made of it. */
static void act_on(const struct note *note)
{
	bool is_undecided = takeover.state == TAKEOVER_UNDECIDED;

	if (note->kind == NOTE_UNIT && takeover.state != TAKEOVER_LOST)
		takeover.handlers.unit(note->text);
	if (note->kind == NOTE_GO && takeover.state == TAKEOVER_OPENING) {
		enter(TAKEOVER_ALLOWED);
		takeover.handlers.go();
	} else if (note->kind == NOTE_STOP && is_undecided) {
		takeover.handlers.stop();
	} else if (note->kind == NOTE_RELOAD && is_undecided) {
		takeover.handlers.reload();
	} else if (note->kind == NOTE_REOPEN && is_undecided) {
		takeover.handlers.reopen();
	} else if (note->kind == NOTE_YOURS && is_undecided) {
		become_service(TAKEOVER_FOLLOWED);
	} else if (note->kind == NOTE_CALLED_OFF && takeover_expects_word()) {
		lose();
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

void takeover_report_ready(struct event_base *base, const struct takeover_handlers *handlers)
{
	takeover.handlers = *handlers;
	event_assign(&takeover.event, base, takeover.control, EV_READ | EV_PERSIST, old_spoke,
		     NULL);
	event_add(&takeover.event, NULL);
	for (size_t i = 0; i < takeover.n_received; i++)
		if (received_was_taken(i))
			note_write(takeover.control, NOTE_TAKEN, (int)i, PATIENCE_MS);
	note_write(takeover.control, NOTE_READY, 0, PATIENCE_MS);
}

void takeover_report_accepting(void)
{
	if (takeover.state != TAKEOVER_ALLOWED)
		return;
	enter(TAKEOVER_UNDECIDED);
	note_write(takeover.control, NOTE_ACCEPTING, 0, PATIENCE_MS);
}

void takeover_pass_reopen(void)
{
	/* The manager may take this process for the service before it has heard "yours". */
	if (takeover.state == TAKEOVER_FOLLOWED || takeover.state == TAKEOVER_UNDECIDED)
		note_write(takeover.control, NOTE_REOPEN, 0, 0);
}
