/* SPDX-License-Identifier: MIT */
/*
 * Both sides of an upgrade.  Inherited descriptors keep their numbers and go by
 * LISTEN_FDS as they came; sockets of our own go by a variable that only sockfront
 * reads, with the names of store.c.
 */
#include "daemon/upgrade.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sockfront/listener.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/generation.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/service.h"
#include "daemon/store.h"

/* "CONTROL FD:NAME FD:NAME ..." */
#define VARIABLE "SOCKFRONT_UPGRADE"

/* Host names may have to be resolved. */
#define PATIENCE_S 60

#define PID_DIGITS 11

/* How long one that was asked to end may take. */
#define MERCY_S 5

enum note_kind {
	NOTE_STARTED = 1,
	NOTE_EXEC_FAILED,
	NOTE_TAKEN,
	NOTE_READY,
	NOTE_GO,
	NOTE_ACCEPTING,
	NOTE_YOURS,
};

/* What the two processes write to each other. */
struct note {
	int kind;
	int value; /* a process id, an errno, or which of the sockets that were passed */
};

static char *program;
static char **command_line;

void upgrade_remember(char **argv)
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	char directory[PATH_MAX];

	command_line = argv;
	/* As it was called: what a symbolic link leads to next time is the new version. */
	if (name == NULL || *name == '\0')
		name = argv[0];
	if (name[0] == '/')
		program = strdup(name);
	else if (getcwd(directory, sizeof(directory)) == NULL ||
		 asprintf(&program, "%s/%s", directory, name) < 0)
		program = NULL;
}

/* ---- the old process: what the new one is given ---- */

static struct {
	struct service *service;
	void (*done)(pid_t pid);
	int control; /* valid while .pending or .aborting */
	bool pending;
	bool aborting; /* it was asked to end and is still there */
	struct event event, timer;
	pid_t pid;                 /* of the new process, once it has said so */
	struct listening **passed; /* owned array: what each socket of our own belongs to */
	size_t n_passed;
} upgrade;

/* Everything between fork() and exec(): made before, since only little may be called then. */
struct launch {
	char **environment; /* owned array of owned strings */
	size_t n;
	int *fds; /* owned array: not to be closed by exec() */
	size_t n_fds;
	char *listen_pid, *watchdog_pid; /* within the environment: the new process's own number */
	bool out_of_memory;
};

static void add_variable(struct launch *launch, char *text)
{
	char **grown = reallocarray(launch->environment, launch->n + 2, sizeof(*grown));

	if (grown != NULL)
		launch->environment = grown;
	if (grown == NULL || text == NULL) {
		launch->out_of_memory = true;
		free(text);
		return;
	}
	grown[launch->n++] = text;
	grown[launch->n] = NULL;
}

static void add_descriptor(struct launch *launch, int fd)
{
	int *grown = reallocarray(launch->fds, launch->n_fds + 1, sizeof(*grown));

	if (grown == NULL) {
		launch->out_of_memory = true;
		return;
	}
	launch->fds = grown;
	grown[launch->n_fds++] = fd;
}

/* Appends to a string that is grown; *text is NULL once memory was out. */
__attribute__((format(printf, 2, 3))) static void append(char **text, const char *format, ...)
{
	char *before = *text, *more = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (before == NULL || vasprintf(&more, format, arguments) < 0)
		more = NULL;
	va_end(arguments);
	*text = NULL;
	if (more != NULL && asprintf(text, "%s%s", before, more) < 0)
		*text = NULL;
	free(more);
	free(before);
}

