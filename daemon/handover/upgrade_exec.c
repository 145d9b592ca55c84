/* SPDX-License-Identifier: MIT */
/*
 * Starts the new process of an upgrade.  Inherited descriptors keep their numbers
 * and go by LISTEN_FDS as they came; sockets of our own go by a variable that only
 * sockfront reads, with the names of socket_name.h.
 */
#include "daemon/handover/upgrade_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sockfront/listener.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/handover/fdstore.h"
#include "daemon/handover/inherited_fds.h"
#include "daemon/handover/upgrade_protocol.h"
#include "daemon/proxy/generation.h"

#define PID_DIGITS 11

static char *program;
static char **command_line;

void upgrade_exec_remember(char **argv)
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	char directory[PATH_MAX];

	command_line = argv;
	/* As it was called: what a symbolic link leads to next time is the new version. */
	if (!name || *name == '\0')
		name = argv[0];
	if (name[0] == '/')
		program = strdup(name);
	else if (!getcwd(directory, sizeof(directory)) ||
		 asprintf(&program, "%s/%s", directory, name) < 0)
		program = NULL;
}

const char *upgrade_exec_program(void)
{
	return program;
}

/* Everything between fork() and exec(): made before, since only little may be called then. */
struct exec_plan {
	struct passed *passed; /* borrowed */
	char **environment;    /* owned array of owned strings */
	size_t n;
	int *fds; /* owned array: not to be closed by exec() */
	size_t n_fds;
	char *listen_pid, *watchdog_pid; /* within the environment: the new process's own number */
	bool out_of_memory;
};

static void add_variable(struct exec_plan *plan, char *text)
{
	char **longer = reallocarray(plan->environment, plan->n + 2, sizeof(*longer));

	if (longer)
		plan->environment = longer;
	if (!longer || !text) {
		plan->out_of_memory = true;
		free(text);
		return;
	}
	longer[plan->n++] = text;
	longer[plan->n] = NULL;
}

static void add_descriptor(struct exec_plan *plan, int fd)
{
	int *longer = reallocarray(plan->fds, plan->n_fds + 1, sizeof(*longer));

	if (!longer) {
		plan->out_of_memory = true;
		return;
	}
	plan->fds = longer;
	longer[plan->n_fds++] = fd;
}

static bool is_named(const char *variable, const char *name)
{
	size_t len = strlen(name);

	return strncmp(variable, name, len) == 0 && variable[len] == '=';
}

static bool is_of_ours(const char *variable)
{
	static const char *const names[] = { UPGRADE_VARIABLE, "LISTEN_PID", "LISTEN_FDS",
					     "LISTEN_FDNAMES", "LISTEN_PIDFDID" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (is_named(variable, names[i]))
			return true;
	return false;
}

/* Whether it says that the watchdog waits for this process, and not for another one. */
static bool is_pid_of_watchdog(const char *variable)
{
	return is_named(variable, "WATCHDOG_PID") && atoi(strchr(variable, '=') + 1) == getpid();
}

/* A variable that is written piece by piece.  NULL: out of memory. */
struct growing {
	char *text;
	size_t size;
	FILE *stream;
};

static FILE *grow(struct growing *growing, const char *name)
{
	*growing = (struct growing){ 0 };
	growing->stream = open_memstream(&growing->text, &growing->size);
	if (growing->stream)
		fprintf(growing->stream, "%s=", name);
	return growing->stream;
}

/* The text, for the caller to free; NULL when memory was short at any time. */
static char *grown(struct growing *growing)
{
	bool failed;

	if (!growing->stream)
		return NULL;
	failed = ferror(growing->stream);
	if (fclose(growing->stream) == 0 && !failed)
		return growing->text;
	free(growing->text);
	return NULL;
}

/* A variable whose value is written by the new process. */
static char *add_pid(struct exec_plan *plan, const char *name)
{
	char *text = NULL;

	if (asprintf(&text, "%s%*s", name, PID_DIGITS, "") < 0)
		text = NULL;
	add_variable(plan, text);
	return plan->out_of_memory ? NULL : text + strlen(name);
}

/* systemd's sockets come first in LISTEN_FDS; what comes from its store goes by our variable. */
static void pass_inherited(struct exec_plan *plan)
{
	struct sfront_inherited inherited;
	struct growing names;
	char *count = NULL;
	size_t n = 0;

	if (sfront_inherited_at(0, &inherited) < 0 || store_is_name(inherited.name))
		return;
	if (!grow(&names, "LISTEN_FDNAMES")) {
		plan->out_of_memory = true;
		return;
	}
	while (sfront_inherited_at(n, &inherited) == 0 && !store_is_name(inherited.name)) {
		fprintf(names.stream, "%s%s", n > 0 ? ":" : "", inherited.name);
		add_descriptor(plan, inherited.fd);
		n++;
	}
	if (asprintf(&count, "LISTEN_FDS=%zu", n) < 0)
		count = NULL;
	add_variable(plan, grown(&names));
	add_variable(plan, count);
	plan->listen_pid = add_pid(plan, "LISTEN_PID=");
}

static bool is_listening(int fd)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens;
}

/* A number that was inherited once may be one of ours by now. */
static bool is_own_descriptor(struct listener *listener, void *data)
{
	for (size_t i = 0; i < listener->n_sockets; i++)
		if (listener_is_own(listener) &&
		    sfront_listener_fd(listener->open, i) == *(const int *)data)
			return true;
	return false;
}

