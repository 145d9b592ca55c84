/* SPDX-License-Identifier: MIT */
/*
 * The main thread's part of a running process:
 *
 *	STARTING --> RUNNING ---------------> DRAINING ----------> CUTTING --> end
 *	         all   |  SIGTERM, SIGINT, or   | drain-timeout,    |
 *	         polled|  another process has   | second signal     |
 *	               |  taken over            |                   |
 *	               |                        |                   |
 *	               | the only connections   | all ended         | all ended
 *	               | ended, or none for     |                   |
 *	               | exit-idle-time         |                   |
 *	               '--> end                 '--> end            '--> end
 *
 * While it is RUNNING, one operation at a time may be under way: a reload or an
 * upgrade.  What is asked for meanwhile is done afterwards, once.
 */
#include "daemon/control/lifecycle.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backend/backend.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/notify.h"
#include "daemon/control/fd_limit.h"
#include "daemon/control/idle_exit.h"
#include "daemon/control/manager_status.h"
#include "daemon/control/path_watch.h"
#include "daemon/control/reload.h"
#include "daemon/control/signals.h"
#include "daemon/control/watchdog.h"
#include "daemon/handover/fdstore.h"
#include "daemon/handover/takeover.h"
#include "daemon/handover/upgrade.h"
#include "daemon/proxy/generation.h"
#include "daemon/worker/acceptor.h"
#include "daemon/worker/process.h"
#include "daemon/worker/worker.h"
#include "daemon/worker/workers.h"

/* How long the last messages may take at the end, with a manager that does not read. */
#define FLUSH_S 1

/* How long the manager may take to hear of the process that takes over; and what is left of that
 * at the end. */
#define HANDOVER_FLUSH_S 5

enum phase { STARTING, RUNNING, DRAINING, CUTTING };
enum operation { NO_OPERATION, RELOAD, UPGRADE, TAKE_OVER };

static struct {
	struct process *process;
	enum phase phase;
	struct event drain_timer;
	bool listeners_closed;
	bool drain_said;                /* that this process stops */
	bool accepting_over;            /* there is nothing to accept from any more */
	bool stop_asked;                /* by a signal */
	bool accepting_begun;           /* the acceptor was told to accept */
	bool handing_over;              /* from MAINPID= until the new process hears "yours" */
	struct message release;         /* to ourselves: say that */
	unsigned int n_polling, n_idle; /* workers that have said so */
	enum operation operation;
	struct roster *roster;   /* what is accepted from */
	struct roster *older;    /* whose last clients are accepted still, or were */
	struct generation *next; /* while the acceptor goes over to it */
	struct roster *next_roster;
	bool reload_wanted, upgrade_wanted; /* after the operation */
} life;

/* Counts a worker once, however often it says the same.  Whether all have said it now. */
static bool noted_by_all(bool *noted, unsigned int *count)
{
	if (!*noted)
		++*count;
	*noted = true;
	return *count == life.process->n_workers;
}

/* ---- the end ---- */

/* The service manager ends the other process of an upgrade, and its clients, with this one. */
static bool waits_for_other(void)
{
	if (takeover_is_undecided())
		return true;
	return life.phase != CUTTING &&
	       ((takeover_has_predecessor() && !takeover_is_waiting()) || upgrade_has_clients());
}

static void end_if_idle(void)
{
	if (life.n_idle == life.process->n_workers && !waits_for_other())
		event_base_loopbreak(life.process->loop.base);
}

static void cut(void)
{
	if (life.phase == CUTTING)
		return;
	life.phase = CUTTING;
	if (!life.accepting_over)
		acceptor_stop(life.process->acceptor);
	for (unsigned int i = 0; i < life.process->n_workers; i++)
		worker_cut(&life.process->workers[i]);
	end_if_idle();
}

static void drain_timer_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	cut();
}

static bool is_listener(struct listener *listener, void *data)
{
	(void)data;
	for (size_t i = 0; i < listener->n_sockets; i++)
		if (!listener->sockets[i].is_single)
			return true;
	return false;
}

/*
 * Who runs us for a single connection, as ssh does, has that on its mind, and not the
 * life of a service.
 */
static int life_level(int level)
{
	bool listens = generation_each(life.process->generation, is_listener, NULL) > 0;

	return listens ? level : LOG_DEBUG;
}

