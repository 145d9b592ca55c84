/* SPDX-License-Identifier: MIT */
/*
 * The main thread's part of a running process: signals, the workers' messages and the notes
 * of the other process of an upgrade come in here; life.c and operation.c say what
 * follows from them, and the rest of control/ and handover/ does it.
 */
#include "daemon/control/lifecycle.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backend/resolver.h"
#include "daemon/base/clock.h"
#include "daemon/base/counters.h"
#include "daemon/base/log.h"
#include "daemon/base/notify.h"
#include "daemon/control/fd_limit.h"
#include "daemon/control/idle_exit.h"
#include "daemon/control/life.h"
#include "daemon/control/manager_status.h"
#include "daemon/control/on_demand.h"
#include "daemon/control/operation.h"
#include "daemon/control/path_watch.h"
#include "daemon/control/reload.h"
#include "daemon/control/signals.h"
#include "daemon/control/watchdog.h"
#include "daemon/handover/fdstore.h"
#include "daemon/handover/takeover.h"
#include "daemon/handover/upgrade.h"
#include "daemon/proxy/generation.h"
#include "daemon/session/access_file.h"
#include "daemon/status/status_server.h"
#include "daemon/worker/acceptor.h"
#include "daemon/worker/process.h"
#include "daemon/worker/process_counts.h"
#include "daemon/worker/worker.h"
#include "daemon/worker/workers.h"

/* How long the last messages may take at the end, with a manager that does not read. */
#define FLUSH_S 1

/*
 * How long the manager may take to hear of the process that takes over; and what is left
 * of that at the end.
 */
#define HANDOVER_FLUSH_S 5

/* What has become of accepting; it only goes forward. */
enum accepting {
	ACCEPTING_NOT_YET,
	ACCEPTING_BEGUN, /* the acceptor was told to */
	ACCEPTING_OVER,  /* there is nothing to accept from any more */
	LISTENERS_CLOSED
};

static struct {
	struct process *process;
	struct life life;
	struct operation_queue operations;
	enum accepting accepting;
	struct status_server status;
	struct event drain_timer;
	bool drain_said;                /* that this process stops */
	bool handing_over;              /* from MAINPID= until the new process hears "yours" */
	struct message release;         /* to ourselves: say that */
	unsigned int n_polling, n_idle; /* workers that have said so */
} lifecycle;

/* Counts a worker once, however often it says the same.  Whether all have said it now. */
static bool noted_by_all(bool *noted, unsigned int *count)
{
	if (!*noted)
		++*count;
	*noted = true;
	return *count == lifecycle.process->n_workers;
}

/* Those where clients of proxies come in. */
static size_t each_entrance(listener_visitor *visit)
{
	return generation_each_of_proxies(lifecycle.process->generation, visit, NULL);
}

static size_t each_listener(listener_visitor *visit)
{
	return generation_each(lifecycle.process->generation, visit, NULL);
}

/* ---- what is said ---- */

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
	return each_entrance(is_listener) > 0 ? level : LOG_DEBUG;
}

/* The service manager ends the other process of an upgrade, and its clients, with this one. */
static bool waits_for_other(void)
{
	if (takeover_state() == TAKEOVER_UNDECIDED)
		return true;
	return lifecycle.life.state != LIFE_CUTTING &&
	       (takeover_state() == TAKEOVER_FOLLOWED || upgrade_state() == UPGRADE_LEAVING);
}

static void log_drain(void)
{
	int level = life_level(LOG_INFO);
	const char *queued =
		lifecycle.accepting < ACCEPTING_OVER ? " and for the clients that are queued" : "";
	unsigned int left = connection_limit_used(&lifecycle.process->limit);
	uint64_t timeout = lifecycle.process->settings.drain_timeout_ms;

	if (left == 0 && waits_for_other())
		log_line(level, "stopping: waiting for the connections of the other process of an "
				"upgrade; a second signal ends this one");
	else if (left == 0)
		log_line(level, "stopping: no connection is left");
	else if (timeout == SFRONT_INFINITY_MS)
		log_line(level,
			 "stopping: waiting for %u connection(s)%s; a second signal cuts them",
			 left, queued);
	else
		log_line(level,
			 "stopping: waiting for %u connection(s)%s, at most %.15g s; a second "
			 "signal cuts them",
			 left, queued, (double)timeout / 1000);
}

