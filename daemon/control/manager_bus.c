/* SPDX-License-Identifier: MIT */
/*
 * Talks to systemd: see manager_bus.h.  Between sd-bus, which libevent drives here, and
 * on_demand.c.
 */
#include "daemon/control/manager_bus.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <search.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-login.h>

#include "conf/conf.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#define MANAGER       "org.freedesktop.systemd1"
#define MANAGER_PATH  "/org/freedesktop/systemd1"
#define UNITS_PATH    "/org/freedesktop/systemd1/unit"
#define IFACE_MANAGER "org.freedesktop.systemd1.Manager"
#define IFACE_UNIT    "org.freedesktop.systemd1.Unit"
#define IFACE_SERVICE "org.freedesktop.systemd1.Service"
#define PROPERTIES    "org.freedesktop.DBus.Properties"

/* From one attempt to open the bus to the next. */
#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 30000

/*
 *	        it is needed             subscribed
 *	CLOSED -------------> OPENING --------------> OPEN
 *	                       ^   |                   |
 *	   the pause is over   |   | it is lost        |
 *	                       |   v                   |
 *	                      PAUSING <----------------'
 */
enum bus_state { BUS_CLOSED, BUS_OPENING, BUS_OPEN, BUS_PAUSING };

struct manager_unit {
	char *name; /* owned; first: units are compared by it */
	TAILQ_ENTRY(manager_unit) link;
	char *path; /* owned */
	void *owner;
	sd_bus_slot *changes; /* while there is a bus */
	sd_bus_slot *look;    /* under way; NULL: none is */
	sd_bus_slot *order;   /* the same */
	bool looks_again;     /* it has changed since the look began */
	char job_result[32];  /* of the last job; "" if that was done */
	struct unit_report report;
};

static struct {
	struct event_base *base;
	struct manager_handlers handlers;
	enum bus_state state; /* assigned by enter() alone */
	sd_bus *bus;
	struct event event; /* while there is a bus; and the pause */
	uint64_t pause_ms;
	bool is_driving;   /* sd_bus_process() is under way */
	bool is_lost_said; /* the log has heard of that */
	int error;         /* what an answer came to; sd_bus_process() tells of none */
	TAILQ_HEAD(, manager_unit) units;
	void *by_name; /* the same; tsearch's */
} manager;

static void bus_ready(evutil_socket_t fd, short what, void *arg);
static void pause_is_over(evutil_socket_t fd, short what, void *arg);

/* ---- the bus ---- */

static void unit_close(struct manager_unit *unit)
{
	unit->changes = sd_bus_slot_unref(unit->changes);
	unit->look = sd_bus_slot_unref(unit->look);
	unit->order = sd_bus_slot_unref(unit->order);
	unit->looks_again = false;
}

static void close_bus(void)
{
	struct manager_unit *unit;

	TAILQ_FOREACH (unit, &manager.units, link)
		unit_close(unit);
	event_del(&manager.event);
	sd_bus_close(manager.bus);
	manager.bus = sd_bus_unref(manager.bus);
}

/* False: out of memory. */
static bool begin_pause(void)
{
	struct timeval tv;

	manager.pause_ms = 2 * manager.pause_ms;
	if (manager.pause_ms < PAUSE_MIN_MS)
		manager.pause_ms = PAUSE_MIN_MS;
	if (manager.pause_ms > PAUSE_MAX_MS)
		manager.pause_ms = PAUSE_MAX_MS;
	tv = timeval_from_ms(manager.pause_ms);
	event_assign(&manager.event, manager.base, -1, 0, pause_is_over, NULL);
	return event_add(&manager.event, &tv) == 0;
}

/* The only place where the state changes. */
static void enter(enum bus_state state)
{
	if (manager.state == BUS_OPENING || manager.state == BUS_OPEN) {
		if (state == BUS_CLOSED || state == BUS_PAUSING)
			close_bus();
	} else if (manager.state == BUS_PAUSING) {
		event_del(&manager.event);
	}
	manager.state = state;
	if (state == BUS_PAUSING && !begin_pause())
		manager.state = BUS_CLOSED; /* until it is needed again */
	else if (state == BUS_OPEN)
		manager.pause_ms = 0;
}

