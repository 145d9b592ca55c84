/* SPDX-License-Identifier: MIT */
/*
 * The old process of an upgrade: what it makes of the new one's notes.  upgrade_exec.c
 * starts that; takeover.c is the other side.
 */
#include "daemon/handover/upgrade.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/handover/upgrade_exec.h"
#include "daemon/handover/upgrade_plan.h"
#include "daemon/handover/upgrade_protocol.h"
#include "daemon/proxy/generation.h"
#include "daemon/worker/process.h"

/* Host names may have to be resolved. */
#define PATIENCE_S 60

/* How long one that was asked to end may take. */
#define MERCY_S 5

static struct {
	enum upgrade_state state;
	struct process *process;
	struct upgrade_handlers handlers;
	int control;               /* owned; valid in every state but UPGRADE_NONE */
	struct event event, timer; /* of notes; of patience and mercy */
	pid_t pid;                 /* of the new process, once it has said so */
	struct passed passed;
} upgrade;

enum upgrade_state upgrade_state(void)
{
	return upgrade.state;
}

static void tell(int kind)
{
	note_write(upgrade.control, kind, 0, 0);
}

static void ask_to_end(int signal)
{
	/* While it holds its end of the connection, the number is its own. */
	if (upgrade.pid > 0)
		kill(upgrade.pid, signal);
}

static void stop_events(void)
{
	event_del(&upgrade.event);
	event_del(&upgrade.timer);
}

/* What it took is not its own; and a reload may free the listeners. */
static void forget_taken(void)
{
	for (size_t i = 0; i < upgrade.passed.n; i++)
		upgrade.passed.listeners[i]->is_taken_over = false;
	upgrade.passed.n = 0;
}

static void call_off(void)
{
	forget_taken();
	tell(NOTE_CALLED_OFF);
	ask_to_end(SIGTERM);
}

static void enter(enum upgrade_state state)
{
	static const struct timeval patience = { .tv_sec = PATIENCE_S };
	static const struct timeval mercy = { .tv_sec = MERCY_S };

	upgrade.state = state;
	switch (state) {
	case UPGRADE_STARTING:
		upgrade.pid = 0;
		event_add(&upgrade.event, NULL);
		event_add(&upgrade.timer, &patience);
		break;
	case UPGRADE_ALLOWED:
		tell(NOTE_GO);
		break;
	case UPGRADE_COMMITTED:
		/* The connection stays: its end tells the new process of ours. */
		event_del(&upgrade.timer);
		break;
	case UPGRADE_RELEASED:
		tell(NOTE_YOURS);
		break;
	case UPGRADE_ENDING:
		call_off();
		event_add(&upgrade.timer, &mercy);
		break;
	case UPGRADE_LEAVING:
		call_off();
		event_del(&upgrade.timer);
		break;
	case UPGRADE_NONE:
		forget_taken();
		stop_events();
		close(upgrade.control);
		break;
	}
}

static bool is_called_off(void)
{
	return upgrade.state == UPGRADE_ENDING || upgrade.state == UPGRADE_LEAVING;
}

static bool is_finished(void)
{
	return upgrade.state == UPGRADE_COMMITTED || upgrade.state == UPGRADE_RELEASED;
}

/* It has ended, or will have in a moment. */
static void ended(void)
{
	bool was_called_off = is_called_off();

	enter(UPGRADE_NONE);
	if (was_called_off)
		upgrade.handlers.gone();
	else
		upgrade.handlers.failed();
}

static void ended_by_itself(void)
{
	if (is_finished()) { /* it was the service: this one has nothing to do with that */
		event_del(&upgrade.event);
		return;
	}
	if (!is_called_off())
		log_line(LOG_ERR, "upgrade: the new process ended before it took over (if it "
				  "said why, that is above); this one goes on");
	ended();
}

static void exec_failed(int error)
{
	if (!is_called_off())
		log_line(LOG_ERR, "upgrade: %s cannot be started: %s; this process goes on",
			 upgrade_exec_program(), strerror(error));
	ended();
}

static void started(pid_t pid)
{
	upgrade.pid = pid;
	if (is_called_off())
		ask_to_end(SIGTERM);
}

static void mark_taken(int index)
{
	if (index >= 0 && (size_t)index < upgrade.passed.n)
		upgrade.passed.listeners[index]->is_taken_over = true;
}

/* It is the service, and may still pass on what is for both. */
static void act_on_note_of_service(const struct note *note)
{
	if (note->kind == NOTE_REOPEN)
		upgrade.handlers.reopen();
}