/* ---- the end ---- */

static void end_if_idle(void)
{
	if (lifecycle.n_idle == lifecycle.process->n_workers && !waits_for_other())
		event_base_loopbreak(lifecycle.process->loop.base);
}

static void end_connections(void)
{
	if (lifecycle.accepting < ACCEPTING_OVER)
		acceptor_stop(lifecycle.process->acceptor);
	for (unsigned int i = 0; i < lifecycle.process->n_workers; i++)
		worker_cut(&lifecycle.process->workers[i]);
	end_if_idle();
}

static void call_off_upgrade(void)
{
	if (lifecycle.operations.current != OPERATION_UPGRADE)
		return;
	log_line(LOG_NOTICE, "stopping: the upgrade is called off");
	upgrade_abort();
	lifecycle.operations = (struct operation_queue){ .current = OPERATION_NONE };
}

/* @stop: how accepting ends */
static void drain(void (*stop)(struct acceptor *acceptor))
{
	uint64_t timeout = lifecycle.process->settings.drain_timeout_ms;
	struct timeval tv = timeval_from_ms(timeout);

	call_off_upgrade();
	status_server_drain(&lifecycle.status);
	idle_exit_stop();
	on_demand_allow_stops(false);
	path_watch_stop();
	if (timeout != SFRONT_INFINITY_MS)
		event_add(&lifecycle.drain_timer, &tv);
	for (unsigned int i = 0; i < lifecycle.process->n_workers; i++)
		worker_drain(&lifecycle.process->workers[i]);
	stop(lifecycle.process->acceptor);
}

static void announce(void);

/* Something has happened: finds out what follows, and does it. */
static void note(enum life_event event)
{
	switch (life_note(&lifecycle.life, event, takeover_expects_word())) {
	case LIFE_NOTHING:
		break;
	case LIFE_ANNOUNCE:
		announce();
		break;
	case LIFE_TAKE_QUEUES:
		drain(acceptor_drain);
		break;
	case LIFE_LEAVE_QUEUES:
		drain(acceptor_stop);
		break;
	case LIFE_END_CONNECTIONS:
		end_connections();
		break;
	case LIFE_SAY_WAITING:
		log_line(LOG_NOTICE, "stopping: already waiting for the last connections; a second "
				     "signal cuts them");
		break;
	}
}

static void drain_timer_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	note(LIFE_CUT);
}

static void stop_asked(evutil_socket_t signal, short what, void *arg)
{
	bool first = !life_is_ending(&lifecycle.life);

	(void)what;
	(void)arg;
	/* A new process that is stopped with the old one is told so by that, too. */
	if (lifecycle.handing_over)
		upgrade_pass_stop();
	note(LIFE_STOP);
	if (first && signal == SIGINT && lifecycle.process->interactive)
		note(LIFE_CUT); /* Ctrl-C means now */
}

/* Nobody has been here for exit-idle-time, and nothing is accepted any more. */
static void quiet(void)
{
	if (lifecycle.life.state == LIFE_RUNNING)
		log_line(LOG_INFO, "no connection for exit-idle-time: ending");
	note(LIFE_QUIET);
}

static bool refuse_clients(struct listener *listener, void *data)
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
 * are may be about to be said.  Those of [status] are asked until the end.
 */
static void close_listeners(void)
{
	struct generation *each = lifecycle.process->generation;

	if (lifecycle.accepting == LISTENERS_CLOSED || takeover_state() == TAKEOVER_UNDECIDED)
		return;
	fdstore_settle(lifecycle.process->generation);
	if (reload_pending()) {
		(void)each_entrance(refuse_clients);
		return;
	}
	/* The old process goes on with what both have. */
	if (takeover_is_waiting())
		generation_give_back(lifecycle.process->generation);
	/* Those that a reload has dropped may be waited for still. */
	for (; each; each = each->older)
		(void)generation_each_of_proxies(each, close_listener, NULL);
	lifecycle.accepting = LISTENERS_CLOSED;
}