static void lose(int error)
{
	if (!manager.is_lost_said)
		log_line(LOG_WARNING,
			 "systemd cannot be reached by D-Bus (%s): units are neither started nor "
			 "stopped until it can; trying again",
			 strerror(error));
	manager.is_lost_said = true;
	enter(BUS_PAUSING);
	manager.handlers.lost();
}

/* What sd-bus waits for, in terms of libevent. */
static void arm(void)
{
	int events = sd_bus_get_events(manager.bus);
	uint64_t due_us = UINT64_MAX, now_us = clock_exact_us();
	short what = 0;
	struct timeval tv;

	if (sd_bus_get_timeout(manager.bus, &due_us) < 0)
		due_us = UINT64_MAX;
	if (events < 0 || events & EPOLLIN)
		what |= EV_READ;
	if (events > 0 && events & EPOLLOUT)
		what |= EV_WRITE;
	event_del(&manager.event);
	event_assign(&manager.event, manager.base, sd_bus_get_fd(manager.bus), what, bus_ready,
		     NULL);
	/* Rounded up, so that it is due by then. */
	tv = timeval_from_ms(due_us > now_us ? (due_us - now_us) / 1000 + 1 : 0);
	if (event_add(&manager.event, due_us == UINT64_MAX ? NULL : &tv) < 0)
		lose(ENOMEM);
}

/* After something was asked, outside of an answer. */
static void arm_later(void)
{
	if (!manager.is_driving && manager.bus)
		arm();
}

static void bus_ready(evutil_socket_t fd, short what, void *arg)
{
	int r;

	(void)fd;
	(void)what;
	(void)arg;
	manager.is_driving = true;
	manager.error = 0;
	do
		r = sd_bus_process(manager.bus, NULL);
	while (r > 0 && manager.error == 0);
	manager.is_driving = false;
	if (r < 0 || manager.error != 0)
		lose(r < 0 ? -r : manager.error);
	else
		arm();
}

/* ---- how a unit is ---- */

static void look(struct manager_unit *unit);

static enum unit_activity activity_of(const char *state)
{
	if (strcmp(state, "active") == 0 || strcmp(state, "reloading") == 0 ||
	    strcmp(state, "refreshing") == 0)
		return UNIT_ACTIVE;
	if (strcmp(state, "activating") == 0)
		return UNIT_ACTIVATING;
	return strcmp(state, "deactivating") == 0 ? UNIT_DEACTIVATING : UNIT_INACTIVE;
}

static int read_invocation(sd_bus_message *m, struct unit_report *report)
{
	const unsigned char *bytes;
	const void *array;
	size_t size;
	int r;

	r = sd_bus_message_enter_container(m, 'v', "ay");
	if (r >= 0)
		r = sd_bus_message_read_array(m, 'y', &array, &size);
	if (r < 0)
		return r;
	bytes = array;
	for (size_t i = 0; i < size && i < INVOCATION_SIZE / 2; i++)
		snprintf(report->invocation + 2 * i, 3, "%02x", bytes[i]);
	return sd_bus_message_exit_container(m);
}

static int read_property(sd_bus_message *m, const char *name, struct unit_report *report)
{
	const char *text;
	uint32_t job;
	int r;

	if (strcmp(name, "InvocationID") == 0)
		return read_invocation(m, report);
	if (strcmp(name, "ActiveState") == 0) {
		r = sd_bus_message_read(m, "v", "s", &text);
		if (r >= 0)
			report->activity = activity_of(text);
		return r;
	}
	if (strcmp(name, "Job") == 0) {
		r = sd_bus_message_read(m, "v", "(uo)", &job, &text);
		if (r >= 0)
			report->has_job = job != 0;
		return r;
	}
	return sd_bus_message_skip(m, "v");
}

static int read_report(sd_bus_message *m, struct unit_report *report)
{
	const char *name;
	int r;

	*report = (struct unit_report){ .activity = UNIT_INACTIVE };
	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read(m, "s", &name);
		if (r >= 0)
			r = read_property(m, name, report);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r;
}

static void tell(struct manager_unit *unit)
{
	bool again = unit->looks_again;

	unit->look = sd_bus_slot_unref(unit->look);
	unit->looks_again = false;
	if (again)
		look(unit);
	else
		manager.handlers.looked(unit->owner, &unit->report);
}