static void log_drain(void)
{
	int level = life_level(LOG_INFO);
	const char *queued = life.accepting_over ? "" : " and for the clients that are queued";
	unsigned int left = connection_limit_used(&life.process->limit);
	uint64_t timeout = life.process->settings.drain_timeout_ms;

	if (left == 0 && waits_for_other())
		log_line(level, "stopping: waiting for the connections of the other process of an "
				"upgrade; a second signal ends this one");
	else if (left == 0)
		log_line(level, "stopping: no connection is left");
	if (left == 0)
		return;
	if (timeout == SFRONT_INFINITY_MS)
		log_line(level,
			 "stopping: waiting for %u connection(s)%s; a second signal cuts them",
			 left, queued);
	else
		log_line(level,
			 "stopping: waiting for %u connection(s)%s, at most %.15g s; a second "
			 "signal cuts them",
			 left, queued, (double)timeout / 1000);
}

/* @stop: how accepting ends */
static void drain(void (*stop)(struct acceptor *acceptor))
{
	uint64_t timeout = life.process->settings.drain_timeout_ms;
	struct timeval tv = timeval_from_ms(timeout);

	if (life.operation == UPGRADE) {
		log_line(LOG_NOTICE, "stopping: the upgrade is called off");
		upgrade_abort();
		life.operation = NO_OPERATION;
	}
	life.phase = DRAINING;
	idle_exit_stop();
	path_watch_stop();
	if (timeout != SFRONT_INFINITY_MS)
		event_add(&life.drain_timer, &tv);
	stop(life.process->acceptor);
}

static void stop_asked(evutil_socket_t signal, short what, void *arg)
{
	(void)what;
	(void)arg;
	if (life.phase == DRAINING || life.phase == CUTTING) {
		/*
		 * It may drain for another reason than a signal; and a new process
		 * that is stopped with the old one is told so by that, too.
		 */
		if (life.handing_over)
			upgrade_pass_stop();
		if (life.stop_asked && !takeover_expects_word())
			cut();
		else
			log_line(LOG_NOTICE, "stopping: already waiting for the last connections; "
					     "a second signal cuts them");
		life.stop_asked = true;
		return;
	}
	life.stop_asked = true;
	drain(acceptor_drain);
	if (signal == SIGINT && life.process->interactive) /* Ctrl-C means now */
		cut();
}

static bool refuse(struct listener *listener, void *data)
{
	(void)data;
	listener_refuse(listener);
	return true;
}

static bool close_listener(struct listener *listener, void *data)
{
	(void)data;
	listener_close(listener);
	return true;
}

/*
 * Nobody accepts any more.  Clients that come from here on are refused at once,
 * not left waiting, even while a reload hangs in the resolver.  Whose the listeners
 * are may be about to be said.
 */
static void close_listeners(void)
{
	bool in_use = reload_pending();

	if (life.listeners_closed || takeover_is_undecided())
		return;
	life.listeners_closed = !in_use;
	/* The old process goes on with what both have. */
	if (takeover_is_waiting() && !in_use)
		generation_give_back(life.process->generation);
	for (struct generation *each = life.process->generation; each; each = each->older)
		(void)generation_each(each, in_use ? refuse : close_listener, NULL);
}

/*
 * One turn of the loop after the listeners were closed: the signals that came while
 * the manager was told have been passed on by then.
 */
static void release(struct message *message)
{
	(void)message;
	upgrade_release();
	life.handing_over = false;
}

static void drain_began(void)
{
	if (life.drain_said)
		return;
	life.drain_said = true;
	notify_send("STOPPING=1");
	log_drain();
	manager_status_drain();
}

static bool hide(struct listener *listener, void *data)
{
	(void)data;
	listener_hide(listener);
	return true;
}

/* Clients that are queued wait for a slot; the new process of an upgrade does not wait for them. */
static void accepting_drains(struct message *message)
{
	(void)message;
	drain_began();
	if (!takeover_is_undecided())
		(void)generation_each(life.process->generation, hide, NULL);
	mailbox_post(&life.process->loop.mailbox, &life.release);
}

static void accepting_stopped(struct message *message)
{
	(void)message;
	life.accepting_over = true;
	if (life.phase >= DRAINING) {
		drain_began();
		close_listeners();
		mailbox_post(&life.process->loop.mailbox, &life.release);
	}
	/* Behind whatever was handed over before. */
	for (unsigned int i = 0; i < life.process->n_workers; i++)
		worker_finish(&life.process->workers[i]);
}

static void worker_is_idle(struct message *message)
{
	if (noted_by_all(&message_owner(message, struct worker, idle)->is_idle, &life.n_idle))
		end_if_idle();
}

