/* SPDX-License-Identifier: MIT */
/*
 * When a unit is started and stopped, on simulated time and without a bus: each row is a
 * script, and what it must leave behind.
 */
#include "tests/unit/simulated.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/unit.h"
#include "daemon/base/loop.h"
#include "daemon/control/manager_bus.h"
#include "daemon/control/on_demand.h"
#include "daemon/proxy/generation.h"

#define IDLE_MS 10000

static struct {
	struct manager_handlers handlers;
	void *owner;
	bool is_open;
	unsigned int n_passed; /* to the new process of an upgrade */
	char trace[1024];
} scene;

static struct loop loop;
static struct event_base *event_base;
static struct proxy proxy;
static struct proxy *proxies[] = { &proxy };
static struct generation generation = { .proxies = proxies, .n_proxies = 1 };
static struct unit *unit;
static char passed[512];

static void note(const char *word)
{
	if (*scene.trace)
		strncat(scene.trace, " ", sizeof(scene.trace) - strlen(scene.trace) - 1);
	strncat(scene.trace, word, sizeof(scene.trace) - strlen(scene.trace) - 1);
}

/* ---- what stands in for the bus ---- */

void __wrap_manager_bus_start(struct event_base *base, const struct manager_handlers *handlers);
void __wrap_manager_bus_start(struct event_base *base, const struct manager_handlers *handlers)
{
	(void)base;
	scene.handlers = *handlers;
}

void __wrap_manager_bus_stop(void);
void __wrap_manager_bus_stop(void)
{
}

void __wrap_upgrade_pass_unit(const char *name);
void __wrap_upgrade_pass_unit(const char *name)
{
	assert_string_equal(name, "wiki.service");
	scene.n_passed++;
}

bool __wrap_manager_is_open(void);
bool __wrap_manager_is_open(void)
{
	return scene.is_open;
}

struct manager_unit *__wrap_manager_unit_new(const char *name, void *owner);
struct manager_unit *__wrap_manager_unit_new(const char *name, void *owner)
{
	(void)name;
	scene.owner = owner;
	return owner;
}

void __wrap_manager_look(struct manager_unit *of);
void __wrap_manager_look(struct manager_unit *of)
{
	(void)of;
	note("look");
}

void __wrap_manager_start(struct manager_unit *of);
void __wrap_manager_start(struct manager_unit *of)
{
	(void)of;
	note("START");
}

void __wrap_manager_stop(struct manager_unit *of);
void __wrap_manager_stop(struct manager_unit *of)
{
	(void)of;
	note("STOP");
}

void __wrap_log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void __wrap_log_line(int priority, const char *format, ...)
{
	(void)priority;
	if (strstr(format, "polkit"))
		note("denial");
	else if (strstr(format, "failed"))
		note("failure");
}

/* ---- scripts ---- */

static bool report(const char *word, const char *invocation)
{
	static const char *const words[] = { "inactive", "activating", "active", "deactivating" };
	struct unit_report what = { .has_job = strncmp(word, "job-", 4) == 0 };

	for (int i = 0; i < 4; i++) {
		if (strcmp(word + (what.has_job ? 4 : 0), words[i]) != 0)
			continue;
		what.activity = (enum unit_activity)i;
		snprintf(what.invocation, sizeof(what.invocation), "%s", invocation);
		if (what.activity == UNIT_INACTIVE)
			snprintf(what.result, sizeof(what.result), "exit-code");
		scene.handlers.looked(scene.owner, &what);
		return true;
	}
	return false;
}

static void come(void)
{
	unit_client_comes(unit);
	(void)unit_is_up_for_client(unit);
	simulated_deliver();
}

static void upgrade(void)
{
	char *text = on_demand_format();

	assert_non_null(text);
	snprintf(passed, sizeof(passed), "%s", text);
	free(text);
	on_demand_clear();
	unit_set_state(unit, UNIT_STOPPED); /* the new process has another one */
	on_demand_start(event_base);
	on_demand_configure(&generation);
	on_demand_take_over(passed);
	on_demand_allow_stops(true);
}