static int result_arrived(sd_bus_message *m, void *data, sd_bus_error *ignored)
{
	struct manager_unit *unit = data;
	const char *result = "";

	(void)ignored;
	if (!sd_bus_message_is_method_error(m, NULL))
		(void)sd_bus_message_read(m, "v", "s", &result);
	/* The process's says more than the job's. */
	if (*result == '\0' || strcmp(result, "success") == 0)
		result = unit->job_result;
	snprintf(unit->report.result, sizeof(unit->report.result), "%s", result);
	tell(unit);
	return 1;
}

/* Of a unit that is not running, it is of interest how that came. */
static int ask_result(struct manager_unit *unit)
{
	unit->look = sd_bus_slot_unref(unit->look);
	return sd_bus_call_method_async(manager.bus, &unit->look, MANAGER, unit->path, PROPERTIES,
					"Get", result_arrived, unit, "ss", IFACE_SERVICE, "Result");
}

static const char *words_of(const sd_bus_message *m, int r)
{
	const sd_bus_error *error = m ? sd_bus_message_get_error((sd_bus_message *)m) : NULL;

	if (!error)
		return strerror(-r);
	return error->message ? error->message : error->name;
}

static int report_arrived(sd_bus_message *m, void *data, sd_bus_error *ignored)
{
	struct manager_unit *unit = data;
	bool is_error = sd_bus_message_is_method_error(m, NULL);
	int r = is_error ? -EIO : read_report(m, &unit->report);

	(void)ignored;
	if (r < 0) {
		unit->look = sd_bus_slot_unref(unit->look);
		manager.handlers.unknown(unit->owner, words_of(is_error ? m : NULL, r));
	} else if (unit->report.activity != UNIT_INACTIVE || unit->looks_again ||
		   ask_result(unit) < 0) {
		tell(unit);
	}
	return 1;
}

static void look(struct manager_unit *unit)
{
	if (unit->look) {
		unit->looks_again = true;
		return;
	}
	(void)sd_bus_call_method_async(manager.bus, &unit->look, MANAGER, unit->path, PROPERTIES,
				       "GetAll", report_arrived, unit, "s", IFACE_UNIT);
}

static int unit_changed(sd_bus_message *m, void *data, sd_bus_error *ignored)
{
	(void)m;
	(void)ignored;
	look(data);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const char *const *one = a, *const *other = b;

	return strcmp(*one, *other);
}

static struct manager_unit *find(const char *name)
{
	void *node = tfind(&name, &manager.by_name, compare);

	return node ? *(struct manager_unit **)node : NULL;
}

/* All jobs of the system are told of. */
static int job_removed(sd_bus_message *m, void *data, sd_bus_error *ignored)
{
	const char *job, *name, *result;
	struct manager_unit *unit;
	uint32_t id;

	(void)data;
	(void)ignored;
	if (sd_bus_message_read(m, "uoss", &id, &job, &name, &result) < 0)
		return 0;
	unit = find(name);
	if (!unit)
		return 0;
	snprintf(unit->job_result, sizeof(unit->job_result), "%s",
		 strcmp(result, "done") == 0 ? "" : result);
	look(unit);
	return 0;
}

/* ---- opening ---- */

static int match_unit(struct manager_unit *unit)
{
	return sd_bus_match_signal_async(manager.bus, &unit->changes, MANAGER, unit->path,
					 PROPERTIES, "PropertiesChanged", unit_changed, NULL, unit);
}

static int subscribed(sd_bus_message *m, void *data, sd_bus_error *ignored)
{
	(void)data;
	(void)ignored;
	/* A second one is an error of no consequence. */
	if (sd_bus_message_is_method_error(m, NULL) &&
	    !sd_bus_message_is_method_error(m, MANAGER ".AlreadySubscribed")) {
		log_line(LOG_DEBUG, "D-Bus: Subscribe: %s", words_of(m, -EIO));
		manager.error = sd_bus_message_get_errno(m);
		return 1;
	}
	enter(BUS_OPEN);
	if (manager.is_lost_said)
		log_line(LOG_NOTICE, "systemd can be reached by D-Bus again");
	manager.is_lost_said = false;
	manager.handlers.opened();
	return 1;
}

