/* SPDX-License-Identifier: MIT */
/*
 * Gathers what goes along with an upgrade: see upgrade_plan.h.
 */
#include "daemon/handover/upgrade_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <sockfront/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/counters.h"
#include "daemon/base/log.h"
#include "daemon/handover/fdstore.h"
#include "daemon/handover/inherited_fds.h"
#include "daemon/handover/passed_sockets.h"
#include "daemon/handover/socket_name.h"
#include "daemon/handover/upgrade_protocol.h"
#include "daemon/proxy/generation.h"

#define PID_DIGITS 11

/* ---- arrays that grow ---- */

/* Makes room for one more.  Returns the array, or NULL when out of memory. */
static void *grow(struct upgrade_plan *plan, void *array, size_t n, size_t *size, size_t each)
{
	size_t wanted = n < *size ? *size : *size * 2 + 64;
	void *longer = n < *size ? array : reallocarray(array, wanted, each);

	if (longer)
		*size = wanted;
	else
		plan->out_of_memory = true;
	return longer;
}

static void add_number(struct upgrade_plan *plan, struct numbers *numbers, int number)
{
	int *longer = grow(plan, numbers->values, numbers->n, &numbers->size, sizeof(*longer));

	if (!longer || number < 0)
		return;
	numbers->values = longer;
	longer[numbers->n++] = number;
}

static int compare(const void *a, const void *b)
{
	int one = *(const int *)a, other = *(const int *)b;

	return (one > other) - (one < other);
}

static void sort(struct numbers *numbers)
{
	if (numbers->n > 0)
		qsort(numbers->values, numbers->n, sizeof(int), compare);
}

/* Whether it is among sorted ones. */
static bool has(const struct numbers *numbers, int number)
{
	return numbers->n > 0 &&
	       bsearch(&number, numbers->values, numbers->n, sizeof(int), compare);
}

static void add_listener(struct upgrade_plan *plan, struct listener *listener)
{
	struct passed *passed = plan->passed;
	struct listener **longer =
		grow(plan, passed->listeners, passed->n, &passed->size, sizeof(struct listener *));

	if (!longer)
		return;
	passed->listeners = longer;
	longer[passed->n++] = listener;
}

/* @text: taken; NULL: out of memory */
static void add_variable(struct upgrade_plan *plan, char *text)
{
	char **longer = reallocarray(plan->environment, plan->n_variables + 2, sizeof(*longer));

	if (longer)
		plan->environment = longer;
	if (!longer || !text) {
		plan->out_of_memory = true;
		free(text);
		return;
	}
	longer[plan->n_variables++] = text;
	longer[plan->n_variables] = NULL;
}

/* A text that is written piece by piece. */
struct growing {
	char *text;
	size_t size;
	FILE *stream; /* NULL: out of memory */
};

static void begin_text(struct growing *growing)
{
	*growing = (struct growing){ 0 };
	growing->stream = open_memstream(&growing->text, &growing->size);
}

/* The text, for the caller to free; NULL when memory was short at any time. */
static char *end_text(struct growing *growing)
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

/* ---- variables ---- */

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

/* A variable whose value is written by the new process. */
static char *add_pid(struct upgrade_plan *plan, const char *name)
{
	char *text = NULL;

	if (asprintf(&text, "%s=%*s", name, PID_DIGITS, "") < 0)
		text = NULL;
	add_variable(plan, text);
	return plan->out_of_memory ? NULL : text + strlen(name) + 1;
}

static void copy_environment(struct upgrade_plan *plan)
{
	for (char **variable = environ; *variable; variable++)
		if (is_pid_of_watchdog(*variable))
			plan->watchdog_pid = add_pid(plan, "WATCHDOG_PID");
		else if (!is_of_ours(*variable))
			add_variable(plan, strdup(*variable));
}

/* ---- descriptors ---- */

struct passing {
	struct upgrade_plan *plan;
	FILE *list;
	struct numbers inherited; /* what is passed of that; some twice */
	struct numbers own;       /* every socket of our own, passed or not */
};

/* systemd's sockets come first in LISTEN_FDS; what comes from its store goes by the list. */
static void pass_announced(struct passing *passing)
{
	struct upgrade_plan *plan = passing->plan;
	struct sfront_inherited inherited;
	struct growing names;
	char *count = NULL;
	size_t n = 0;

	if (sfront_inherited_at(0, &inherited) < 0 || socket_name_is_ours(inherited.name))
		return;
	begin_text(&names);
	if (names.stream)
		fprintf(names.stream, "LISTEN_FDNAMES=");
	while (names.stream && sfront_inherited_at(n, &inherited) == 0 &&
	       !socket_name_is_ours(inherited.name)) {
		fprintf(names.stream, "%s%s", n > 0 ? ":" : "", inherited.name);
		add_number(plan, &passing->inherited, inherited.fd);
		n++;
	}
	if (asprintf(&count, "LISTEN_FDS=%zu", n) < 0)
		count = NULL;
	add_variable(plan, end_text(&names));
	add_variable(plan, count);
	plan->listen_pid = add_pid(plan, "LISTEN_PID");
}

static void pass_own(struct passing *passing, struct listener *listener)
{
	struct passed_socket passed = { 0 };

	socket_name_format(listener, passed.name);
	passed.is_kept = fdstore_has(passed.name);
	for (size_t i = 0; i < listener->n_sockets; i++) {
		passed.fd = sfront_listener_fd(listener->open, i);
		passed_socket_write(passing->list, &passed);
		add_number(passing->plan, &passing->plan->passed_fds, passed.fd);
		add_listener(passing->plan, listener);
	}
}