static bool is_of_ours(const char *variable)
{
	static const char *const names[] = { VARIABLE "=", "LISTEN_PID=", "LISTEN_FDS=",
					     "LISTEN_FDNAMES=", "LISTEN_PIDFDID=" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* Whether it says that the watchdog waits for this process, and not for another one. */
static bool is_pid_of_watchdog(const char *variable)
{
	static const char name[] = "WATCHDOG_PID=";

	return strncmp(variable, name, strlen(name)) == 0 &&
	       atoi(variable + strlen(name)) == getpid();
}

/* A variable whose value is written by the new process. */
static char *add_pid(struct launch *launch, const char *name)
{
	char *text = NULL;

	if (asprintf(&text, "%s%*s", name, PID_DIGITS, "") < 0)
		text = NULL;
	add_variable(launch, text);
	return text != NULL ? text + strlen(name) : NULL;
}

/* systemd's sockets come first in LISTEN_FDS; what comes from its store goes by our variable. */
static void pass_inherited(struct launch *launch)
{
	struct sfront_inherited inherited;
	char *names = strdup("LISTEN_FDNAMES="), *count = NULL;
	size_t n = 0;

	while (sfront_inherited_at(n, &inherited) == 0 && !store_is_name(inherited.name)) {
		append(&names, "%s%s", n > 0 ? ":" : "", inherited.name);
		add_descriptor(launch, inherited.fd);
		n++;
	}
	if (n == 0) {
		free(names);
		return;
	}
	if (asprintf(&count, "LISTEN_FDS=%zu", n) < 0)
		count = NULL;
	add_variable(launch, names);
	add_variable(launch, count);
	launch->listen_pid = add_pid(launch, "LISTEN_PID=");
}

struct passing {
	struct launch *launch;
	char *text;
};

static void note_passed(struct launch *launch, struct listening *listening)
{
	struct listening **grown =
		reallocarray(upgrade.passed, upgrade.n_passed + 1, sizeof(struct listening *));

	if (grown == NULL) {
		launch->out_of_memory = true;
		return;
	}
	upgrade.passed = grown;
	grown[upgrade.n_passed++] = listening;
}

static bool pass_listening(struct listening *listening, void *data)
{
	struct passing *passing = data;
	char name[STORE_NAME_SIZE];

	/* Not all that was inherited was announced by LISTEN_FDS. */
	if (!listening_is_own(listening)) {
		for (size_t i = 0; i < listening->n_sockets; i++)
			add_descriptor(passing->launch, sfront_listener_fd(listening->listener, i));
		return false;
	}
	/* A path that is gone is bound anew. */
	if (sfront_listener_check(listening->listener, 0) < 0)
		return false;
	store_format_name(listening, name);
	for (size_t i = 0; i < listening->n_sockets; i++) {
		int fd = sfront_listener_fd(listening->listener, i);

		append(&passing->text, " %d:%s", fd, name);
		add_descriptor(passing->launch, fd);
		note_passed(passing->launch, listening);
	}
	return true;
}

static void launch_clear(struct launch *launch)
{
	for (size_t i = 0; i < launch->n; i++)
		free(launch->environment[i]);
	free(launch->environment);
	free(launch->fds);
}

static int launch_prepare(struct launch *launch, int control)
{
	struct passing passing = { .launch = launch, .text = strdup(VARIABLE "=") };

	*launch = (struct launch){ 0 };
	upgrade.n_passed = 0;
	for (char **variable = environ; *variable != NULL; variable++)
		if (is_pid_of_watchdog(*variable))
			launch->watchdog_pid = add_pid(launch, "WATCHDOG_PID=");
		else if (!is_of_ours(*variable))
			add_variable(launch, strdup(*variable));
	pass_inherited(launch);
	append(&passing.text, "%d", control);
	(void)generation_each(upgrade.service->generation, pass_listening, &passing);
	add_variable(launch, passing.text);
	add_descriptor(launch, control);
	if (!launch->out_of_memory)
		return 0;
	launch_clear(launch);
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

static _Noreturn void become_new(const struct launch *launch, int control, const sigset_t *mask)
{
	struct note note = { NOTE_STARTED, getpid() };

	if (launch->listen_pid != NULL)
		write_number(launch->listen_pid, getpid());
	if (launch->watchdog_pid != NULL)
		write_number(launch->watchdog_pid, getpid());
	for (size_t i = 0; i < launch->n_fds; i++)
		(void)fcntl(launch->fds[i], F_SETFD, 0);
	(void)!write(control, &note, sizeof(note));
	restore_signals(mask);
	execve(program, command_line, launch->environment);
	note = (struct note){ NOTE_EXEC_FAILED, errno };
	(void)!write(control, &note, sizeof(note));
	_exit(EXIT_FAILURE);
}

/*
 * Twice: the new process is to be a child of the service manager, which would
 * not notice the end of somebody else's.
 */
static int fork_twice(const struct launch *launch, int control)
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
			become_new(launch, control, &before);
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

/* ---- the old process: what the new one says ---- */

static void forget(void)
{
	event_del(&upgrade.event);
	event_del(&upgrade.timer);
	close(upgrade.control);
	upgrade.pending = upgrade.aborting = false;
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
	if (!aborted)
		upgrade.done(0);
}

static void mark_taken(int index)
{
	if (index >= 0 && (size_t)index < upgrade.n_passed)
		upgrade.passed[index]->is_taken_over = true;
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
			 program, strerror(note->value));
		failed();
		break;
	case NOTE_TAKEN:
		mark_taken(note->value);
		break;
	case NOTE_READY:
		if (!upgrade.aborting)
			tell(NOTE_GO);
		break;
	case NOTE_ACCEPTING:
		if (!upgrade.aborting)
			upgrade.done(upgrade.pid);
		break;
	default:
		break;
	}
}

static void note_arrived(evutil_socket_t fd, short what, void *arg)
{
	struct note note;
	ssize_t n = read(fd, &note, sizeof(note));

	(void)what;
	(void)arg;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == sizeof(note)) {
		act_on(&note);
		return;
	}
	if (!upgrade.aborting)
		log_line(LOG_ERR, "upgrade: the new process ended before it took over (what it "
				  "has to say about that stands above); this one goes on");
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
		forget();
		return;
	}
	log_line(LOG_ERR,
		 "upgrade: the new process was not ready after %d s and is ended; this "
		 "one goes on",
		 PATIENCE_S);
	upgrade_abort();
	upgrade.done(0);
}