static int subscribe(void)
{
	struct manager_unit *unit;
	int r = sd_bus_match_signal_async(manager.bus, NULL, MANAGER, MANAGER_PATH, IFACE_MANAGER,
					  "JobRemoved", job_removed, NULL, NULL);

	TAILQ_FOREACH (unit, &manager.units, link)
		if (r >= 0)
			r = match_unit(unit);
	if (r >= 0)
		r = sd_bus_call_method_async(manager.bus, NULL, MANAGER, MANAGER_PATH,
					     IFACE_MANAGER, "Subscribe", subscribed, NULL, NULL);
	return r;
}

/* Of a unit of a user's manager, the units beside it are meant. */
static bool is_user_unit(void)
{
	char *unit = NULL;
	bool is_user = sd_pid_get_user_unit(0, &unit) >= 0;

	free(unit);
	return is_user;
}

static void open_bus(void)
{
	int r;

	enter(BUS_OPENING);
	event_assign(&manager.event, manager.base, -1, 0, bus_ready, NULL);
	r = is_user_unit() ? sd_bus_open_user(&manager.bus) : sd_bus_open_system(&manager.bus);
	if (r >= 0)
		r = subscribe();
	if (r < 0)
		lose(-r);
	else
		arm();
}

static void pause_is_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	open_bus();
}

bool manager_is_open(void)
{
	return manager.state == BUS_OPEN;
}

/* Whether it is there; if not, it is opened. */
static bool reach(void)
{
	if (manager.state == BUS_CLOSED)
		open_bus();
	return manager_is_open();
}

void manager_bus_start(struct event_base *base, const struct manager_handlers *handlers)
{
	manager.base = base;
	manager.handlers = *handlers;
	TAILQ_INIT(&manager.units);
}

static void unit_free(struct manager_unit *unit)
{
	free(unit->name);
	free(unit->path);
	free(unit);
}

void manager_bus_stop(void)
{
	struct manager_unit *unit;

	if (!manager.base)
		return;
	enter(BUS_CLOSED);
	while ((unit = TAILQ_FIRST(&manager.units))) {
		TAILQ_REMOVE(&manager.units, unit, link);
		tdelete(unit, &manager.by_name, compare);
		unit_free(unit);
	}
	manager.base = NULL;
}

/* ---- units ---- */

struct manager_unit *manager_unit_new(const char *name, void *owner)
{
	struct manager_unit *unit = calloc(1, sizeof(*unit));

	if (!unit)
		return NULL;
	unit->owner = owner;
	unit->name = strdup(name);
	if (!unit->name || sd_bus_path_encode(UNITS_PATH, name, &unit->path) < 0 ||
	    !tsearch(unit, &manager.by_name, compare)) {
		unit_free(unit);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&manager.units, unit, link);
	if (manager.bus) {
		(void)match_unit(unit);
		arm_later();
	}
	return unit;
}

void manager_look(struct manager_unit *unit)
{
	if (!reach())
		return;
	look(unit);
	arm_later();
}

static int order_answered(sd_bus_message *m, void *data, sd_bus_error *ignored)
{
	static const char *const denials[] = { SD_BUS_ERROR_ACCESS_DENIED,
					       SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
					       SD_BUS_ERROR_AUTH_FAILED };
	struct manager_unit *unit = data;
	bool is_denied = false;

	(void)ignored;
	unit->order = sd_bus_slot_unref(unit->order);
	for (size_t i = 0; i < sizeof(denials) / sizeof(denials[0]); i++)
		is_denied |= sd_bus_message_is_method_error(m, denials[i]) > 0;
	if (sd_bus_message_is_method_error(m, NULL))
		manager.handlers.answered(unit->owner, words_of(m, -EIO), is_denied);
	else
		manager.handlers.answered(unit->owner, NULL, false);
	return 1;
}

static void order(struct manager_unit *unit, const char *method)
{
	if (!reach())
		return;
	unit->order = sd_bus_slot_unref(unit->order);
	unit->job_result[0] = '\0';
	(void)sd_bus_call_method_async(manager.bus, &unit->order, MANAGER, MANAGER_PATH,
				       IFACE_MANAGER, method, order_answered, unit, "ss",
				       unit->name, "replace");
	arm_later();
}

void manager_start(struct manager_unit *unit)
{
	order(unit, "StartUnit");
}

void manager_stop(struct manager_unit *unit)
{
	order(unit, "StopUnit");
}
