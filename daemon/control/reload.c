/* SPDX-License-Identifier: MIT */
/*
 * Opens a generation beside the running one.  A listen line that both have keeps
 * its listener, backlog and all; what was inherited is lent by the old generation
 * and taken by the new one.
 *
 *	thread: read, open ---> main: make a roster ---> acceptor goes over
 *	   |                      |                          |
 *	   | wrong file           | too late                 v
 *	   '--------------------> '----> discard     main: commit, close the old
 */
#include "daemon/control/reload.h"

#include <errno.h>
#include <sockfront/listener.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/args.h"
#include "conf/conf.h"
#include "conf/listen_index.h"
#include "daemon/base/log.h"
#include "daemon/base/thread.h"
#include "daemon/control/fd_limit.h"
#include "daemon/control/manager_status.h"
#include "daemon/control/path_watch.h"
#include "daemon/handover/fdstore.h"
#include "daemon/handover/inherited_fds.h"
#include "daemon/handover/spare_sockets.h"
#include "daemon/handover/untaken.h"
#include "daemon/proxy/generation.h"
#include "daemon/proxy/status_section.h"
#include "daemon/session/access_log.h"
#include "daemon/worker/acceptor.h"
#include "daemon/worker/process.h"
#include "daemon/worker/process_counts.h"

/* What is told of a failure outside of the log. */
#define REASON_SIZE 256

static struct {
	int argc;
	char **argv;
	struct process *process;
	struct reload_handlers handlers;
	struct generation *next; /* the thread's answer, until it is the current one */
	struct roster *roster;   /* of that, while the acceptor goes over to it */
	struct roster *older;    /* whose last clients are accepted still, or were */
	bool is_under_way;       /* it may find listeners in older generations */
	char why[REASON_SIZE];   /* the first thing that was wrong; empty: nothing was */
	struct message message;
	atomic_bool pending;
} reload;

void reload_remember(int argc, char **argv)
{
	reload.argc = argc;
	reload.argv = argv;
}

bool reload_pending(void)
{
	return atomic_load(&reload.pending);
}

/* ---- on the thread ---- */

/* The first one stays: what follows may follow from it. */
__attribute__((format(printf, 1, 2))) static void note_why(const char *format, ...)
{
	va_list arguments;

	if (*reload.why)
		return;
	va_start(arguments, format);
	vsnprintf(reload.why, sizeof(reload.why), format, arguments);
	va_end(arguments);
}

static void problem_reported(void *data, const struct place *place, const char *message)
{
	(void)data;
	if (place->file)
		note_why("%s:%u: %s", place->file, place->line, message);
	else
		note_why("%s", message);
	log_problem(place->file, place->line, message);
}

static void fail(const char *message)
{
	note_why("%s", message);
	log_line(LOG_ERR, "%s", message);
}

static bool read_config(struct config *config, struct args *ret_args)
{
	struct problems problems = { .report = problem_reported };

	(void)args_parse(reload.argc, reload.argv, config, &problems, ret_args);
	inherited_fds_check(config, &problems);
	if (problems.count == 0)
		return true;
	config_clear(config);
	return false;
}

/* What sfront_listener_verify() found to be so, other than what it could not tell. */
static bool is_lost(int r)
{
	return r == -ESHUTDOWN || r == -ENOENT || r == -ESTALE;
}

/*
 * Whether a listener is still what its line says.  One that is not is bound anew, unless
 * there is nothing to bind it to at present, or it is not ours to bind.  In doubt it is
 * kept: clients may wait in its queue.
 */
static bool is_kept(const struct listener *listener)
{
	struct sfront_error err;
	int r = listener_verify(listener, &err);
	bool is_kept = !is_lost(r) || !listener_is_own(listener);

	if (r < 0 && !is_kept)
		log_line(LOG_WARNING, "%s; it is bound anew", err.message);
	else if (r == -ENODEV || is_lost(r))
		log_line(LOG_WARNING, "%s; no client reaches it for the time being", err.message);
	else if (r < 0)
		log_line(LOG_WARNING, "%s; it is kept", err.message);
	return is_kept;
}

