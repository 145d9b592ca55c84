/* SPDX-License-Identifier: MIT */
/*
 * The old process of an upgrade: what it makes of the new one's notes.  upgrade_exec.c
 * starts that; takeover.c is the other side.
 */
#include "daemon/handover/upgrade.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/handover/upgrade_exec.h"
#include "daemon/handover/upgrade_protocol.h"
#include "daemon/proxy/generation.h"
#include "daemon/worker/process.h"

/* Host names may have to be resolved. */
#define PATIENCE_S 60

/* How long one that was asked to end may take. */
#define MERCY_S 5

static struct {
	struct process *process;
	struct upgrade_handlers handlers;
	int control; /* valid while .pending or .aborting */
	bool pending;
	bool aborting;   /* it was asked to end and is still there */
	bool may_accept; /* it may have clients */
	struct event event, timer;
	pid_t pid; /* of the new process, once it has said so */
	struct passed passed;
} upgrade;

static void forget(void)
{
	event_del(&upgrade.event);
	event_del(&upgrade.timer);
	close(upgrade.control);
	upgrade.pending = upgrade.aborting = upgrade.may_accept = false;
	upgrade.pid = 0;
}

static void tell(int kind)
{
	const struct note note = { kind, 0 };

	/* If it has ended, reading says so. */
	(void)!write(upgrade.control, &note, sizeof(note));
}

static void failed(void)
{
	bool aborted = upgrade.aborting;

	forget();
	if (aborted)
		upgrade.handlers.gone();
	else
		upgrade.handlers.failed();
}

static void mark_taken(int index)
{
	if (!upgrade.aborting && index >= 0 && (size_t)index < upgrade.passed.n)
		upgrade.passed.listeners[index]->is_taken_over = true;
}

static void act_on(const struct note *note)
{
	switch (note->kind) {
	case NOTE_STARTED:
		upgrade.pid = note->value;
		if (upgrade.aborting)
			kill(upgrade.pid, SIGTERM);
		break;
	case NOTE_EXEC_FAILED:
		log_line(LOG_ERR, "upgrade: %s cannot be started: %s; this process goes on",
			 upgrade_exec_program(), strerror(note->value));
		failed();
		break;
	case NOTE_TAKEN:
		mark_taken(note->value);
		break;
	case NOTE_READY:
		if (!upgrade.aborting) {
			upgrade.may_accept = true;
			tell(NOTE_GO);
		}
		break;
	case NOTE_ACCEPTING:
		if (!upgrade.aborting)
			upgrade.handlers.accepting(upgrade.pid);
		break;
	default:
		break;
	}
}

static void note_arrived(evutil_socket_t fd, short what, void *arg)
{
	struct note note;
	int r = note_read(fd, &note);

	(void)what;
	(void)arg;
	if (r == 0)
		act_on(&note);
	if (r == 0 || r == -EAGAIN)
		return;
	if (!upgrade.aborting)
		log_line(LOG_ERR, "upgrade: the new process ended before it took over (if it "
				  "said why, that stands above); this one goes on");
	failed();
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (upgrade.aborting) {
		/* While it holds its end of the connection, the number is its own. */
		if (upgrade.pid > 0)
			kill(upgrade.pid, SIGKILL);
		failed();
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

static int start(void)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = upgrade_exec(upgrade.process->generation, pair[1], &upgrade.passed);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
	upgrade.control = pair[0];
	upgrade.pending = true;
	event_assign(&upgrade.event, upgrade.process->loop.base, pair[0], EV_READ | EV_PERSIST,
		     note_arrived, NULL);
	event_assign(&upgrade.timer, upgrade.process->loop.base, -1, 0, timer_fired, NULL);
	event_add(&upgrade.event, NULL);
	event_add(&upgrade.timer, &patience);
	return 0;
}

int upgrade_start(struct process *process, const struct upgrade_handlers *handlers)
{
	int r;

	upgrade.process = process;
	upgrade.handlers = *handlers;
	if (upgrade.aborting) {
		log_line(LOG_ERR, "upgrade: process %d of the last one has not ended yet",
			 upgrade.pid);
		return -EBUSY;
	}
	if (generation_each(process->generation, has_connection, NULL) > 0) {
		log_line(LOG_ERR, "upgrade: this process serves a connection that was handed to "
				  "it, and nobody else can take that over");
		return -EOPNOTSUPP;
	}
	r = start();
	if (r < 0)
		log_line(LOG_ERR, "upgrade: no new process can be started: %s; this one goes on",
			 strerror(-r));
	else
		log_line(LOG_NOTICE, "upgrade: starting %s", upgrade_exec_program());
	return r;
}

bool upgrade_is_alive(void)
{
	struct pollfd hangup = { .fd = upgrade.control };

	return upgrade.pending && poll(&hangup, 1, 0) != 1;
}

static bool set_shared(struct listener *listener, void *data)
{
	(void)data;
	listener->is_shared = listener->is_taken_over;
	return listener->is_shared;
}

void upgrade_finish(void)
{
	(void)generation_each(upgrade.process->generation, set_shared, NULL);
	/* The connection stays: its end tells the new process of ours. */
	event_del(&upgrade.event);
	event_del(&upgrade.timer);
}

void upgrade_pass_stop(void)
{
	tell(NOTE_STOP);
}

void upgrade_pass_reload(void)
{
	tell(NOTE_RELOAD);
}

void upgrade_release(void)
{
	if (upgrade.pending)
		tell(NOTE_YOURS);
}

void upgrade_abort(void)
{
	const struct timeval mercy = { .tv_sec = MERCY_S };

	upgrade.pending = false;
	upgrade.aborting = true;
	upgrade.passed.n = 0; /* a reload may free them */
	tell(NOTE_CALLED_OFF);
	if (upgrade.pid > 0)
		kill(upgrade.pid, SIGTERM);
	if (upgrade.may_accept)
		event_del(&upgrade.timer);
	else
		event_add(&upgrade.timer, &mercy);
}

bool upgrade_has_clients(void)
{
	return upgrade.aborting && upgrade.may_accept;
}
