/* SPDX-License-Identifier: MIT */
/*
 * sockfront: from the command line to the exit status.  The main thread opens
 * the listeners, starts the workers, and then only waits for signals and for
 * the workers' messages; where there is one worker, that runs on it.
 */
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <sockfront/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/args.h"
#include "conf/conf.h"
#include "daemon/ask_status.h"
#include "daemon/base/log.h"
#include "daemon/control/fd_limit.h"
#include "daemon/control/lifecycle.h"
#include "daemon/control/reload.h"
#include "daemon/control/signals.h"
#include "daemon/handover/inherited_fds.h"
#include "daemon/handover/received.h"
#include "daemon/handover/spare_sockets.h"
#include "daemon/handover/takeover.h"
#include "daemon/handover/untaken.h"
#include "daemon/handover/upgrade_exec.h"
#include "daemon/help.h"
#include "daemon/modes.h"
#include "daemon/proxy/generation.h"
#include "daemon/session/access_log.h"
#include "daemon/worker/process.h"

/* The system refused, and: what was asked for is wrong. */
enum { EXIT_REFUSED = 1, EXIT_USAGE = 2 };

static void problem_reported(void *data, const struct place *place, const char *message)
{
	(void)data;
	log_problem(place->file, place->line, message);
}

static bool serves_inetd(const struct config *config)
{
	struct listen_section section;

	for (size_t i = 0; config_listen_section(config, i, &section); i++)
		for (size_t j = 0; j < section.n; j++)
			if (section.lines[j].address.kind == SFRONT_INETD)
				return true;
	return false;
}

/* Whether a host name has to be resolved before all is open. */
static bool needs_resolver(const struct config *config)
{
	struct listen_section section;

	for (size_t i = 0; config_listen_section(config, i, &section); i++)
		for (size_t j = 0; j < section.n; j++)
			if (section.lines[j].address.kind == SFRONT_TCP &&
			    !sfront_address_is_literal(&section.lines[j].address))
				return true;
	return false;
}

/* A classic inetd hands the connection over as stderr, too. */
static bool stderr_is_stdin(void)
{
	struct stat in, err;

	return fstat(STDIN_FILENO, &in) == 0 && fstat(STDERR_FILENO, &err) == 0 &&
	       S_ISSOCK(in.st_mode) && in.st_dev == err.st_dev && in.st_ino == err.st_ino;
}

static struct listener *find_waiting(void *data, const struct listen_config *listen,
				     const struct sfront_options *options)
{
	struct listener *found = received_find(NULL, listen, options);

	return found ? found : spare_sockets_open(data, listen, options);
}

static int open_generation(struct process *process, struct config *config, const char *file)
{
	struct spare_sockets spare;
	const struct generation_source source = {
		.find = find_waiting,
		.data = &spare,
		.home = &process->loop,
		.n_workers = config->process.workers,
	};
	struct sfront_error err;

	process->settings = config->process;
	received_add_kept();
	received_close_strangers(config);
	if (spare_sockets_list(&spare, config) < 0) {
		config_clear(config);
		log_line(LOG_ERR, "out of memory");
		return -ENOMEM;
	}
	process->generation = generation_open(config, file, &source, &err);
	spare_sockets_clear(&spare);
	received_close_rest();
	if (!process->generation) {
		log_line(LOG_ERR, "%s", err.message);
		return -EIO;
	}
	generation_become_newest(process->generation);
	takeover_follow_counters();
	process_start_counting(process);
	untaken_warn();
	return 0;
}

static int open_access_log(const struct process_config *settings)
{
	struct sfront_error err;
	int r = access_log_prepare(settings, &err);

	if (r < 0)
		log_line(LOG_ERR, "%s", err.message);
	else
		access_log_commit(settings);
	return r;
}

/* By itself it writes to stderr, which may be the client, and as often as something fails. */
static void libevent_said(int severity, const char *message)
{
	static struct log_limit limit;
	unsigned int dropped;

	if (severity != EVENT_LOG_WARN)
		log_line(severity == EVENT_LOG_ERR ? LOG_ERR : LOG_DEBUG, "libevent: %s", message);
	else if (log_limit_passes(&limit, &dropped))
		log_line(LOG_WARNING, "libevent: %s%s", message,
			 dropped > 0 ? "; similar messages were held back" : "");
}

