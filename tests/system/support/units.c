/* SPDX-License-Identifier: MIT */
/*
 * Stands in for systemd on a bus of the test's own: units that start and stop as the test says,
 * by lines on stdin, and what happened as lines on stdout.  A unit that is active serves a UNIX
 * socket, and sends back whatever comes.
 *
 *	unit NAME PATH               there is one, inactive
 *	set NAME WORD VALUE          start-ms, stop-ms: how long that takes; fail: the result of a
 *	                             start, "-": it succeeds; deny: 1: nobody may start or stop it
 *	start NAME, stop NAME        as by somebody else
 *	die NAME                     it ends by itself
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define MANAGER      "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define UNITS_PATH   "/org/freedesktop/systemd1/unit"
#define MAX_UNITS    8
#define MAX_CLIENTS  512

struct unit {
	char name[64], path[108], result[32], fail[32];
	const char *state;
	unsigned char invocation[16];
	unsigned int job, start_ms, stop_ms;
	bool is_denied, is_starting;
	sd_event_source *job_timer, *listening;
	sd_event_source *clients[MAX_CLIENTS];
};

static struct unit units[MAX_UNITS];
static size_t n_units;
static unsigned int n_jobs, n_starts;
static sd_bus *bus;
static sd_event *event;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

static struct unit *find(const char *name)
{
	for (size_t i = 0; i < n_units; i++)
		if (strcmp(units[i].name, name) == 0)
			return &units[i];
	return NULL;
}

/* ---- the service ---- */

static int client_spoke(sd_event_source *source, int fd, uint32_t events, void *data)
{
	sd_event_source **at = data;
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	(void)source;
	(void)events;
	if (n > 0 && write(fd, buf, (size_t)n) == n)
		return 0;
	*at = sd_event_source_disable_unref(*at);
	return 0;
}

static int client_came(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct unit *unit = data;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	(void)source;
	(void)events;
	for (size_t i = 0; client >= 0 && i < MAX_CLIENTS; i++) {
		if (unit->clients[i])
			continue;
		sd_event_add_io(event, &unit->clients[i], client, EPOLLIN, client_spoke,
				&unit->clients[i]);
		sd_event_source_set_io_fd_own(unit->clients[i], 1);
		return 0;
	}
	close(client);
	return 0;
}

static void begin_service(struct unit *unit)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, unit->path);
	unlink(unit->path);
	if (bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fd, 4096) < 0)
		abort();
	sd_event_add_io(event, &unit->listening, fd, EPOLLIN, client_came, unit);
	sd_event_source_set_io_fd_own(unit->listening, 1);
}

static void end_service(struct unit *unit)
{
	unit->listening = sd_event_source_disable_unref(unit->listening);
	for (size_t i = 0; i < MAX_CLIENTS; i++)
		unit->clients[i] = sd_event_source_disable_unref(unit->clients[i]);
}

/* ---- the unit ---- */

static void enter(struct unit *unit, const char *state)
{
	char *path;

	unit->state = state;
	say("%s %s", state, unit->name);
	if (sd_bus_path_encode(UNITS_PATH, unit->name, &path) < 0)
		abort();
	sd_bus_emit_properties_changed(bus, path, MANAGER ".Unit", "ActiveState", "Job", NULL);
	free(path);
}

static void end_job(struct unit *unit, const char *result)
{
	char path[64];
	unsigned int job = unit->job;

	if (job == 0)
		return;
	unit->job = 0;
	unit->job_timer = sd_event_source_disable_unref(unit->job_timer);
	snprintf(path, sizeof(path), MANAGER_PATH "/job/%u", job);
	sd_bus_emit_signal(bus, MANAGER_PATH, MANAGER ".Manager", "JobRemoved", "uoss", job, path,
			   unit->name, result);
}

