/* SPDX-License-Identifier: MIT */
/*
 * Starts the new process of an upgrade by what upgrade_plan.c has gathered.
 */
#include "daemon/handover/upgrade_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/handover/upgrade_plan.h"
#include "daemon/handover/upgrade_protocol.h"

#ifndef SYS_close_range /* Linux 5.9; the same number everywhere but on alpha */
#define SYS_close_range 436
#endif

static char *program;
static char **command_line;
static sigset_t signal_mask; /* that we were started with: the thread that forks blocks all */

void upgrade_exec_remember(char **argv)
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	char directory[PATH_MAX];

	command_line = argv;
	pthread_sigmask(SIG_SETMASK, NULL, &signal_mask);
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

/* ---- between fork() and exec(): async-signal-safe calls only ---- */

/* Closes descriptors @first to @last; where the kernel cannot, one by one up to @limit. */
static void close_range_of(unsigned int first, unsigned int last, unsigned int limit)
{
	if (first > last || syscall(SYS_close_range, first, last, 0U) == 0)
		return;
	for (unsigned int fd = first; fd <= last && fd < limit; fd++)
		close((int)fd);
}

/*
 * The connections of the old process would not end while a copy of their sockets waits
 * here for exec().
 */
static void close_others(const struct numbers *open, unsigned int limit)
{
	unsigned int next = 0;

	for (size_t i = 0; i < open->n; i++) {
		unsigned int fd = (unsigned int)open->values[i];

		if (fd > next)
			close_range_of(next, fd - 1, limit);
		next = fd + 1;
	}
	close_range_of(next, UINT_MAX, limit);
}

/* Whether it was ignored when we started; those of nohup(1) stay so. */
static bool is_ignored_by_others(int number)
{
	struct sigaction action;

	return number != SIGPIPE && number != SIGXFSZ && /* ignored by ourselves */
	       sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static void restore_signals(void)
{
	const struct sigaction plain = { .sa_handler = SIG_DFL };

	/* All of them: which ones are caught is not known in this room. */
	for (int number = 1; number < NSIG; number++)
		if (!is_ignored_by_others(number))
			sigaction(number, &plain, NULL);
	sigprocmask(SIG_SETMASK, &signal_mask, NULL);
}

static void tell(int control, int kind, int value)
{
	const struct note note = { .kind = kind, .value = value };

	(void)!write(control, &note, NOTE_SIZE);
}

static _Noreturn void become_new(const struct upgrade_plan *plan, int control)
{
	upgrade_plan_fill_pid(plan, getpid());
	for (size_t i = 0; i < plan->passed_fds.n; i++)
		(void)fcntl(plan->passed_fds.values[i], F_SETFD, 0);
	tell(control, NOTE_STARTED, getpid());
	restore_signals();
	execve(program, command_line, plan->environment);
	tell(control, NOTE_EXEC_FAILED, errno);
	_exit(EXIT_FAILURE);
}

/* ---- */

/* Above which there are no descriptors, for kernels that cannot close a range. */
static unsigned int descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
		return INT_MAX;
	return (unsigned int)limit.rlim_cur;
}

/*
 * Twice: the new process is to be a child of the service manager, which would
 * not notice the end of somebody else's.
 */
static int fork_twice(const struct upgrade_plan *plan, int control)
{
	unsigned int limit = descriptor_limit();
	sigset_t all, before;
	pid_t between;
	int status = 0;

	sigfillset(&all);
	/* A handler of ours in the child would write into the event base that we share. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	between = fork();
	if (between == 0) {
		pid_t pid;

		close_others(&plan->open_fds, limit);
		pid = fork();
		if (pid == 0)
			become_new(plan, control);
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

static int exec_with(struct generation *generation, const char *units, int control,
		     struct passed *passed)
{
	struct upgrade_plan plan;
	int r = upgrade_plan_make(&plan, generation, units, control, passed);

	if (r < 0)
		return r;
	r = fork_twice(&plan, control);
	upgrade_plan_clear(&plan);
	return r;
}

int upgrade_exec(struct generation *generation, const char *units, struct passed *passed)
{
	int pair[2], r;

	if (!program)
		return -ENOENT;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = exec_with(generation, units, pair[1], passed);
	close(pair[1]);
	if (r == 0) {
		(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
		return pair[0];
	}
	close(pair[0]);
	return r;
}
