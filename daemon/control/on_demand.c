/* SPDX-License-Identifier: MIT */
/*
 * Starts and stops units: see on_demand.h.  Between unit.h, by which the threads tell what
 * they need, and manager_bus.c.
 */
#include "daemon/control/on_demand.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/unit.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/control/manager_bus.h"
#include "daemon/handover/upgrade.h"
#include "daemon/proxy/generation.h"

/* From a start that failed to the next one. */
#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 30000

/* While a unit changes, it is looked at this often, should a signal be lost. */
#define LOOK_MS 5000

/* The timer is always set, so that to set it anew takes no memory, and cannot fail. */
#define REST_MS 3600000

/* What is due is looked at this much later, and again. */
#define TICK_MS 20

enum order {
	ORDER_NONE,
	ORDER_CHECK, /* STOPPING: whether it is still that one, before it is stopped */
	ORDER_START,
	ORDER_STOP
};

/* What the main thread knows of a unit. */
struct demand {
	TAILQ_ENTRY(demand) link;
	struct unit *unit; /* a reference */
	struct manager_unit *manager;
	struct event timer;
	enum order order; /* that the state is for; NONE: others', or nobody's */
	bool is_answered; /* it has been obeyed */
	bool is_wanted;   /* a client has come since it was up, or has failed */
	bool is_ours;     /* started here */
	/* Which start that was; "": it is not known yet. */
	char invocation[INVOCATION_SIZE];
	uint64_t idle_ms;
	uint64_t pause_ms; /* after the last failure; 0: it has been up since */
	bool is_shared;    /* the process before has clients of it */
};

static struct {
	struct event_base *base;
	bool may_stop;
	bool is_denial_said;
	TAILQ_HEAD(, demand) demands;
} on_demand;

/* ---- states ---- */

static void set_timer(struct demand *demand, uint64_t ms)
{
	struct timeval tv = timeval_from_ms(ms < REST_MS ? ms : REST_MS);

	(void)event_add(&demand->timer, &tv);
}

static bool has_to_be_stopped(const struct demand *demand)
{
	return demand->is_ours && demand->idle_ms != SFRONT_INFINITY_MS;
}

/* How long the unit has to be without a client still. */
static uint64_t idle_time_left(const struct demand *demand)
{
	uint64_t quiet;

	if (unit_n_clients(demand->unit) > 0)
		return demand->idle_ms;
	quiet = clock_ms() - unit_quiet_since_ms(demand->unit);
	return quiet >= demand->idle_ms ? 0 : demand->idle_ms - quiet;
}

static void set_timer_of_state(struct demand *demand, enum unit_state state)
{
	switch (state) {
	case UNIT_STOPPED:
		set_timer(demand, REST_MS);
		break;
	case UNIT_LOOKING:
	case UNIT_STARTING:
	case UNIT_STOPPING:
		set_timer(demand, LOOK_MS);
		break;
	case UNIT_UP:
		if (has_to_be_stopped(demand) && on_demand.may_stop)
			set_timer(demand, clock_sum_ms(idle_time_left(demand), TICK_MS));
		else
			set_timer(demand, REST_MS);
		break;
	case UNIT_FAILED:
		set_timer(demand, demand->pause_ms);
		break;
	}
}

/* The only place where the state changes, but for fail(). */
static void enter(struct demand *demand, enum unit_state state, enum order order)
{
	enum unit_state before = unit_state(demand->unit);

	demand->order = order;
	demand->is_answered = order == ORDER_NONE;
	if (state == UNIT_UP) {
		demand->is_wanted = false;
		demand->pause_ms = 0;
		if (before != UNIT_UP && before != UNIT_STOPPING)
			log_line(LOG_INFO, "unit %s is up", unit_name(demand->unit));
	}
	unit_set_state(demand->unit, state);
	set_timer_of_state(demand, state);
}

static uint64_t next_pause(const struct demand *demand)
{
	uint64_t pause = 2 * demand->pause_ms;

	if (pause < PAUSE_MIN_MS)
		return PAUSE_MIN_MS;
	return pause > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause;
}