static void act(const char *word, const char *value)
{
	if (*word == '\0' || report(word, value))
		return;
	if (strcmp(word, "come") == 0)
		come();
	else if (strcmp(word, "go") == 0)
		unit_client_goes(unit);
	else if (strcmp(word, "wait") == 0)
		simulated_advance(strtoul(value, NULL, 10));
	else if (strcmp(word, "yes") == 0)
		scene.handlers.answered(scene.owner, NULL, false);
	else if (strcmp(word, "no") == 0)
		scene.handlers.answered(scene.owner, "it is masked", false);
	else if (strcmp(word, "denied") == 0)
		scene.handlers.answered(scene.owner, "access denied", true);
	else if (strcmp(word, "unknown") == 0)
		scene.handlers.unknown(scene.owner, "no reply");
	else if (strcmp(word, "lost") == 0 || strcmp(word, "opened") == 0)
		(*word == 'l' ? scene.handlers.lost : scene.handlers.opened)();
	else if (strcmp(word, "closed") == 0)
		scene.is_open = false;
	else if (strcmp(word, "allow") == 0 || strcmp(word, "forbid") == 0)
		on_demand_allow_stops(*word == 'a');
	else if (strcmp(word, "alone") == 0)
		on_demand_note_alone();
	else if (strcmp(word, "told") == 0)
		on_demand_note_started("wiki.service");
	else if (strcmp(word, "upgrade") == 0)
		upgrade();
	else if (strcmp(word, "/") == 0)
		scene.trace[0] = '\0';
	else
		fail_msg("no such step: %s", word);
}

static void begin(void)
{
	struct sfront_error err;
	struct server_config server;
	struct proxy_config config = { .servers = &server, .n_servers = 1 };
	struct loop_guard *guard = loop_guard_new();

	simulated_reset();
	scene = (typeof(scene)){ .is_open = true };
	assert_int_equal(server_parse("127.0.0.1:1", &server, &err), 0);
	proxy = (struct proxy){ .config.unit_idle_ms = IDLE_MS };
	proxy.backend = backend_new(&config, guard, &err);
	loop_guard_unref(guard);
	assert_non_null(proxy.backend);
	unit = unit_get("wiki.service", &loop);
	backend_set_unit(proxy.backend, unit_ref(unit));
	on_demand_start(event_base);
	on_demand_configure(&generation);
	on_demand_allow_stops(true);
}

static void end(void)
{
	on_demand_clear();
	backend_unref(proxy.backend);
	unit_unref(unit);
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
}

struct row {
	const char *script, *trace;
	enum unit_state state;
};

static void check_all(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char words[512], *at = words, *word, *value;

		begin();
		snprintf(words, sizeof(words), "%s", rows[i].script);
		while ((word = strsep(&at, " "))) {
			value = strchr(word, '=');
			if (value)
				*value++ = '\0';
			act(word, value ? value : "");
		}
		if (strcmp(scene.trace, rows[i].trace) != 0 || unit_state(unit) != rows[i].state)
			fail_msg("%s\n  leaves  %s (%d)\n  but not %s (%d)", rows[i].script,
				 scene.trace, unit_state(unit), rows[i].trace, rows[i].state);
		end();
	}
}

#define CHECK(rows) check_all(rows, sizeof(rows) / sizeof((rows)[0]))

/* From where a client has been served and is gone, which is 0 s ago. */
#define UP   "come inactive yes active=a go / "
#define IDLE "wait=10020 "

static void test_a_client_has_it_started(void **state)
{
	static const struct row rows[] = {
		{ "wait=60000", "", UNIT_STOPPED },
		{ "come", "look", UNIT_LOOKING },
		{ "come come", "look", UNIT_LOOKING },
		{ "come active=x", "look", UNIT_UP },
		{ "come inactive", "look START", UNIT_STARTING },
		{ "come inactive yes activating", "look START look", UNIT_STARTING },
		{ "come inactive yes active=a", "look START look", UNIT_UP },
		/* An older look may come in before the order was obeyed. */
		{ "come inactive inactive", "look START", UNIT_STARTING },
		{ "come inactive yes job-inactive", "look START look", UNIT_STARTING },
		/* A signal that is lost does not leave anybody waiting. */
		{ "come inactive yes / wait=5000", "look", UNIT_STARTING },
		{ "come / wait=5000", "look", UNIT_LOOKING },
		/* What others do with it. */
		{ "come activating / active=x", "", UNIT_UP },
		{ "come activating / inactive", "START", UNIT_STARTING },
		{ "come job-inactive / inactive", "START", UNIT_STARTING },
		{ "come deactivating / inactive", "START", UNIT_STARTING },
		{ "active=x", "", UNIT_UP },
	};

	(void)state;
	CHECK(rows);
}