/* Where a new generation finds sockets that it need not open. */
struct finding {
	const struct generation *running;
	struct spare_sockets spare;
};

static struct listener *find_running(const struct generation *running,
				     const struct listen_config *listen)
{
	struct listener *listener = generation_listener(running, &listen->address, listen->nth);

	/* One that was dropped, and is back before its last clients were accepted. */
	for (const struct generation *older = running->older; older && !listener;
	     older = older->older) {
		listener = generation_listener(older, &listen->address, listen->nth);
		if (listener && !listener_is_own(listener))
			listener = NULL;
	}
	if (!listener || !is_kept(listener))
		return NULL;
	return listener_ref(listener);
}

/* Those that stay have their own options so far: see change_options(). */
static struct listener *find(void *data, const struct listen_config *listen,
			     const struct sfront_options *options)
{
	struct finding *finding = data;
	struct listener *found = find_running(finding->running, listen);

	return found ? found : spare_sockets_open(&finding->spare, listen, options);
}

static bool has_line(const struct listen_index *index, const struct listener *listener)
{
	const struct sfront_address address = listener_address(listener);
	struct listen_group group = listen_index_find_same(index, &address);

	for (size_t i = 0; i < group.n; i++) {
		const struct listen_config *listen = group.entries[i].listen;

		if (listen->nth == listener->nth &&
		    sfront_address_equal(&listen->address, &address))
			return true;
	}
	return false;
}

/* What was inherited may be wanted by another line now. */
static bool lend_if_dropped(struct listener *listener, void *data)
{
	if (listener_is_own(listener) || has_line(data, listener))
		return false;
	sfront_listener_lend(listener->open);
	return true;
}

static bool take_back(struct listener *listener, void *data)
{
	(void)data;
	if (listener->open)
		(void)sfront_listener_take_back(listener->open);
	return true;
}

/* The options of listeners of one section: from those in force to @then, or back. */
static int change_section(struct listener **listeners, size_t n, const struct sfront_options *then,
			  bool back, struct sfront_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct sfront_options *now = listeners[i]->options;
		int r;

		/* Of thousands, those whose section is as it was are not touched. */
		if (sfront_options_equal(now, then))
			continue;
		r = sfront_listener_update(listeners[i]->open, back ? then : now, back ? now : then,
					   err);
		if (r < 0 && !back)
			return r;
	}
	return 0;
}

/* Options of listeners that stay, from those in force to those of @next, or back. */
static int change_options(struct generation *next, bool back, struct sfront_error *err)
{
	const struct status_section *status = next->status;
	int r = 0;

	for (size_t i = 0; r == 0 && i < next->n_proxies; i++) {
		const struct proxy *proxy = next->proxies[i];

		r = change_section(proxy->listeners, proxy->n_listeners, proxy->config.options,
				   back, err);
	}
	if (r < 0 || !status)
		return r;
	return change_section(status->listeners, status->n_listeners, status->config->options, back,
			      err);
}

/* Lends what no line names any more, and lists what nobody had before.  Returns 0 or -ENOMEM. */
static int begin_finding(struct finding *finding, struct generation *running,
			 const struct config *config)
{
	struct listen_index index;

	finding->running = running;
	if (spare_sockets_list(&finding->spare, config) < 0)
		return -ENOMEM;
	if (listen_index_make(&index, config) < 0) {
		spare_sockets_clear(&finding->spare);
		return -ENOMEM;
	}
	(void)generation_each(running, lend_if_dropped, &index);
	listen_index_clear(&index);
	return 0;
}

static struct generation *open_next(struct generation *running)
{
	struct finding finding;
	const struct generation_source source = {
		.find = find,
		.data = &finding,
		.home = &reload.process->loop,
		.n_workers = reload.process->n_workers,
	};
	struct sfront_error err, ignored;
	struct generation *next;
	struct config config;
	struct args args;