/* Nobody has been here for exit-idle-time, and nothing is accepted any more. */
static void quiet(void)
{
	if (life.phase != RUNNING)
		return;
	log_line(LOG_INFO, "no connection for exit-idle-time: ending");
	drain(acceptor_stop);
}

/* ---- one operation at a time ---- */

static void begin_reload(void);
static void begin_upgrade(void);

/* A reload may find listeners in them, and must not be disturbed. */
static void retire_older(void)
{
	for (struct roster **at = &life.older; life.operation != RELOAD && *at;) {
		struct roster *roster = *at;

		if (roster->is_over) {
			*at = roster->older;
			reload_retire(life.process, roster->generation);
			free(roster);
		} else {
			at = &roster->older;
		}
	}
}

static void roster_is_over(struct message *message)
{
	message_owner(message, struct roster, over)->is_over = true;
	retire_older();
}

static void operation_ended(void)
{
	bool upgrade = life.upgrade_wanted, reload = life.reload_wanted;

	life.operation = NO_OPERATION;
	retire_older();
	if (life.phase != RUNNING)
		return;
	idle_exit_start(life.process, quiet);
	life.upgrade_wanted = false;
	/* A reload waits for the upgrade: in whichever process goes on. */
	if (upgrade) {
		begin_upgrade();
	} else if (reload) {
		life.reload_wanted = false;
		begin_reload();
	}
}

/* Whether it has to wait; @wanted notes that. */
static bool is_busy(const char *what, bool *wanted)
{
	if (life.handing_over && wanted == &life.reload_wanted) {
		log_line(LOG_NOTICE, "%s: passed on to the process that takes over", what);
		upgrade_pass_reload();
		return true;
	}
	if (life.phase == DRAINING || life.phase == CUTTING) {
		log_line(LOG_NOTICE, "%s: too late, this process is stopping", what);
		return true;
	}
	if (life.accepting_over) {
		log_line(LOG_NOTICE,
			 "%s: this process has nothing to accept from any more, and ends with "
			 "its last connection",
			 what);
		return true;
	}
	if (life.phase == RUNNING && life.operation == NO_OPERATION)
		return false;
	if (!*wanted)
		log_line(LOG_NOTICE, "%s: waiting for what is under way", what);
	*wanted = true;
	return true;
}

/* ---- reload ---- */

static void reload_ended(void)
{
	if (life.phase == RUNNING)
		notify_send("READY=1");
	operation_ended();
}

static void reload_opened(struct generation *next)
{
	struct roster *roster =
		next && life.phase == RUNNING ? roster_new(next, roster_is_over) : NULL;

	if (roster) {
		life.next = next;
		life.next_roster = roster;
		generation_become_newest(next);
		generation_share_limits(next, life.process->generation);
		acceptor_switch(life.process->acceptor, roster);
		return;
	}
	if (next && life.phase == RUNNING)
		log_line(LOG_ERR, "reload failed: out of memory; nothing has changed");
	if (next)
		reload_discard(life.process, next);
	else
		log_line(LOG_ERR, "reload failed: nothing has changed");
	if (life.accepting_over && life.phase >= DRAINING)
		close_listeners();
	reload_ended();
}

static void reload_switched(void)
{
	struct generation *next = life.next;
	struct roster *before = life.roster;

	life.next = NULL;
	life.roster = life.next_roster;
	path_watch_stop();
	reload_commit(life.process, next, before->is_over);
	if (before->is_over) {
		free(before);
	} else {
		before->older = life.older;
		life.older = before;
	}
	/* More connections may be allowed now. */
	acceptor_resume(life.process->acceptor);
	if (life.phase == RUNNING) {
		store_update(next);
		path_watch_start(life.process->loop.base, next);
	}
	reload_ended();
}

static void begin_reload(void)
{
	struct timespec now;
	int r;

	clock_gettime(CLOCK_MONOTONIC, &now);
	notify_send("RELOADING=1\nMONOTONIC_USEC=%llu",
		    (unsigned long long)now.tv_sec * 1000000 +
			    (unsigned long long)now.tv_nsec / 1000);
	life.operation = RELOAD;
	idle_exit_stop();
	r = reload_start(life.process, reload_opened);
	if (r == 0)
		return;
	log_line(LOG_ERR, "reload failed: no thread to be had: %s; nothing has changed",
		 strerror(-r));
	reload_ended();
}

static void reload_asked(evutil_socket_t signal, short what, void *arg)
{
	if (!life.process->generation->file) {
		log_line(life_level(LOG_NOTICE),
			 "SIGHUP: without -c there is nothing to read again: stopping");
		stop_asked(signal, what, arg);
	} else if (!is_busy("reload", &life.reload_wanted)) {
		begin_reload();
	}
}