static void fail(struct demand *demand, const char *reason)
{
	demand->pause_ms = next_pause(demand);
	demand->order = ORDER_NONE;
	demand->is_wanted = false;
	demand->is_ours = false;
	unit_set_failed(demand->unit, reason, clock_ms() + demand->pause_ms);
	set_timer_of_state(demand, UNIT_FAILED);
}

static void fail_to_start(struct demand *demand, const char *reason)
{
	log_line(LOG_WARNING,
		 "unit %s failed: %s; it is started again for the next client, after %.15g s at "
		 "the earliest",
		 unit_name(demand->unit), reason, (double)next_pause(demand) / 1000);
	fail(demand, reason);
}

static void look(struct demand *demand)
{
	enter(demand, UNIT_LOOKING, ORDER_NONE);
	manager_look(demand->manager);
}

static void start(struct demand *demand)
{
	log_line(LOG_INFO, "unit %s: starting it for a client", unit_name(demand->unit));
	demand->is_ours = true;
	demand->invocation[0] = '\0';
	enter(demand, UNIT_STARTING, ORDER_START);
	manager_start(demand->manager);
}

/*
 * Says so first: a client that has not been counted by then sees it, and waits; one that has
 * been is seen here.
 */
static void begin_stop(struct demand *demand)
{
	enter(demand, UNIT_STOPPING, ORDER_CHECK);
	if (unit_n_clients(demand->unit) > 0)
		enter(demand, UNIT_UP, ORDER_NONE);
	else
		manager_look(demand->manager);
}

/* Nobody is kept waiting for a stop that cannot be ordered. */
static void call_off_stop(struct demand *demand)
{
	if (unit_state(demand->unit) == UNIT_STOPPING && demand->order == ORDER_CHECK)
		enter(demand, UNIT_UP, ORDER_NONE);
}

static void stop(struct demand *demand)
{
	log_line(LOG_INFO, "unit %s: no connection for %.15g s: stopping it",
		 unit_name(demand->unit), (double)demand->idle_ms / 1000);
	enter(demand, UNIT_STOPPING, ORDER_STOP);
	manager_stop(demand->manager);
}

/* ---- what the manager says ---- */

static bool is_that_one(const struct demand *demand, const struct unit_report *report)
{
	return strcmp(demand->invocation, report->invocation) == 0;
}

/* It is active: whose is it? */
static void is_up(struct demand *demand, const struct unit_report *report)
{
	if (demand->is_ours && demand->invocation[0] == '\0')
		snprintf(demand->invocation, sizeof(demand->invocation), "%s", report->invocation);
	demand->is_ours &= is_that_one(demand, report);
	enter(demand, UNIT_UP, ORDER_NONE);
}

/* Whoever starts it now: that is another start. */
static void be_stopped(struct demand *demand)
{
	demand->is_ours = false;
	enter(demand, UNIT_STOPPED, ORDER_NONE);
}

static void is_inactive(struct demand *demand)
{
	if (demand->is_wanted || unit_is_awaited(demand->unit))
		start(demand);
	else
		be_stopped(demand);
}

/* As it is found, whoever has made it so. */
static void settle(struct demand *demand, const struct unit_report *report)
{
	switch (report->activity) {
	case UNIT_ACTIVE:
		is_up(demand, report);
		break;
	case UNIT_ACTIVATING:
		enter(demand, UNIT_STARTING, ORDER_NONE);
		break;
	case UNIT_DEACTIVATING:
		enter(demand, UNIT_STOPPING, ORDER_NONE);
		break;
	case UNIT_INACTIVE:
		if (report->has_job)
			enter(demand, UNIT_STARTING, ORDER_NONE);
		else
			is_inactive(demand);
		break;
	}
}

static void looked_while_starting(struct demand *demand, const struct unit_report *report)
{
	bool is_over = report->activity == UNIT_INACTIVE && !report->has_job;

	if (report->activity == UNIT_ACTIVE)
		is_up(demand, report);
	else if (demand->order != ORDER_START)
		settle(demand, report);
	else if (is_over && demand->is_answered)
		fail_to_start(demand, *report->result ? report->result
						      : "it is not active after its start");
}