/* The process before tells of what it starts while the new one is being started, or later. */
static void test_it_was_started_meanwhile(void **state)
{
	static const struct row rows[] = {
		{ "told active=a alone / wait=9999", "", UNIT_UP },
		{ "told active=a alone / wait=10020", "look", UNIT_STOPPING },
		{ "told activating active=a alone / wait=10020", "look", UNIT_STOPPING },
		{ "told active=a alone / come wait=60000", "", UNIT_UP },
		/* Its start came to nothing, and somebody else starts it. */
		{ "told inactive active=x alone / wait=60000", "", UNIT_UP },
		{ "come inactive go upgrade inactive active=x alone / wait=60000", "", UNIT_UP },
	};

	(void)state;
	CHECK(rows);
}

static void test_starts_are_passed(void **state)
{
	(void)state;
	begin();
	act("come", "");
	act("inactive", "");
	assert_int_equal(scene.n_passed, 0); /* the other one would find nothing yet */
	act("yes", "");
	assert_int_equal(scene.n_passed, 1);
	act("active", "a");
	act("go", "");
	act("wait", "10020");
	act("active", "a");
	act("yes", "");
	assert_int_equal(scene.n_passed, 1); /* that was a stop */
	end();
}

static void test_it_fails(void **state)
{
	static const struct row rows[] = {
		{ "come inactive yes inactive", "look START look failure", UNIT_FAILED },
		{ "come inactive no", "look START failure", UNIT_FAILED },
		{ "come unknown", "look failure", UNIT_FAILED },
		{ "come inactive no / wait=1000", "", UNIT_STOPPED },
		{ "come inactive no / come wait=999", "", UNIT_FAILED },
		{ "come inactive no / come wait=1000", "look", UNIT_LOOKING },
		{ "come inactive no / wait=1000 come", "look", UNIT_LOOKING },
		/* 1, 2, 4, 8, 16, 30 seconds */
		{ "come inactive no come wait=1000 inactive no / come wait=1999", "", UNIT_FAILED },
		{ "come inactive no come wait=1000 inactive no / come wait=2000", "look",
		  UNIT_LOOKING },
		{ "come inactive no come wait=1000 inactive no come wait=2000 inactive no "
		  "come wait=4000 inactive no come wait=8000 inactive no come wait=16000 "
		  "inactive no come wait=30000 inactive no / come wait=29999",
		  "", UNIT_FAILED },
		{ "come inactive no come wait=1000 inactive no come wait=2000 inactive no "
		  "come wait=4000 inactive no come wait=8000 inactive no come wait=16000 "
		  "inactive no come wait=30000 inactive no / come wait=30000",
		  "look", UNIT_LOOKING },
		/* It has been up since. */
		{ "come inactive no come wait=1000 active=x inactive come inactive no / come "
		  "wait=1000",
		  "look", UNIT_LOOKING },
		{ "come inactive no / active=x", "", UNIT_UP },
		{ "come inactive denied", "look START denial", UNIT_FAILED },
		{ "come inactive denied come wait=1000 / inactive denied", "START", UNIT_FAILED },
	};

	(void)state;
	CHECK(rows);
}

static void test_it_is_stopped(void **state)
{
	static const struct row rows[] = {
		{ UP "wait=9999", "", UNIT_UP },
		{ UP IDLE, "look", UNIT_STOPPING },
		{ UP IDLE "active=a", "look STOP", UNIT_STOPPING },
		{ UP IDLE "active=a yes deactivating inactive", "look STOP look", UNIT_STOPPED },
		{ UP IDLE "active=a inactive", "look STOP", UNIT_STOPPING },
		{ UP "wait=5000 come wait=60000", "", UNIT_UP },
		{ UP "wait=5000 come go wait=9999", "", UNIT_UP },
		{ UP "wait=5000 come go " IDLE, "look", UNIT_STOPPING },
		/* Somebody comes just then. */
		{ UP IDLE "come active=a", "look", UNIT_UP },
		{ UP IDLE "active=a come yes inactive", "look STOP look START", UNIT_STARTING },
		{ UP IDLE "active=a yes deactivating come inactive yes active=b",
		  "look STOP look START look", UNIT_UP },
		/* It is another one, or another's. */
		{ UP IDLE "active=b wait=60000", "look", UNIT_UP },
		{ UP "active=b wait=60000", "", UNIT_UP },
		{ "come active=x go / wait=60000", "", UNIT_UP },
		{ "come activating active=x go / wait=60000", "", UNIT_UP },
		{ UP "inactive active=b wait=60000", "", UNIT_UP },
		{ UP IDLE "job-active=a", "look", UNIT_UP },
		/* Others keep it from stopping. */
		{ UP IDLE "active=a yes job-active=a", "look STOP look", UNIT_STOPPING },
		{ UP IDLE "active=a yes active=a", "look STOP look", UNIT_UP },
		{ UP IDLE "active=a yes activating", "look STOP look", UNIT_STARTING },
		{ UP IDLE "active=a denied active=a wait=60000", "look STOP denial look", UNIT_UP },
		{ UP IDLE "active=a no active=a wait=60000", "look STOP look", UNIT_UP },
		/* It stops by itself. */
		{ UP "inactive", "", UNIT_STOPPED },
		{ UP "deactivating come inactive", "START", UNIT_STARTING },
		{ UP "inactive come inactive", "look START", UNIT_STARTING },
		{ UP "activating", "", UNIT_STARTING },
	};

	(void)state;
	CHECK(rows);
}