static void started(struct unit *unit)
{
	if (*unit->fail) {
		strcpy(unit->result, unit->fail);
		enter(unit, strcmp(unit->fail, "dependency") == 0 ? "inactive" : "failed");
		end_job(unit, "failed");
		return;
	}
	strcpy(unit->result, "success");
	memset(unit->invocation, 0, sizeof(unit->invocation));
	snprintf((char *)unit->invocation, sizeof(unit->invocation), "%u", ++n_starts);
	begin_service(unit);
	enter(unit, "active");
	end_job(unit, "done");
}

static void stopped(struct unit *unit)
{
	end_service(unit);
	enter(unit, "inactive");
	end_job(unit, "done");
}

static int job_is_due(sd_event_source *source, uint64_t usec, void *data)
{
	struct unit *unit = data;

	(void)source;
	(void)usec;
	(unit->is_starting ? started : stopped)(unit);
	return 0;
}

static void order(struct unit *unit, bool starts)
{
	unsigned int ms = starts ? unit->start_ms : unit->stop_ms;
	bool is_there = strcmp(unit->state, "active") == 0;

	end_job(unit, "canceled");
	unit->job = ++n_jobs;
	unit->is_starting = starts;
	if (starts == is_there) {
		end_job(unit, "done");
		return;
	}
	enter(unit, starts ? "activating" : "deactivating");
	if (!starts)
		end_service(unit);
	if (ms == 0)
		job_is_due(NULL, 0, unit);
	else
		sd_event_add_time_relative(event, &unit->job_timer, CLOCK_MONOTONIC, ms * 1000ULL,
					   1, job_is_due, unit);
}

/* ---- on the bus ---- */

static int subscribe(sd_bus_message *m, void *data, sd_bus_error *error)
{
	(void)data;
	(void)error;
	return sd_bus_reply_method_return(m, NULL);
}

static int order_given(sd_bus_message *m, bool starts, sd_bus_error *error)
{
	const char *name, *mode;
	struct unit *unit;
	char path[64];
	int r = sd_bus_message_read(m, "ss", &name, &mode);

	if (r < 0)
		return r;
	say("%s %s", starts ? "StartUnit" : "StopUnit", name);
	unit = find(name);
	if (!unit)
		return sd_bus_error_setf(error, MANAGER ".NoSuchUnit", "Unit %s not found.", name);
	if (unit->is_denied)
		return sd_bus_error_set(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
					"Interactive authentication required.");
	snprintf(path, sizeof(path), MANAGER_PATH "/job/%u", n_jobs + 1);
	r = sd_bus_reply_method_return(m, "o", path);
	order(unit, starts);
	return r < 0 ? r : 1;
}

static int start_unit(sd_bus_message *m, void *data, sd_bus_error *error)
{
	(void)data;
	return order_given(m, true, error);
}

static int stop_unit(sd_bus_message *m, void *data, sd_bus_error *error)
{
	(void)data;
	return order_given(m, false, error);
}

static const sd_bus_vtable manager_table[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Subscribe", NULL, NULL, subscribe, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("StartUnit", "ss", "o", start_unit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("StopUnit", "ss", "o", stop_unit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_SIGNAL("JobRemoved", "uoss", 0),
	SD_BUS_VTABLE_END
};

#define GETTER(name)                                                                               \
	static int name(sd_bus *of, const char *path, const char *interface, const char *property, \
			sd_bus_message *reply, void *data, sd_bus_error *error)
#define NOT_NEEDED ((void)of, (void)path, (void)interface, (void)property, (void)error)

GETTER(get_state)
{
	NOT_NEEDED;
	return sd_bus_message_append(reply, "s", ((struct unit *)data)->state);
}

GETTER(get_invocation)
{
	struct unit *unit = data;

	NOT_NEEDED;
	return sd_bus_message_append_array(reply, 'y', unit->invocation, sizeof(unit->invocation));
}

GETTER(get_job)
{
	struct unit *unit = data;
	char job[64] = "/";

	NOT_NEEDED;
	if (unit->job > 0)
		snprintf(job, sizeof(job), MANAGER_PATH "/job/%u", unit->job);
	return sd_bus_message_append(reply, "(uo)", unit->job, job);
}