	if (!read_config(&config, &args))
		return NULL;
	if (access_log_prepare(&config.process, &err) < 0) {
		config_clear(&config);
		fail(err.message);
		return NULL;
	}
	if (begin_finding(&finding, running, &config) < 0) {
		access_log_discard();
		config_clear(&config);
		fail("out of memory");
		return NULL;
	}
	next = generation_open(&config, args.file, &source, &err);
	spare_sockets_clear(&finding.spare);
	if (next && change_options(next, false, &err) < 0) {
		(void)change_options(next, true, &ignored);
		generation_give_back(next);
		generation_free(next);
		next = NULL;
	}
	if (!next) {
		(void)generation_each(running, take_back, NULL);
		access_log_discard();
		fail(err.message);
	}
	return next;
}

static void *reload_main(void *arg)
{
	(void)arg;
	reload.next = open_next(reload.process->generation);
	mailbox_post(&reload.process->loop.mailbox, &reload.message);
	return NULL;
}

/* ---- on the main thread ---- */

static bool forget_if_dropped(struct listener *listener, void *data)
{
	if (listener->newest == data || !listener->open)
		return false;
	fdstore_forget(listener);
	/* Nobody will take it from systemd any more, so that its path goes too. */
	listener->is_shared = false;
	listener_hide(listener);
	return true;
}

static bool close_if_newest(struct listener *listener, void *data)
{
	if (listener->newest != data || !listener->open)
		return false;
	/* An inherited one that no other line has taken is as it was, and free for a later one. */
	if (sfront_listener_take_back(listener->open) == 0 && !listener_is_own(listener)) {
		(void)sfront_listener_restore(listener->open);
		sfront_listener_lend(listener->open);
	}
	listener_refuse(listener);
	listener_close(listener);
	return true;
}

/* Closes what @older alone has, and frees it: nobody accepts from that any more. */
static void retire(struct process *process, struct generation *older)
{
	struct generation *after = older->older;

	for (struct generation *newer = process->generation; newer; newer = newer->older)
		if (newer->older == older)
			newer->older = after;
	(void)generation_each(older, close_if_newest, older);
	generation_free(older);
}

/* A reload may find listeners in them, and must not be disturbed. */
static void retire_those_over(struct process *process, bool at_the_end)
{
	for (struct roster **at = &reload.older; *at;) {
		struct roster *roster = *at;

		if (roster->is_over || at_the_end) {
			*at = roster->older;
			retire(process, roster->generation);
			free(roster);
		} else {
			at = &roster->older;
		}
	}
}

void reload_roster_over(struct message *message)
{
	struct roster *roster = message_owner(message, struct roster, over);

	roster->is_over = true;
	if (!reload.is_under_way)
		retire_those_over(reload.process, false);
}

static bool is_new(struct listener *listener, void *data)
{
	(void)data;
	return atomic_load(&listener->refs) == 1;
}

/* What has been set when the process started, and stays so. */
static void warn_of_fixed(const struct process_config *now, const struct process_config *then)
{
	if (now->workers != then->workers)
		log_line(LOG_WARNING,
			 "workers cannot be changed from %u to %u while the process runs; an "
			 "upgrade (SIGUSR2) or a restart does",
			 now->workers, then->workers);
	if (now->pipe_size != then->pipe_size)
		log_line(LOG_WARNING,
			 "pipe-size cannot be changed from %llu to %llu while the process runs; an "
			 "upgrade (SIGUSR2) or a restart does",
			 (unsigned long long)now->pipe_size, (unsigned long long)then->pipe_size);
}

static void change_process(struct process *process, const struct process_config *then)
{
	struct process_config *now = &process->settings;
	unsigned int workers = now->workers;
	uint64_t pipe_size = now->pipe_size;

	warn_of_fixed(now, then);
	*now = *then;
	now->workers = workers;
	now->pipe_size = pipe_size;
	log_set_level(now->log_level);
	process_set_limit(process, fd_limit_max_connections(now));
}