static void looked_while_stopping(struct demand *demand, const struct unit_report *report)
{
	bool is_active = report->activity == UNIT_ACTIVE;

	if (demand->order == ORDER_CHECK && is_active && on_demand.may_stop && !report->has_job &&
	    unit_n_clients(demand->unit) == 0 && is_that_one(demand, report))
		stop(demand);
	else if (demand->order != ORDER_STOP ||
		 (demand->is_answered && (!report->has_job || report->activity == UNIT_ACTIVATING)))
		settle(demand, report);
}

static void looked(void *owner, const struct unit_report *report)
{
	struct demand *demand = owner;

	switch (unit_state(demand->unit)) {
	case UNIT_STOPPED:
	case UNIT_FAILED:
		if (report->activity == UNIT_ACTIVE)
			is_up(demand, report);
		break;
	case UNIT_LOOKING:
		settle(demand, report);
		break;
	case UNIT_STARTING:
		looked_while_starting(demand, report);
		break;
	case UNIT_UP:
		if (report->activity != UNIT_ACTIVE)
			settle(demand, report);
		else if (demand->is_ours)
			is_up(demand, report);
		break;
	case UNIT_STOPPING:
		looked_while_stopping(demand, report);
		break;
	}
}

static void unknown(void *owner, const char *error)
{
	struct demand *demand = owner;
	enum unit_state state = unit_state(demand->unit);

	if (state == UNIT_LOOKING && (demand->is_wanted || unit_is_awaited(demand->unit)))
		fail_to_start(demand, error);
	else if (state == UNIT_LOOKING)
		enter(demand, UNIT_STOPPED, ORDER_NONE);
	else
		call_off_stop(demand);
}

static void say_denial(void)
{
	if (!on_demand.is_denial_said)
		log_line(LOG_WARNING,
			 "systemd does not let this process start and stop units: a polkit rule "
			 "that allows it is missing; for one, see backend-unit in "
			 "sockfront.conf(5)");
	on_demand.is_denial_said = true;
}

static void start_refused(struct demand *demand, const char *error, bool is_denied)
{
	if (is_denied) {
		say_denial();
		fail(demand, "this process has no right to start it");
	} else {
		fail_to_start(demand, error);
	}
}

/* It is not tried again: nothing else would come of it. */
static void stop_refused(struct demand *demand, const char *error, bool is_denied)
{
	if (is_denied)
		say_denial();
	else
		log_line(LOG_WARNING, "unit %s cannot be stopped: %s", unit_name(demand->unit),
			 error);
	demand->is_ours = false;
	look(demand);
}

static void answered(void *owner, const char *error, bool is_denied)
{
	struct demand *demand = owner;

	if (!error) {
		if (demand->order == ORDER_START)
			upgrade_pass_unit(unit_name(demand->unit));
		demand->is_answered = true;
		on_demand.is_denial_said = false;
		manager_look(demand->manager);
	} else if (demand->order == ORDER_START) {
		start_refused(demand, error, is_denied);
	} else if (demand->order == ORDER_STOP) {
		stop_refused(demand, error, is_denied);
	}
}

static void bus_lost(void)
{
	struct demand *demand;

	TAILQ_FOREACH (demand, &on_demand.demands, link)
		call_off_stop(demand);
}

/* What was ordered and not answered may have been lost: it follows from how the unit is. */
static void bus_opened(void)
{
	struct demand *demand;

	TAILQ_FOREACH (demand, &on_demand.demands, link) {
		if (!demand->is_answered) {
			demand->order = ORDER_NONE;
			demand->is_answered = true;
		}
		if (unit_state(demand->unit) != UNIT_STOPPED)
			manager_look(demand->manager);
	}
}

/* ---- time ---- */