/* Those that no variable announces and no line names now: a changed file may name them again. */
static void pass_unannounced(struct exec_plan *plan, struct generation *generation)
{
	int fd;

	for (size_t i = 0; (fd = inherited_fds_at(i)) >= 0; i++)
		if (is_listening(fd) && generation_each(generation, is_own_descriptor, &fd) == 0)
			add_descriptor(plan, fd);
}

struct passing {
	struct exec_plan *plan;
	struct growing sockets; /* the variable that says which they are */
};

static void note_passed(struct exec_plan *plan, struct listener *listener)
{
	struct listener **longer = reallocarray(plan->passed->listeners, plan->passed->n + 1,
						sizeof(struct listener *));

	if (!longer) {
		plan->out_of_memory = true;
		return;
	}
	plan->passed->listeners = longer;
	longer[plan->passed->n++] = listener;
}

static bool pass_listener(struct listener *listener, void *data)
{
	struct passing *passing = data;
	char name[STORE_NAME_SIZE];

	listener->is_taken_over = false;
	/* Not all that was inherited was announced by LISTEN_FDS. */
	if (!listener_is_own(listener)) {
		for (size_t i = 0; i < listener->n_sockets; i++)
			add_descriptor(passing->plan, sfront_listener_fd(listener->open, i));
		return false;
	}
	/* A path that is gone is bound anew. */
	if (sfront_listener_check(listener->open, 0) < 0)
		return false;
	store_format_name(listener, name);
	for (size_t i = 0; i < listener->n_sockets; i++) {
		int fd = sfront_listener_fd(listener->open, i);

		fprintf(passing->sockets.stream, " %d:%s", fd, name);
		add_descriptor(passing->plan, fd);
		note_passed(passing->plan, listener);
	}
	return true;
}

static void plan_clear(struct exec_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		free(plan->environment[i]);
	free(plan->environment);
	free(plan->fds);
}

static int plan_prepare(struct exec_plan *plan, struct generation *generation, int control)
{
	struct passing passing = { .plan = plan };

	if (!grow(&passing.sockets, UPGRADE_VARIABLE))
		return -ENOMEM;
	for (char **variable = environ; *variable; variable++)
		if (is_pid_of_watchdog(*variable))
			plan->watchdog_pid = add_pid(plan, "WATCHDOG_PID=");
		else if (!is_of_ours(*variable))
			add_variable(plan, strdup(*variable));
	pass_inherited(plan);
	pass_unannounced(plan, generation);
	fprintf(passing.sockets.stream, "%d", control);
	(void)generation_each(generation, pass_listener, &passing);
	add_variable(plan, grown(&passing.sockets));
	add_descriptor(plan, control);
	if (!plan->out_of_memory)
		return 0;
	plan_clear(plan);
	return -ENOMEM;
}

/* ---- between fork() and exec(): async-signal-safe calls only ---- */

static void write_number(char *to, pid_t number)
{
	char digits[PID_DIGITS];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	while (n > 0)
		*to++ = digits[--n];
	*to = '\0';
}

static void restore_signals(const sigset_t *mask)
{
	static const int caught[] = { SIGTERM, SIGINT, SIGUSR2, SIGPIPE, SIGHUP };
	struct sigaction action, plain = { .sa_handler = SIG_DFL };

	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		/* nohup(1) is kept; SIGPIPE is ignored by ourselves alone. */
		if (caught[i] != SIGHUP || sigaction(SIGHUP, NULL, &action) < 0 ||
		    action.sa_handler != SIG_IGN)
			sigaction(caught[i], &plain, NULL);
	sigprocmask(SIG_SETMASK, mask, NULL);
}

static _Noreturn void become_new(const struct exec_plan *plan, int control, const sigset_t *mask)
{
	struct note note = { NOTE_STARTED, getpid() };

	if (plan->listen_pid)
		write_number(plan->listen_pid, getpid());
	if (plan->watchdog_pid)
		write_number(plan->watchdog_pid, getpid());
	for (size_t i = 0; i < plan->n_fds; i++)
		(void)fcntl(plan->fds[i], F_SETFD, 0);
	(void)!write(control, &note, sizeof(note));
	restore_signals(mask);
	execve(program, command_line, plan->environment);
	note = (struct note){ NOTE_EXEC_FAILED, errno };
	(void)!write(control, &note, sizeof(note));
	_exit(EXIT_FAILURE);
}

/*
 * Twice: the new process is to be a child of the service manager, which would
 * not notice the end of somebody else's.
 */
static int fork_twice(const struct exec_plan *plan, int control)
{
	sigset_t all, before;
	pid_t between;
	int status = 0;

	sigfillset(&all);
	/* A handler of ours in the child would write into the event base that we share. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	between = fork();
	if (between == 0) {
		pid_t pid = fork();

		if (pid == 0)
			become_new(plan, control, &before);
		_exit(pid < 0 ? errno : 0);
	}
	status = between < 0 ? -errno : 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (between < 0)
		return status;
	while (waitpid(between, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

int upgrade_exec(struct generation *generation, int control, struct passed *passed)
{
	struct exec_plan plan = { .passed = passed };
	int r;

	passed->n = 0;
	if (!program)
		return -ENOENT;
	r = plan_prepare(&plan, generation, control);
	if (r < 0)
		return r;
	r = fork_twice(&plan, control);
	plan_clear(&plan);
	return r;
}