/* The new generation is in use; the acceptor may have clients of the old one still. */
static void commit(struct process *process, struct generation *next)
{
	struct generation *before = process->generation;
	size_t added = generation_each(next, is_new, NULL);
	size_t removed = generation_each(before, forget_if_dropped, next);

	next->older = before;
	process->generation = next;
	reload.handlers.changed();
	/* Nobody accepts from those of the older one any more. */
	(void)generation_each_of_status(before, close_if_newest, before);
	for (size_t i = 0; i < next->n_proxies; i++)
		proxy_announce(next->proxies[i], true);
	untaken_warn();
	process->roster->older = reload.older;
	reload.older = process->roster;
	process->roster = reload.roster;
	retire_those_over(process, false);
	access_log_commit(&next->process);
	change_process(process, &next->process);
	process_start_counting(process);
	process_count(process, PROCESS_RELOADS);
	/* More connections may be allowed now. */
	acceptor_resume(process->acceptor);
	log_line(LOG_NOTICE, "reloaded %s: %zu listener(s) kept, %zu added, %zu removed",
		 next->file, next->n_listeners - added, added, removed);
	manager_status_note_reload(NULL);
}

/* Nothing has happened: closes what was opened. */
static void discard(struct generation *next)
{
	struct sfront_error ignored;

	access_log_discard();
	(void)change_options(next, true, &ignored);
	/* What both have is the older one's again, if it was this one's already. */
	generation_become_newest(reload.process->generation);
	generation_give_back(next);
	generation_free(next);
	(void)generation_each(reload.process->generation, take_back, NULL);
}

static void end(void)
{
	reload.next = NULL;
	reload.roster = NULL;
	reload.is_under_way = false;
	retire_those_over(reload.process, false);
	reload.handlers.ended();
}

static void switched(struct message *message)
{
	struct process *process = reload.process;

	(void)message;
	path_watch_stop();
	commit(process, reload.next);
	if (reload.handlers.is_wanted()) {
		fdstore_update(process->generation);
		path_watch_start(process->loop.base, process->generation);
	}
	end();
}

static void go_over(struct generation *next)
{
	struct acceptor *acceptor = reload.process->acceptor;

	generation_share(next, reload.process->generation);
	/* The next one probes the servers that both have. */
	generation_stop_probes(reload.process->generation);
	generation_become_newest(next);
	generation_start_probes(next);
	generation_be_replaced(reload.process->generation);
	acceptor->switched.deliver = switched;
	acceptor_switch(acceptor, reload.roster);
}

static void opened(struct message *message)
{
	struct generation *next = reload.next;
	bool is_wanted = reload.handlers.is_wanted();

	(void)message;
	atomic_store(&reload.pending, false);
	if (next && is_wanted)
		reload.roster = roster_new(next, reload_roster_over);
	if (reload.roster) {
		go_over(next);
		return;
	}
	if (next)
		discard(next);
	if (!next || is_wanted)
		process_count(reload.process, PROCESS_RELOADS_FAILED);
	if (!next)
		log_line(LOG_ERR, "reload failed: nothing has changed");
	else if (is_wanted)
		log_line(LOG_ERR, "reload failed: out of memory; nothing has changed");
	if (!next || is_wanted)
		manager_status_note_reload(next ? "out of memory" : reload.why);
	end();
}

int reload_start(struct process *process, const struct reload_handlers *handlers)
{
	int r;

	reload.process = process;
	reload.handlers = *handlers;
	reload.message.deliver = opened;
	reload.is_under_way = true;
	reload.why[0] = '\0';
	atomic_store(&reload.pending, true);
	r = thread_start_detached(reload_main, NULL, 0);
	if (r < 0) {
		reload.is_under_way = false;
		atomic_store(&reload.pending, false);
		process_count(process, PROCESS_RELOADS_FAILED);
		log_line(LOG_ERR,
			 "reload failed: no thread can be started: %s; nothing has changed",
			 strerror(-r));
		manager_status_note_reload("no thread can be started");
	}
	return r;
}

void reload_clear(struct process *process)
{
	if (reload.next) {
		discard(reload.next);
		free(reload.roster);
	}
	retire_those_over(process, true);
}