GETTER(get_result)
{
	NOT_NEEDED;
	return sd_bus_message_append(reply, "s", ((struct unit *)data)->result);
}

static const sd_bus_vtable unit_table[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("ActiveState", "s", get_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("InvocationID", "ay", get_invocation, 0, 0),
	SD_BUS_PROPERTY("Job", "(uo)", get_job, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_VTABLE_END
};

static const sd_bus_vtable service_table[] = { SD_BUS_VTABLE_START(0),
					       SD_BUS_PROPERTY("Result", "s", get_result, 0, 0),
					       SD_BUS_VTABLE_END };

static int find_object(sd_bus *of, const char *path, const char *interface, void *data, void **ret,
		       sd_bus_error *error)
{
	char *name = NULL;

	(void)of;
	(void)interface;
	(void)data;
	(void)error;
	if (sd_bus_path_decode(path, UNITS_PATH, &name) > 0)
		*ret = find(name);
	free(name);
	return *ret ? 1 : 0;
}

/* ---- the test ---- */

static void set(struct unit *unit, const char *word, const char *value)
{
	if (strcmp(word, "start-ms") == 0)
		unit->start_ms = (unsigned int)atoi(value);
	else if (strcmp(word, "stop-ms") == 0)
		unit->stop_ms = (unsigned int)atoi(value);
	else if (strcmp(word, "fail") == 0)
		snprintf(unit->fail, sizeof(unit->fail), "%s", *value == '-' ? "" : value);
	else if (strcmp(word, "deny") == 0)
		unit->is_denied = *value == '1';
	else
		abort();
}

static void obey(const char *verb, const char *name, const char *word, const char *value)
{
	struct unit *unit = find(name);

	if (strcmp(verb, "unit") == 0) {
		unit = &units[n_units++];
		snprintf(unit->name, sizeof(unit->name), "%s", name);
		snprintf(unit->path, sizeof(unit->path), "%s", word);
		unit->state = "inactive";
		strcpy(unit->result, "success");
	} else if (strcmp(verb, "set") == 0) {
		set(unit, word, value);
	} else if (strcmp(verb, "die") == 0) {
		stopped(unit);
	} else if (strcmp(verb, "answer") != 0) {
		order(unit, strcmp(verb, "start") == 0);
	}
	say("ok");
}

static int test_spoke(sd_event_source *source, int fd, uint32_t events, void *data)
{
	static char text[4096];
	static size_t size;
	char verb[16], name[64], word[128], value[64], *end;
	ssize_t n = read(fd, text + size, sizeof(text) - 1 - size);

	(void)source;
	(void)events;
	(void)data;
	if (n <= 0)
		return sd_event_exit(event, 0);
	size += (size_t)n;
	text[size] = '\0';
	while ((end = strchr(text, '\n'))) {
		*end = *verb = *name = *word = *value = '\0';
		sscanf(text, "%15s %63s %127s %63s", verb, name, word, value);
		obey(verb, name, word, value);
		size -= (size_t)(end + 1 - text);
		memmove(text, end + 1, size + 1);
	}
	return 0;
}

int main(void)
{
	if (sd_event_default(&event) < 0 || sd_bus_open_system(&bus) < 0 ||
	    sd_bus_attach_event(bus, event, 0) < 0 ||
	    sd_bus_add_object_vtable(bus, NULL, MANAGER_PATH, MANAGER ".Manager", manager_table,
				     NULL) < 0 ||
	    sd_bus_add_fallback_vtable(bus, NULL, UNITS_PATH, MANAGER ".Unit", unit_table,
				       find_object, NULL) < 0 ||
	    sd_bus_add_fallback_vtable(bus, NULL, UNITS_PATH, MANAGER ".Service", service_table,
				       find_object, NULL) < 0 ||
	    sd_bus_request_name(bus, MANAGER, 0) < 0 ||
	    sd_event_add_io(event, NULL, STDIN_FILENO, EPOLLIN, test_spoke, NULL) < 0)
		return 1;
	say("ready");
	return sd_event_loop(event) < 0;
}