/* ---- upgrade ---- */

/* What the new process did not take, systemd keeps for nothing. */
static bool forget_if_left(struct listener *listener, void *data)
{
	(void)data;
	if (listener->is_taken_over)
		return false;
	store_forget(listener);
	return true;
}

/*
 * The other process accepts, beside this one.  systemd has to know of it before
 * it says anything itself, and then hears nothing from this one any more.
 */
static void hand_over(pid_t pid)
{
	log_line(LOG_NOTICE, "upgrade: process %d takes over", pid);
	(void)generation_each(life.process->generation, forget_if_left, NULL);
	(void)notify_send("MAINPID=%d\nREADY=1", pid);
	if (!notify_flush(HANDOVER_FLUSH_S))
		log_line(LOG_WARNING, "upgrade: the service manager does not read what it is told");
	if (!upgrade_is_alive()) { /* and that is told next */
		(void)notify_send("MAINPID=%d\nREADY=1", getpid());
		store_update(life.process->generation);
		return;
	}
	watchdog_stop();
	manager_status_stop();
	life.operation = NO_OPERATION;
	notify_mute(true);
	upgrade_finish();
	life.handing_over = true;
	/* It may have read the configuration before that was changed. */
	if (life.reload_wanted)
		upgrade_pass_reload();
	/* The last clients of a listener that the new process does not have are still ours. */
	drain(acceptor_drain);
}

static void other_accepts(pid_t pid)
{
	if (upgrade_is_alive())
		hand_over(pid);
	/* Otherwise it has just ended, and that is told next. */
}

static void begin_upgrade(void)
{
	static const struct upgrade_handlers handlers = {
		.accepting = other_accepts,
		.failed = operation_ended,
		.gone = end_if_idle,
	};

	life.operation = UPGRADE;
	idle_exit_stop();
	if (upgrade_start(life.process, &handlers) < 0)
		operation_ended();
}

static void upgrade_asked(evutil_socket_t signal, short what, void *arg)
{
	(void)signal;
	(void)what;
	(void)arg;
	if (life.operation == UPGRADE)
		log_line(LOG_NOTICE, "upgrade: one is under way already");
	else if (!is_busy("upgrade", &life.upgrade_wanted))
		begin_upgrade();
}

/* ---- the beginning ---- */

static bool settle(struct listener *listener, void *data)
{
	(void)data;
	listener_settle(listener);
	return true;
}

static void begin_accepting(void)
{
	if (life.phase != STARTING)
		return;
	(void)generation_each(life.process->generation, settle, NULL);
	life.accepting_begun = true;
	acceptor_switch(life.process->acceptor, life.roster);
}

/* For a process that was asked to stop before it was told whose the listeners are. */
static void end_accepting(void)
{
	if (life.accepting_over)
		close_listeners();
	end_if_idle();
}

/* This process is the service: the manager hears of it from now on. */
static void begin_service(void)
{
	if (life.phase == STARTING)
		return; /* it follows once the first worker accepts */
	manager_status_start(life.process);
	watchdog_start(life.process);
	store_update(life.process->generation);
	if (life.phase == RUNNING) {
		notify_send("READY=1");
	} else {
		notify_send("STOPPING=1");
		manager_status_drain();
		end_accepting();
	}
	operation_ended(); /* what was asked for before */
}

/* The old process ended, or thought better of it: the sockets stay with that. */
static void old_process_lost(void)
{
	/* Its own signal, which is on its way, is not a second one. */
	life.stop_asked = false;
	if (life.phase >= DRAINING) {
		end_accepting();
		return;
	}
	log_line(LOG_NOTICE,
		 "upgrade: the process to take over from has ended or called it off: ending");
	if (life.accepting_begun) { /* there may be clients already */
		drain(acceptor_drain);
		return;
	}
	atomic_store(&life.process->exit_status, EXIT_FAILURE);
	event_base_loopbreak(life.process->loop.base);
}

/* The manager took the old process for the service when it asked. */
static void stop_passed_on(void)
{
	if (life.phase < DRAINING) {
		life.stop_asked = true;
		drain(acceptor_drain);
	}
}

static void reload_passed_on(void)
{
	if (!is_busy("reload", &life.reload_wanted))
		begin_reload();
}

static void old_process_ended(void)
{
	if (life.phase == RUNNING && life.operation == NO_OPERATION)
		idle_exit_start(life.process, quiet);
	else
		end_if_idle();
}