static void look_if_due(struct demand *demand)
{
	uint64_t left = idle_time_left(demand);

	if (!has_to_be_stopped(demand) || !on_demand.may_stop)
		set_timer(demand, REST_MS);
	else if (left > 0)
		set_timer(demand, left);
	else if (!manager_is_open())
		set_timer(demand, LOOK_MS);
	else
		begin_stop(demand);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct demand *demand = arg;

	(void)fd;
	(void)what;
	switch (unit_state(demand->unit)) {
	case UNIT_STOPPED:
		set_timer(demand, REST_MS);
		break;
	case UNIT_LOOKING:
	case UNIT_STARTING:
	case UNIT_STOPPING:
		set_timer(demand, LOOK_MS);
		manager_look(demand->manager);
		call_off_stop(demand);
		break;
	case UNIT_UP:
		look_if_due(demand);
		break;
	case UNIT_FAILED:
		if (demand->is_wanted || unit_is_awaited(demand->unit))
			look(demand);
		else
			enter(demand, UNIT_STOPPED, ORDER_NONE);
		break;
	}
}

/* ---- units ---- */

static struct demand *demand_new(struct unit *unit)
{
	struct demand *demand = calloc(1, sizeof(*demand));
	const struct timeval rest = timeval_from_ms(REST_MS);

	if (!demand)
		return NULL;
	event_assign(&demand->timer, on_demand.base, -1, 0, timer_fired, demand);
	if (event_add(&demand->timer, &rest) == 0)
		demand->manager = manager_unit_new(unit_name(unit), demand);
	if (!demand->manager) {
		event_del(&demand->timer);
		free(demand);
		return NULL;
	}
	demand->unit = unit_ref(unit);
	unit_set_keeper(unit, demand);
	demand->idle_ms = SFRONT_INFINITY_MS;
	demand->is_answered = true;
	TAILQ_INSERT_TAIL(&on_demand.demands, demand, link);
	return demand;
}

/* One that is there, or a new one; NULL: out of memory. */
static struct demand *find_or_add(struct unit *unit)
{
	struct demand *demand = unit_keeper(unit);

	return demand ? demand : demand_new(unit);
}

static void wanted(struct unit *unit)
{
	struct demand *demand = on_demand.base ? find_or_add(unit) : NULL;

	/* Out of memory: the next client that comes tells of it again. */
	if (!demand || unit_state(unit) == UNIT_UP)
		return;
	demand->is_wanted = true;
	if (unit_state(unit) == UNIT_STOPPED)
		look(demand);
}

/* A unit that no proxy names any more is left as it is. */
static void forget_times(void)
{
	struct demand *demand;

	TAILQ_FOREACH (demand, &on_demand.demands, link)
		demand->idle_ms = SFRONT_INFINITY_MS;
}

static void set_timers(void)
{
	struct demand *demand;

	TAILQ_FOREACH (demand, &on_demand.demands, link)
		if (unit_state(demand->unit) == UNIT_UP)
			set_timer_of_state(demand, UNIT_UP);
}

void on_demand_configure(const struct generation *generation)
{
	forget_times();
	for (size_t i = 0; i < generation->n_proxies; i++) {
		struct unit *unit = backend_unit(generation->proxies[i]->backend);
		struct demand *demand = unit ? find_or_add(unit) : NULL;

		if (demand)
			demand->idle_ms = generation->proxies[i]->config.unit_idle_ms;
	}
	set_timers();
}

void on_demand_allow_stops(bool may_stop)
{
	on_demand.may_stop = may_stop;
	set_timers();
}

void on_demand_note_alone(void)
{
	struct demand *demand;

	TAILQ_FOREACH (demand, &on_demand.demands, link) {
		if (demand->is_shared)
			unit_set_quiet_since(demand->unit, clock_ms());
		demand->is_shared = false;
	}
}

static uint64_t time_left(const struct demand *demand)
{
	switch (unit_state(demand->unit)) {
	case UNIT_UP:
		return clock_sum_ms(idle_time_left(demand), TICK_MS);
	case UNIT_LOOKING:
	case UNIT_STARTING:
	case UNIT_STOPPING:
		return TICK_MS;
	case UNIT_STOPPED:
	case UNIT_FAILED:
		break;
	}
	return 0;
}