static void close_status(void)
{
	(void)generation_each_of_status(lifecycle.process->generation, close_listener, NULL);
}

/*
 * One turn of the loop after the listeners were closed: the signals that came while
 * the manager was told have been passed on by then.
 */
static void release(struct message *message)
{
	(void)message;
	upgrade_release();
	lifecycle.handing_over = false;
}

static void drain_began(void)
{
	if (lifecycle.drain_said)
		return;
	lifecycle.drain_said = true;
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

/*
 * Clients that are queued wait for a slot; the new process of an upgrade does not wait
 * for them.
 */
static void accepting_drains(struct message *message)
{
	(void)message;
	drain_began();
	if (takeover_state() != TAKEOVER_UNDECIDED)
		(void)each_entrance(hide);
	mailbox_post(&lifecycle.process->loop.mailbox, &lifecycle.release);
}

static void accepting_stopped(struct message *message)
{
	(void)message;
	if (lifecycle.accepting < ACCEPTING_OVER)
		lifecycle.accepting = ACCEPTING_OVER;
	if (life_is_ending(&lifecycle.life)) {
		drain_began();
		close_listeners();
		mailbox_post(&lifecycle.process->loop.mailbox, &lifecycle.release);
	}
	/* Behind whatever was handed over before. */
	for (unsigned int i = 0; i < lifecycle.process->n_workers; i++)
		worker_finish(&lifecycle.process->workers[i]);
}

static void worker_is_idle(struct message *message)
{
	if (noted_by_all(&message_owner(message, struct worker, idle)->is_idle, &lifecycle.n_idle))
		end_if_idle();
}

/* ---- one operation at a time ---- */

static void begin(enum operation operation);

static void end_operation(void)
{
	enum operation next = operation_ended(&lifecycle.operations);

	if (lifecycle.life.state != LIFE_RUNNING)
		return; /* nothing begins any more */
	on_demand_allow_stops(takeover_state() != TAKEOVER_FOLLOWED);
	idle_exit_start(lifecycle.process, quiet);
	begin(next);
}

/* Says why nothing comes of it, if nothing does. */
static bool is_too_late(const char *what)
{
	if (life_is_ending(&lifecycle.life))
		log_line(LOG_NOTICE, "%s: too late, this process is stopping", what);
	else if (lifecycle.accepting >= ACCEPTING_OVER)
		log_line(LOG_NOTICE,
			 "%s: this process has nothing to accept from any more, and ends with "
			 "its last connection",
			 what);
	else
		return false;
	return true;
}

static void ask(enum operation operation, const char *what)
{
	if (is_too_late(what))
		return;
	switch (operation_ask(&lifecycle.operations, operation,
			      lifecycle.life.state == LIFE_RUNNING)) {
	case OPERATION_BEGINS:
		begin(operation);
		break;
	case OPERATION_WAITS:
		log_line(LOG_NOTICE, "%s: waiting for what is under way", what);
		break;
	case OPERATION_REPEATED:
		break;
	}
}

/* ---- reload ---- */

static bool is_running(void)
{
	return lifecycle.life.state == LIFE_RUNNING;
}

static void generation_changed(void)
{
	status_server_follow(&lifecycle.status);
}

static void reload_ended(void)
{
	/* They could not be closed while the reload looked at them; it may have brought others. */
	if (lifecycle.accepting >= ACCEPTING_OVER && life_is_ending(&lifecycle.life)) {
		lifecycle.accepting = ACCEPTING_OVER;
		close_listeners();
	}
	on_demand_configure(lifecycle.process->generation);
	if (is_running())
		notify_send("READY=1");
	end_operation();
}

static void begin_reload(void)
{
	static const struct reload_handlers handlers = { .is_wanted = is_running,
							 .changed = generation_changed,
							 .ended = reload_ended };

	notify_send("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_exact_us());
	if (reload_start(lifecycle.process, &handlers) < 0)
		reload_ended();
}

static void reload_asked(evutil_socket_t signal, short what, void *arg)
{
	if (!lifecycle.process->generation->file) {
		log_line(life_level(LOG_NOTICE),
			 "SIGHUP: without -c there is nothing to read again: stopping");
		stop_asked(signal, what, arg);
	} else if (lifecycle.handing_over) {
		log_line(LOG_NOTICE, "reload: passed on to the process that takes over");
		upgrade_pass_reload();
	} else {
		ask(OPERATION_RELOAD, "reload");
	}
}

/* ---- upgrade: the old process ---- */

/* What the new process did not take, systemd keeps for nothing. */
static bool forget_if_left(struct listener *listener, void *data)
{
	(void)data;
	if (listener->is_taken_over)
		return false;
	fdstore_forget(listener);
	return true;
}

/*
 * systemd has to know of the new process before that says anything itself.  Returns
 * whether it still is there.
 */
static bool announce_successor(pid_t pid)
{
	log_line(LOG_NOTICE, "upgrade: process %d takes over", pid);
	(void)each_listener(forget_if_left);
	(void)notify_send("MAINPID=%d\nREADY=1", pid);
	if (!notify_flush(HANDOVER_FLUSH_S))
		log_line(LOG_WARNING, "upgrade: the service manager does not read what it is told");
	if (upgrade_is_alive())
		return true;
	(void)notify_send("MAINPID=%d\nREADY=1", getpid());
	fdstore_update(lifecycle.process->generation);
	return false;
}

/* The manager hears nothing from this process any more. */
static void hand_over(void)
{
	bool reload_waits = lifecycle.operations.waits[OPERATION_RELOAD];

	watchdog_stop();
	manager_status_stop();
	notify_mute(true);
	process_count(lifecycle.process, PROCESS_UPGRADES);
	lifecycle.operations = (struct operation_queue){ .current = OPERATION_NONE };
	upgrade_finish();
	/* Whoever asks from here on asks the new process. */
	status_server_leave(&lifecycle.status);
	close_status();
	lifecycle.handing_over = true;
	/* The new process may have read the configuration before that was changed. */
	if (reload_waits)
		upgrade_pass_reload();
	note(LIFE_REPLACED);
}

/* If it has just ended, that is told next. */
static void other_accepts(pid_t pid)
{
	if (upgrade_is_alive() && announce_successor(pid))
		hand_over();
}

static void upgrade_failed(void)
{
	counters_take_back();
	process_count(lifecycle.process, PROCESS_UPGRADES_FAILED);
	end_operation();
}

/* By the new process of an upgrade; there may be another one before this. */
static void reopen_passed_back(void)
{
	(void)access_file_reopen();
	takeover_pass_reopen();
}

static void begin_upgrade(void)
{
	static const struct upgrade_handlers handlers = {
		.accepting = other_accepts,
		.failed = upgrade_failed,
		.gone = end_if_idle,
		.reopen = reopen_passed_back,
	};

	char *units = on_demand_format();

	/* Without memory for it, units that are started here are left running. */
	if (upgrade_start(lifecycle.process, units ? units : "", &handlers) < 0)
		upgrade_failed();
	free(units);
}

static void upgrade_asked(evutil_socket_t signal, short what, void *arg)
{
	(void)signal;
	(void)what;
	(void)arg;
	if (lifecycle.operations.current == OPERATION_UPGRADE)
		log_line(LOG_NOTICE, "upgrade: one is under way already");
	else
		ask(OPERATION_UPGRADE, "upgrade");
}

static void begin(enum operation operation)
{
	if (operation == OPERATION_NONE)
		return;
	idle_exit_stop();
	on_demand_allow_stops(false);
	if (operation == OPERATION_RELOAD)
		begin_reload();
	else
		begin_upgrade();
}

/* ---- the beginning, and the new process of an upgrade ---- */

static bool settle(struct listener *listener, void *data)
{
	(void)data;
	listener_settle(listener);
	return true;
}

static void accepting_began(struct message *message)
{
	(void)message;
	note(LIFE_ACCEPTS);
}

static void begin_accepting(void)
{
	struct acceptor *acceptor = lifecycle.process->acceptor;

	if (lifecycle.life.state != LIFE_STARTING)
		return;
	(void)each_listener(settle);
	lifecycle.accepting = ACCEPTING_BEGUN;
	acceptor->switched.deliver = accepting_began;
	acceptor_switch(acceptor, lifecycle.process->roster);
}

/* For a process that was asked to stop before it was told whose the listeners are. */
static void end_accepting(void)
{
	if (lifecycle.accepting >= ACCEPTING_OVER)
		close_listeners();
	end_if_idle();
}

/* This process is the service: the manager hears of it from now on. */
static void begin_service(void)
{
	if (lifecycle.life.state == LIFE_STARTING)
		return; /* it follows once clients are accepted */
	manager_status_start(lifecycle.process);
	watchdog_start(lifecycle.process);
	fdstore_update(lifecycle.process->generation);
	status_server_start(&lifecycle.status, lifecycle.process);
	if (is_running()) {
		notify_send("READY=1");
	} else {
		notify_send("STOPPING=1");
		manager_status_drain();
		end_accepting();
	}
	end_operation(); /* what was asked for before */
}

static void announce(void)
{
	struct generation *generation = lifecycle.process->generation;

	for (size_t i = 0; i < generation->n_proxies; i++)
		proxy_announce(generation->proxies[i], false);
	path_watch_start(lifecycle.process->loop.base, generation);
	if (takeover_is_waiting())
		takeover_report_accepting();
	else
		begin_service();
}

/* The old process ended, or thought better of it: the sockets stay with that. */
static void old_process_lost(void)
{
	bool was_ending = life_is_ending(&lifecycle.life);

	if (!was_ending)
		log_line(LOG_NOTICE, "upgrade: the process to take over from has ended or called "
				     "it off: ending");
	if (!was_ending && lifecycle.accepting == ACCEPTING_NOT_YET) {
		atomic_store(&lifecycle.process->exit_status, EXIT_FAILURE);
		event_base_loopbreak(lifecycle.process->loop.base);
		return;
	}
	note(LIFE_ORPHANED); /* there may be clients already */
	if (was_ending)
		end_accepting();
}

/* The manager took the old process for the service when it asked. */
static void stop_passed_on(void)
{
	note(LIFE_STOP_PASSED_ON);
}

static void reload_passed_on(void)
{
	ask(OPERATION_RELOAD, "reload");
}

/* By the old process, which has told those before it. */
static void reopen_passed_on(void)
{
	(void)access_file_reopen();
}

static void old_process_ended(void)
{
	/* What it has counted is added up now, and its file closed. */
	(void)counters_look_after();
	on_demand_note_alone();
	if (is_running() && lifecycle.operations.current == OPERATION_NONE) {
		on_demand_allow_stops(true);
		idle_exit_start(lifecycle.process, quiet);
	} else {
		end_if_idle();
	}
}

static void worker_polls(struct message *message)
{
	static const struct takeover_handlers handlers = {
		.go = begin_accepting,
		.stop = stop_passed_on,
		.reload = reload_passed_on,
		.reopen = reopen_passed_on,
		.unit = on_demand_note_started,
		.yours = begin_service,
		.lost = old_process_lost,
		.alone = old_process_ended,
	};
	struct worker *worker = message_owner(message, struct worker, polling);

	if (!noted_by_all(&worker->is_polling, &lifecycle.n_polling) ||
	    lifecycle.life.state != LIFE_STARTING)
		return;
	if (takeover_is_waiting())
		takeover_report_ready(lifecycle.process->loop.base, &handlers);
	else
		begin_accepting();
}

static const struct worker_handlers worker_handlers = {
	.polling = worker_polls,
	.accepting_drains = accepting_drains,
	.accepting_stopped = accepting_stopped,
	.idle = worker_is_idle,
};

/* As nginx and HAProxy are asked to open their log files anew. */
static void reopen_asked(evutil_socket_t signal, short what, void *arg)
{
	(void)signal;
	(void)what;
	(void)arg;
	if (!access_file_reopen())
		log_line(LOG_NOTICE, "SIGUSR1: there is no log file to open again; ignored");
	takeover_pass_reopen();
	if (lifecycle.handing_over)
		upgrade_pass_reopen();
}

static const struct signal_handlers signal_handlers = {
	.stop = stop_asked,
	.reload = reload_asked,
	.upgrade = upgrade_asked,
	.reopen = reopen_asked,
};

/* ---- from the start to the exit status ---- */

static int start_workers(struct process *process, unsigned int pipes_a_worker)
{
	process->roster = roster_new(process->generation, reload_roster_over);
	if (!process->roster)
		return -ENOMEM;
	return workers_start(process, pipes_a_worker, &worker_handlers);
}

static int serve(void)
{
	struct process *process = lifecycle.process;
	struct fd_plan plan =
		fd_limit_plan(&process->settings, status_server_descriptors(process->generation));
	int r;

	process->possible_connections = plan.possible_connections;
	process_set_limit(process, plan.max_connections);
	r = start_workers(process, plan.pipes_a_worker);
	if (r < 0) {
		log_line(LOG_ERR, "cannot start %u worker(s): %s", process->settings.workers,
			 strerror(-r));
		/* Nobody has accepted yet; those that have started are not waited for. */
		close_listeners();
		log_flush();
		_exit(EXIT_FAILURE);
	}
	log_line(life_level(LOG_INFO), "at most %u connections at once, with %lu descriptors",
		 plan.max_connections, plan.limit);
	workers_run(process);

	if (!life_is_ending(&lifecycle.life))
		notify_send("STOPPING=1");
	close_listeners();
	status_server_stop(&lifecycle.status);
	if (takeover_state() != TAKEOVER_UNDECIDED && !reload_pending())
		close_status();
	if (atomic_load(&process->cut) > 0)
		log_line(LOG_NOTICE, "cut %u connection(s)", atomic_load(&process->cut));
	/* A drain has done what it was asked to, whatever became of the connections. */
	return life_is_ending(&lifecycle.life) ? EXIT_SUCCESS : atomic_load(&process->exit_status);
}

/*
 * What a reload has opened meanwhile is closed again, paths and all, unless it
 * hangs in the resolver.
 */
static void await_reload(void)
{
	const struct timeval most = { .tv_sec = FLUSH_S };
	struct event_base *base = lifecycle.process->loop.base;

	(void)life_note(&lifecycle.life, LIFE_CUT, false);
	event_base_loopexit(base, &most);
	while (reload_pending() && event_base_loop(base, EVLOOP_ONCE) == 0 &&
	       !event_base_got_exit(base))
		;
}

static void stop_all(struct process *process)
{
	watchdog_stop();
	manager_status_stop();
	idle_exit_stop();
	path_watch_stop();
	workers_stop(process);
	status_server_clear();
	upgrade_clear();
	on_demand_clear();
	reload_clear(process);
	free(process->roster);
	process->roster = NULL;
	event_del(&lifecycle.drain_timer);
	signals_release();
}

static void look_after_units(struct process *process)
{
	char *units = takeover_take_units();

	on_demand_start(process->loop.base);
	on_demand_configure(process->generation);
	if (units)
		on_demand_take_over(units);
	free(units);
}

int lifecycle_run(struct process *process)
{
	int status = EXIT_FAILURE;

	lifecycle.process = process;
	lifecycle.release.deliver = release;
	if (takeover_is_waiting())
		(void)operation_ask(&lifecycle.operations, OPERATION_TAKE_OVER, true);
	event_assign(&lifecycle.drain_timer, process->loop.base, -1, 0, drain_timer_fired, NULL);
	look_after_units(process);
	if (signals_catch(process->loop.base, &signal_handlers) == 0)
		status = serve();
	else
		log_line(LOG_ERR, "cannot catch signals: out of memory");

	if (reload_pending())
		await_reload();
	(void)notify_flush(upgrade_is_alive() ? HANDOVER_FLUSH_S : FLUSH_S);
	/* A name that hangs in the resolver is not waited for, and what its thread uses not freed.
	 */
	if (resolver_lookups_pending() || reload_pending()) {
		log_flush();
		_exit(status);
	}
	stop_all(process);
	return status;
}