static bool is_single(struct listening *listening, void *data)
{
	(void)data;
	return listening->n_sockets > 0 && listening->sockets[0].is_single;
}

static int launch(int control)
{
	struct launch launch;
	int r = launch_prepare(&launch, control);

	if (r < 0)
		return r;
	r = fork_twice(&launch, control);
	launch_clear(&launch);
	return r;
}

static int start(void)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	int pair[2], r;

	if (program == NULL)
		return -ENOENT;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = launch(pair[1]);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
	upgrade.control = pair[0];
	upgrade.pending = true;
	event_assign(&upgrade.event, upgrade.service->base, pair[0], EV_READ | EV_PERSIST,
		     note_arrived, NULL);
	event_assign(&upgrade.timer, upgrade.service->base, -1, 0, timer_fired, NULL);
	event_add(&upgrade.event, NULL);
	event_add(&upgrade.timer, &patience);
	return 0;
}

int upgrade_start(struct service *service, void (*done)(pid_t pid))
{
	int r;

	upgrade.service = service;
	upgrade.done = done;
	if (upgrade.aborting) {
		log_line(LOG_ERR, "upgrade: the process of the last one has not ended yet");
		return -EBUSY;
	}
	if (generation_each(service->generation, is_single, NULL) > 0) {
		log_line(LOG_ERR, "upgrade: this process serves a connection that was handed to "
				  "it, and nobody else can take that over");
		return -EOPNOTSUPP;
	}
	r = start();
	if (r < 0)
		log_line(LOG_ERR, "upgrade: no new process can be started: %s; this one goes on",
			 strerror(-r));
	else
		log_line(LOG_NOTICE, "upgrade: starting %s", program);
	return r;
}

bool upgrade_is_alive(void)
{
	struct pollfd hangup = { .fd = upgrade.control };

	return upgrade.pending && poll(&hangup, 1, 0) == 0;
}

static bool set_shared(struct listening *listening, void *data)
{
	(void)data;
	listening->is_shared = listening->is_taken_over;
	return listening->is_shared;
}

void upgrade_finish(void)
{
	(void)generation_each(upgrade.service->generation, set_shared, NULL);
	tell(NOTE_YOURS);
	/* The connection stays: its end tells the new process of ours. */
	event_del(&upgrade.event);
	event_del(&upgrade.timer);
}

void upgrade_abort(void)
{
	const struct timeval mercy = { .tv_sec = MERCY_S };

	upgrade.pending = false;
	upgrade.aborting = true;
	if (upgrade.pid > 0)
		kill(upgrade.pid, SIGTERM);
	event_add(&upgrade.timer, &mercy);
}

/* ---- the new process ---- */

static struct {
	bool is_one;          /* until it is the service */
	bool has_predecessor; /* .control is open */
	bool may_accept;
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
	store_add(name, fd);
	successor.n_received++;
	return true;
}

void upgrade_receive(void)
{
	const char *text = getenv(VARIABLE);

	if (text == NULL)
		return;
	successor.control = take_descriptor(&text);
	successor.is_one = successor.has_predecessor = successor.control >= 0;
	while (successor.is_one && *text == ' ' && receive_one(&text))
		;
	unsetenv(VARIABLE);
	/* Another process is the service. */
	notify_mute(successor.is_one);
}

bool upgrade_is_successor(void)
{
	return successor.is_one;
}

bool upgrade_has_predecessor(void)
{
	return successor.has_predecessor;
}

static void become_service(void)
{
	successor.is_one = false;
	notify_mute(false);
	successor.succession.yours();
}

/* Before it is the service, it may serve those whom it has accepted; then nothing is lost. */
static void old_ended(void)
{
	event_del(&successor.event);
	close(successor.control);
	successor.has_predecessor = false;
	if (!successor.may_accept)
		successor.succession.lost();
	else if (successor.is_one)
		become_service();
	else
		successor.succession.alone();
}

static void old_spoke(evutil_socket_t fd, short what, void *arg)
{
	struct note note;
	ssize_t n = read(fd, &note, sizeof(note));

	(void)what;
	(void)arg;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof(note)) {
		old_ended();
	} else if (note.kind == NOTE_GO) {
		successor.may_accept = true;
		successor.succession.go();
	} else if (note.kind == NOTE_YOURS) {
		become_service();
	}
}

static void report(int kind, int value)
{
	const struct note note = { kind, value };

	/* If the old process has ended, reading says so. */
	(void)!write(successor.control, &note, sizeof(note));
}

void upgrade_report_ready(struct event_base *base, const struct succession *succession)
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

void upgrade_report_accepting(void)
{
	report(NOTE_ACCEPTING, 0);
}