uint64_t on_demand_time_left_ms(void)
{
	const struct demand *demand;
	uint64_t longest = 0, left;

	TAILQ_FOREACH (demand, &on_demand.demands, link) {
		left = has_to_be_stopped(demand) ? time_left(demand) : 0;
		longest = left > longest ? left : longest;
	}
	return longest;
}

void on_demand_start(struct event_base *base)
{
	static const struct manager_handlers handlers = {
		.looked = looked,
		.unknown = unknown,
		.answered = answered,
		.lost = bus_lost,
		.opened = bus_opened,
	};

	on_demand.base = base;
	TAILQ_INIT(&on_demand.demands);
	manager_bus_start(base, &handlers);
	unit_on_wanted(wanted);
}

void on_demand_clear(void)
{
	struct demand *demand;

	if (!on_demand.base)
		return;
	unit_on_wanted(NULL);
	manager_bus_stop();
	while ((demand = TAILQ_FIRST(&on_demand.demands))) {
		TAILQ_REMOVE(&on_demand.demands, demand, link);
		event_del(&demand->timer);
		unit_set_keeper(demand->unit, NULL);
		unit_unref(demand->unit);
		free(demand);
	}
	on_demand.base = NULL;
}

/* ---- an upgrade ---- */

/* What stands for an invocation that is not known yet. */
#define NO_INVOCATION "-"

/* And for a time, of a unit that has clients. */
#define NOT_QUIET 0

char *on_demand_format(void)
{
	const struct demand *demand;
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return NULL;
	TAILQ_FOREACH (demand, &on_demand.demands, link)
		if (demand->is_ours)
			fprintf(stream, "%s %s %llu\n", unit_name(demand->unit),
				*demand->invocation ? demand->invocation : NO_INVOCATION,
				unit_n_clients(demand->unit) > 0
					? NOT_QUIET
					: (unsigned long long)unit_quiet_since_ms(demand->unit));
	if (fclose(stream) == 0)
		return text;
	free(text);
	return NULL;
}

static struct demand *find_by_name(const char *name)
{
	struct unit *unit = unit_find(name);
	struct demand *demand = unit ? unit_keeper(unit) : NULL;

	unit_unref(unit); /* a demand has a reference of its own */
	return demand;
}

static void take_over(struct demand *demand, const char *invocation, uint64_t quiet_since_ms)
{
	bool is_known = strcmp(invocation, NO_INVOCATION) != 0;

	demand->is_ours = true;
	snprintf(demand->invocation, sizeof(demand->invocation), "%s", is_known ? invocation : "");
	demand->is_shared = quiet_since_ms == NOT_QUIET;
	if (!demand->is_shared)
		unit_set_quiet_since(demand->unit, quiet_since_ms);
	look(demand);
}

/* False: it is none. */
static bool take_over_line(const char *line)
{
	char name[UNIT_NAME_SIZE], invocation[INVOCATION_SIZE];
	unsigned long long quiet_since_ms;
	struct demand *demand;

	if (sscanf(line, "%255s %32s %llu", name, invocation, &quiet_since_ms) != 3)
		return false;
	demand = find_by_name(name);
	if (demand)
		take_over(demand, invocation, quiet_since_ms);
	return true;
}

/* Line by line: sscanf() looks for the end of all that it is given. */
void on_demand_take_over(const char *text)
{
	char line[UNIT_NAME_SIZE + INVOCATION_SIZE + 32];
	size_t length;

	do {
		length = strcspn(text, "\n");
		snprintf(line, sizeof(line), "%.*s", (int)length, text);
		text += length + (text[length] == '\n');
	} while (take_over_line(line));
}

void on_demand_note_started(const char *name)
{
	struct demand *demand = find_by_name(name);

	if (demand)
		take_over(demand, NO_INVOCATION, NOT_QUIET);
}