static void worker_polls(struct message *message)
{
	static const struct takeover_handlers takeover_handlers = {
		.go = begin_accepting,
		.stop = stop_passed_on,
		.reload = reload_passed_on,
		.yours = begin_service,
		.lost = old_process_lost,
		.alone = old_process_ended,
	};

	if (!noted_by_all(&message_owner(message, struct worker, polling)->is_polling,
			  &life.n_polling) ||
	    life.phase != STARTING)
		return;
	if (takeover_is_waiting())
		takeover_report_ready(life.process->loop.base, &takeover_handlers);
	else
		begin_accepting();
}

static void accepting_began(void)
{
	struct generation *generation = life.process->generation;

	if (life.phase != STARTING)
		return;
	life.phase = RUNNING;
	for (size_t i = 0; i < generation->n_proxies; i++)
		proxy_announce(generation->proxies[i], false);
	path_watch_start(life.process->loop.base, generation);
	if (takeover_is_waiting())
		takeover_report_accepting();
	else
		begin_service();
}

static void acceptor_switched(struct message *message)
{
	(void)message;
	if (life.next)
		reload_switched();
	else
		accepting_began();
}

static const struct worker_handlers worker_handlers = {
	.polling = worker_polls,
	.switched = acceptor_switched,
	.accepting_drains = accepting_drains,
	.accepting_stopped = accepting_stopped,
	.idle = worker_is_idle,
};

static const struct signal_handlers signal_handlers = {
	{ stop_asked, stop_asked, reload_asked, upgrade_asked },
};

static int serve(void)
{
	struct process *process = life.process;
	struct fd_plan plan = fd_limit_plan(&process->settings);
	int r;

	process->possible_connections = plan.possible_connections;
	process_set_limit(process, plan.max_connections);
	life.roster = roster_new(process->generation, roster_is_over);
	r = life.roster ? workers_start(process, plan.pipes_a_worker, &worker_handlers) : -ENOMEM;
	if (r < 0) {
		log_line(LOG_ERR, "cannot start %u worker(s): %s", process->settings.workers,
			 strerror(-r));
		/* Nobody has accepted yet; those that have started are not waited for. */
		close_listeners();
		_exit(EXIT_FAILURE);
	}
	log_line(life_level(LOG_INFO), "at most %u connections at once, with %lu descriptors",
		 plan.max_connections, plan.limit);
	event_base_dispatch(process->loop.base);

	if (life.phase < DRAINING)
		notify_send("STOPPING=1");
	close_listeners();
	if (atomic_load(&process->cut) > 0)
		log_line(LOG_NOTICE, "cut %u connection(s)", atomic_load(&process->cut));
	/* A drain has done what it was asked to, whatever became of the connections. */
	return life.phase >= DRAINING ? EXIT_SUCCESS : atomic_load(&process->exit_status);
}

/*
 * What a reload has opened meanwhile is closed again, paths and all, unless it
 * hangs in the resolver.
 */
static void await_reload(void)
{
	const struct timeval most = { .tv_sec = FLUSH_S };
	struct event_base *base = life.process->loop.base;

	life.phase = CUTTING;
	event_base_loopexit(base, &most);
	while (reload_pending() && event_base_loop(base, EVLOOP_ONCE) == 0 &&
	       !event_base_got_exit(base))
		;
}

int lifecycle_run(struct process *process)
{
	int status = EXIT_FAILURE;

	life.process = process;
	life.release.deliver = release;
	if (takeover_is_waiting())
		life.operation = TAKE_OVER;
	event_assign(&life.drain_timer, process->loop.base, -1, 0, drain_timer_fired, NULL);
	if (signals_catch(process->loop.base, &signal_handlers) == 0)
		status = serve();
	else
		log_line(LOG_ERR, "cannot catch signals: out of memory");

	if (reload_pending())
		await_reload();
	(void)notify_flush(upgrade_is_alive() ? HANDOVER_FLUSH_S : FLUSH_S);
	/* A name that hangs in the resolver is not waited for, and what its thread uses not freed.
	 */
	if (backend_lookups_pending() || reload_pending())
		_exit(status);
	watchdog_stop();
	manager_status_stop();
	idle_exit_stop();
	path_watch_stop();
	workers_stop(process);
	if (life.next) {
		reload_discard(process, life.next);
		free(life.next_roster);
	}
	while (life.older) {
		struct roster *older = life.older;

		life.older = older->older;
		reload_retire(process, older->generation);
		free(older);
	}
	free(life.roster);
	event_del(&life.drain_timer);
	signals_release();
	return status;
}