static int open_base(struct process *process)
{
	event_set_log_callback(libevent_said);
	if (!fd_limit_suffices(&process->settings))
		return -EMFILE;
	if (loop_open(&process->loop, LOOP_PRIORITIES) == 0)
		return 0;
	log_line(LOG_ERR, "cannot start: out of memory or descriptors");
	return -ENOMEM;
}

static int run(struct process *process, struct config *config, const char *file)
{
	struct problems problems = { .report = problem_reported };
	bool inetd = serves_inetd(config);
	int status = EXIT_REFUSED, r;

	if (takeover_receive() < 0) {
		log_line(LOG_ERR, "SOCKFRONT_UPGRADE cannot be understood, or there "
				  "is no memory for it: only an upgrade sets it");
		config_clear(config);
		return status;
	}
	inherited_fds_note();
	log_open(config->process.log_level, stderr_is_stdin());
	inherited_fds_check(config, &problems);
	if (problems.count > 0)
		return status;
	r = inherited_fds_fill_standard(inetd);
	if (r < 0) {
		log_line(LOG_ERR,
			 "stdin, stdout or stderr is closed, and /dev/null cannot be opened in its "
			 "place: %s; a client's socket would get its number",
			 strerror(-r));
		return status;
	}
	process->interactive = inetd && isatty(STDIN_FILENO);
	/* A name server that hangs is no reason to be deaf. */
	if (!needs_resolver(config))
		signals_hold();
	if (open_access_log(&config->process) < 0) {
		config_clear(config);
		return status;
	}
	if (open_generation(process, config, file) < 0) {
		process_stop_counting(process);
		return status;
	}
	if (open_base(process) == 0) {
		generation_start_probes(process->generation);
		status = lifecycle_run(process);
		generation_stop_probes(process->generation);
	}
	loop_close(&process->loop);
	/* The old process goes on with what both have. */
	if (takeover_is_waiting())
		generation_give_back(process->generation);
	generation_free(process->generation);
	process_stop_counting(process);
	return status;
}

static int make_units(const struct config *config, const struct args *args)
{
	int r = mode_units(config, args, upgrade_exec_program());

	if (r == -EINVAL)
		return EXIT_USAGE;
	return r < 0 ? EXIT_REFUSED : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct process process; /* a resolver's thread may outlive main() by a moment */
	struct problems problems = { .report = problem_reported };
	struct config config;
	struct args args;
	enum args_action action;
	int status;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* an upgrade waits for its child */
	signal(SIGXFSZ, SIG_IGN); /* a log that may not grow loses lines, and nothing else */
	log_open(LOG_INFO, stderr_is_stdin());
	upgrade_exec_remember(argv);
	action = args_parse(argc, argv, &config, &problems, &args);
	if (problems.count > 0) {
		status = EXIT_USAGE;
	} else if (action == ARGS_HELP) {
		help_print();
		status = EXIT_SUCCESS;
	} else if (action == ARGS_VERSION) {
		printf("sockfront %s\n", SOCKFRONT_VERSION);
		status = EXIT_SUCCESS;
	} else if (action == ARGS_USAGE) {
		help_print_usage();
		status = EXIT_USAGE;
	} else if (action == ARGS_CHECK) {
		mode_check(&config, &args);
		status = EXIT_SUCCESS;
	} else if (action == ARGS_UNITS) {
		status = make_units(&config, &args);
	} else if (action == ARGS_STATUS) {
		status = ask_status(&args, &config) < 0 ? EXIT_REFUSED : EXIT_SUCCESS;
	} else {
		reload_remember(argc, argv);
		status = run(&process, &config, args.file);
	}
	config_clear(&config);
	if (fflush(stdout) != 0 && status == EXIT_SUCCESS) {
		log_line(LOG_ERR, "stdout takes no more: %s", strerror(errno));
		status = EXIT_REFUSED;
	}
	log_flush();
	return status;
}