/* Otherwise the new process opens the line anew, as a reload does. */
static bool is_what_its_line_says(const struct listener *listener)
{
	struct sfront_error err;
	int r = listener_verify(listener, &err);

	if (r != -ESHUTDOWN && r != -ENODEV && r != -ENOENT && r != -ESTALE)
		return true;
	log_line(LOG_NOTICE, "upgrade: %s; it is opened anew", err.message);
	return false;
}

static bool pass_listener(struct listener *listener, void *data)
{
	struct passing *passing = data;
	bool is_own = listener_is_own(listener);
	/* Not all that was inherited was announced by LISTEN_FDS. */
	struct numbers *numbers = is_own ? &passing->own : &passing->inherited;

	listener->is_taken_over = false;
	for (size_t i = 0; i < listener->n_sockets; i++)
		add_number(passing->plan, numbers, sfront_listener_fd(listener->open, i));
	if (is_own && is_what_its_line_says(listener))
		pass_own(passing, listener);
	return true;
}

static bool is_listening(int fd)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens;
}

/*
 * Listening sockets that no variable announces and no line names now are passed: a
 * changed file may name them again.  What else was inherited and is not ours to close
 * stays open.  A number that was inherited once may be one of our own sockets by now.
 */
static void pass_unannounced(struct passing *passing)
{
	struct upgrade_plan *plan = passing->plan;
	int fd;

	sort(&passing->own);
	for (size_t i = 0; (fd = inherited_fds_at(i)) >= 0; i++) {
		int flags = fcntl(fd, F_GETFD);

		if (is_listening(fd) && !has(&passing->own, fd))
			add_number(plan, &passing->inherited, fd);
		else if (flags >= 0 && !(flags & FD_CLOEXEC))
			add_number(plan, &plan->open_fds, fd);
	}
}

/* With what each had before we set anything on it: the last of us gives it back so. */
static void pass_inherited(struct passing *passing)
{
	struct numbers *inherited = &passing->inherited;
	struct passed_socket passed = { 0 };

	sort(inherited);
	for (size_t i = 0; i < inherited->n; i++) {
		size_t len;

		passed.fd = inherited->values[i];
		if (i > 0 && inherited->values[i - 1] == passed.fd)
			continue;
		add_number(passing->plan, &passing->plan->passed_fds, passed.fd);
		len = sfront_former_format(passed.fd, passed.former, sizeof(passed.former));
		if (len > 0 && len < sizeof(passed.former))
			passed_socket_write(passing->list, &passed);
	}
}

static void pass_counters(struct passing *passing)
{
	struct passed_socket passed = { .name = PASSED_COUNTERS };
	int fds[COUNTERS_FILES_MAX];
	unsigned int n = counters_files(fds);

	for (unsigned int i = 0; i < n; i++) {
		passed.fd = fds[i];
		passed_socket_write(passing->list, &passed);
		add_number(passing->plan, &passing->plan->passed_fds, passed.fd);
	}
}

static void pass_list(struct upgrade_plan *plan, struct growing *list, int control)
{
	char *text = end_text(list), *variable = NULL;

	if (text)
		plan->list = passed_list_seal(text, list->size);
	free(text);
	if (plan->list < 0)
		return;
	if (asprintf(&variable, "%s=%d %d:%s", UPGRADE_VARIABLE, control, plan->list, PASSED_LIST) <
	    0)
		variable = NULL;
	add_variable(plan, variable);
	add_number(plan, &plan->passed_fds, control);
	add_number(plan, &plan->passed_fds, plan->list);
}

static void note_open(struct upgrade_plan *plan)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		add_number(plan, &plan->open_fds, fd);
	for (size_t i = 0; i < plan->passed_fds.n; i++)
		add_number(plan, &plan->open_fds, plan->passed_fds.values[i]);
	sort(&plan->open_fds);
}

int upgrade_plan_make(struct upgrade_plan *plan, struct generation *generation, const char *units,
		      int control, struct passed *passed)
{
	struct passing passing = { .plan = plan };
	struct growing list;

	*plan = (struct upgrade_plan){ .passed = passed, .list = -ENOMEM };
	passed->n = 0;
	begin_text(&list);
	passing.list = list.stream;
	if (passing.list) {
		copy_environment(plan);
		pass_announced(&passing);
		(void)generation_each(generation, pass_listener, &passing);
		pass_unannounced(&passing);
		pass_inherited(&passing);
		pass_counters(&passing);
		passed_units_write(passing.list, units);
		pass_list(plan, &list, control);
		note_open(plan);
	}
	free(passing.own.values);
	free(passing.inherited.values);
	if (plan->list >= 0 && !plan->out_of_memory)
		return 0;
	upgrade_plan_clear(plan);
	return plan->list < 0 ? plan->list : -ENOMEM;
}

void upgrade_plan_clear(struct upgrade_plan *plan)
{
	for (size_t i = 0; i < plan->n_variables; i++)
		free(plan->environment[i]);
	free(plan->environment);
	free(plan->passed_fds.values);
	free(plan->open_fds.values);
	if (plan->list >= 0)
		close(plan->list);
}

/* ---- in the new process ---- */

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

void upgrade_plan_fill_pid(const struct upgrade_plan *plan, pid_t pid)
{
	if (plan->listen_pid)
		write_number(plan->listen_pid, pid);
	if (plan->watchdog_pid)
		write_number(plan->watchdog_pid, pid);
}