static void act_on(const struct note *note)
{
	if (is_finished())
		act_on_note_of_service(note);
	else if (note->kind == NOTE_STARTED)
		started(note->value);
	else if (note->kind == NOTE_EXEC_FAILED)
		exec_failed(note->value);
	else if (note->kind == NOTE_TAKEN && upgrade.state == UPGRADE_STARTING)
		mark_taken(note->value);
	else if (note->kind == NOTE_READY && upgrade.state == UPGRADE_STARTING)
		enter(UPGRADE_ALLOWED);
	/* If it has ended meanwhile, that is read next. */
	else if (note->kind == NOTE_ACCEPTING && upgrade.state == UPGRADE_ALLOWED &&
		 upgrade_is_alive())
		upgrade.handlers.accepting(upgrade.pid);
}

static void note_arrived(evutil_socket_t fd, short what, void *arg)
{
	struct note note;
	int r = note_read(fd, &note);

	(void)what;
	(void)arg;
	if (r == 0)
		act_on(&note);
	else if (r != -EAGAIN)
		ended_by_itself();
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (is_called_off()) {
		ask_to_end(SIGKILL);
		ended();
		return;
	}
	log_line(LOG_ERR,
		 "upgrade: the new process was not ready after %d s and is ended; this "
		 "one goes on",
		 PATIENCE_S);
	upgrade_abort();
	upgrade.handlers.failed();
}

static bool has_connection(struct listener *listener, void *data)
{
	(void)data;
	for (size_t i = 0; i < listener->n_sockets; i++)
		if (listener->sockets[i].is_single)
			return true;
	return false;
}

static int start(const char *units)
{
	struct event_base *base = upgrade.process->loop.base;
	int control = upgrade_exec(upgrade.process->generation, units, &upgrade.passed);

	if (control < 0)
		return control;
	upgrade.control = control;
	event_assign(&upgrade.event, base, control, EV_READ | EV_PERSIST, note_arrived, NULL);
	event_assign(&upgrade.timer, base, -1, 0, timer_fired, NULL);
	enter(UPGRADE_STARTING);
	return 0;
}

int upgrade_start(struct process *process, const char *units,
		  const struct upgrade_handlers *handlers)
{
	int r;

	if (upgrade.state != UPGRADE_NONE) {
		log_line(LOG_ERR, "upgrade: process %d of the last one has not ended yet",
			 upgrade.pid);
		return -EBUSY;
	}
	if (generation_each(process->generation, has_connection, NULL) > 0) {
		log_line(LOG_ERR, "upgrade: this process serves a connection that was handed to "
				  "it, and nobody else can take that over");
		return -EOPNOTSUPP;
	}
	upgrade.process = process;
	upgrade.handlers = *handlers;
	r = start(units);
	if (r < 0)
		log_line(LOG_ERR, "upgrade: no new process can be started: %s; this one goes on",
			 strerror(-r));
	else
		log_line(LOG_NOTICE, "upgrade: starting %s", upgrade_exec_program());
	return r;
}

bool upgrade_is_alive(void)
{
	return upgrade.state != UPGRADE_NONE && !is_called_off() &&
	       !note_writer_is_gone(upgrade.control);
}

static bool set_shared(struct listener *listener, void *data)
{
	(void)data;
	/* Inherited ones go to the new process in any case. */
	listener->is_shared = listener->is_taken_over || !listener_is_own(listener);
	return listener->is_shared;
}

void upgrade_finish(void)
{
	if (upgrade.state != UPGRADE_ALLOWED)
		return;
	(void)generation_each(upgrade.process->generation, set_shared, NULL);
	enter(UPGRADE_COMMITTED);
}

void upgrade_pass_stop(void)
{
	if (upgrade.state == UPGRADE_COMMITTED)
		tell(NOTE_STOP);
}

void upgrade_pass_reload(void)
{
	if (upgrade.state == UPGRADE_COMMITTED)
		tell(NOTE_RELOAD);
}

void upgrade_pass_reopen(void)
{
	if (upgrade.state == UPGRADE_COMMITTED)
		tell(NOTE_REOPEN);
}

void upgrade_pass_unit(const char *name)
{
	if (upgrade.state != UPGRADE_NONE && !is_called_off())
		note_write_text(upgrade.control, NOTE_UNIT, name, 0);
}

void upgrade_release(void)
{
	if (upgrade.state == UPGRADE_COMMITTED)
		enter(UPGRADE_RELEASED);
}

void upgrade_clear(void)
{
	if (upgrade.state != UPGRADE_NONE)
		enter(UPGRADE_NONE);
	free(upgrade.passed.listeners);
	upgrade.passed = (struct passed){ 0 };
}

void upgrade_abort(void)
{
	if (upgrade.state == UPGRADE_STARTING)
		enter(UPGRADE_ENDING);
	else if (upgrade.state == UPGRADE_ALLOWED)
		enter(UPGRADE_LEAVING);
}