static void test_it_may_not_be_stopped(void **state)
{
	static const struct row rows[] = {
		{ UP "forbid wait=60000", "", UNIT_UP },
		{ UP "forbid wait=60000 allow wait=20", "look", UNIT_STOPPING },
		{ UP IDLE "forbid active=a wait=60000", "look", UNIT_UP },
		{ UP IDLE "active=a forbid yes inactive", "look STOP look", UNIT_STOPPED },
	};

	(void)state;
	CHECK(rows);
}

static void test_the_bus_is_lost(void **state)
{
	static const struct row rows[] = {
		{ "come / opened inactive", "look START", UNIT_STARTING },
		{ "come inactive / lost opened inactive", "look START", UNIT_STARTING },
		{ "come inactive yes / lost opened inactive", "look failure", UNIT_FAILED },
		{ "come inactive yes / lost opened active=a", "look", UNIT_UP },
		{ UP "lost opened active=a", "look", UNIT_UP },
		{ UP "lost opened inactive", "look", UNIT_STOPPED },
		{ UP IDLE "lost", "look", UNIT_UP },
		{ UP IDLE "unknown", "look", UNIT_UP },
		{ UP IDLE "active=a / lost opened active=a", "look", UNIT_UP },
		{ UP "closed wait=60000", "", UNIT_UP },
		{ "opened", "", UNIT_STOPPED },
	};

	(void)state;
	CHECK(rows);
}

static void test_an_upgrade(void **state)
{
	static const struct row rows[] = {
		{ UP "upgrade", "look", UNIT_LOOKING },
		{ UP "wait=4000 upgrade active=a / wait=5999", "", UNIT_UP },
		{ UP "wait=4000 upgrade active=a / wait=6020", "look", UNIT_STOPPING },
		{ UP "upgrade active=b wait=60000", "look", UNIT_UP },
		{ UP "upgrade inactive", "look", UNIT_STOPPED },
		{ UP "upgrade come inactive", "look START", UNIT_STARTING },
		{ "come inactive yes / upgrade activating active=a go / " IDLE, "look",
		  UNIT_STOPPING },
		/* The old process has a client until just now. */
		{ UP "come upgrade active=a go wait=5000 alone / wait=9999", "", UNIT_UP },
		{ UP "wait=5000 upgrade active=a alone / wait=5020", "look", UNIT_STOPPING },
		{ "come active=x upgrade", "look", UNIT_STOPPED },
	};

	(void)state;
	CHECK(rows);
}

static void assert_time_left(const char *script, uint64_t ms)
{
	char words[256], *at = words, *word, *value;

	begin();
	snprintf(words, sizeof(words), "%s", script);
	while ((word = strsep(&at, " "))) {
		value = strchr(word, '=');
		if (value)
			*value++ = '\0';
		act(word, value ? value : "");
	}
	assert_int_equal(on_demand_time_left_ms(), ms);
	end();
}

static void test_how_long_the_process_is_needed(void **state)
{
	(void)state;
	assert_time_left("wait=1", 0);
	assert_time_left("come active=x", 0);
	assert_time_left("come inactive", 20);
	assert_time_left("come inactive yes active=a wait=60000", IDLE_MS + 20);
	assert_time_left("come inactive yes active=a go wait=4000", 6020);
	assert_time_left("come inactive yes active=a go wait=10020", 20);
	assert_time_left("come inactive yes active=a go wait=10020 active=a yes inactive", 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_client_has_it_started),
		cmocka_unit_test(test_it_was_started_meanwhile),
		cmocka_unit_test(test_starts_are_passed),
		cmocka_unit_test(test_it_fails),
		cmocka_unit_test(test_it_is_stopped),
		cmocka_unit_test(test_it_may_not_be_stopped),
		cmocka_unit_test(test_the_bus_is_lost),
		cmocka_unit_test(test_an_upgrade),
		cmocka_unit_test(test_how_long_the_process_is_needed),
	};

	int failed;

	event_base = event_base_new();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	event_base_free(event_base);
	return failed;
}
