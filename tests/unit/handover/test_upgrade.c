/* SPDX-License-Identifier: MIT */
/*
 * The old process's side of an upgrade, without a second process, a socket or a clock:
 * what it does in each state when something happens, and when its patience ends.
 */
#include "tests/unit/simulated.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon/handover/upgrade.h"
#include "daemon/handover/upgrade_exec.h"
#include "daemon/handover/upgrade_plan.h"
#include "daemon/handover/upgrade_protocol.h"
#include "daemon/proxy/generation.h"
#include "daemon/worker/process.h"
#include "tests/unit/descriptors.h"
#include "tests/unit/states.h"

#define NEW_PID 4711

enum event_kind {
	START,
	STARTED, /* notes of the new process */
	EXEC_FAILED,
	TAKEN,
	READY,
	ACCEPTING,
	REOPEN,
	ENDS, /* what it does */
	TIME, /* until the next timer */
	FINISH,
	RELEASE,
	STOP,
	RELOAD,
	PASS_REOPEN,
	ABORT,
	EVENTS
};

static const char *const event_names[EVENTS] = {
	"start", "started", "exec failed", "taken", "ready",  "accepting",   "reopen", "ends",
	"time",  "finish",  "release",     "stop",  "reload", "pass reopen", "abort",
};

static const char *const state_names[] = { "NONE",     "STARTING", "ALLOWED", "COMMITTED",
					   "RELEASED", "ENDING",   "LEAVING" };
#define STATES ((int)(sizeof(state_names) / sizeof(state_names[0])))

/* The last line of the log. */
static char said[512];

static struct listener listener = { .is_own = true };
static struct listener *listeners[] = { &listener };
static struct proxy proxy = { .listeners = listeners, .n_listeners = 1 };
static struct proxy *proxies[] = { &proxy };
static struct generation generation = { .proxies = proxies, .n_proxies = 1 };
static struct process process = { .generation = &generation };

static struct {
	int control;
	struct note note; /* what is read next; kind 0: the new process has ended */
	int exec_fails;   /* -errno */
	bool is_gone;
} world;

/* ---- in place of the rest ---- */

int __wrap_kill(pid_t pid, int signal);
int __wrap_kill(pid_t pid, int signal)
{
	assert_int_equal(pid, NEW_PID);
	note_done(signal == SIGTERM ? "TERM" : signal == SIGKILL ? "KILL" : "another signal");
	return 0;
}

void __wrap_log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void __wrap_log_line(int priority, const char *format, ...)
{
	va_list arguments;

	(void)priority;
	va_start(arguments, format);
	vsnprintf(said, sizeof(said), format, arguments);
	va_end(arguments);
}

int __wrap_note_read(int fd, struct note *ret);
int __wrap_note_read(int fd, struct note *ret)
{
	assert_int_equal(fd, world.control);
	*ret = world.note;
	return world.note.kind == 0 ? -EPIPE : 0;
}

void __wrap_note_write(int fd, int kind, int value, int patience_ms);
void __wrap_note_write(int fd, int kind, int value, int patience_ms)
{
	static const char *const words[] = {
		[NOTE_GO] = "go",
		[NOTE_STOP] = "say stop",
		[NOTE_RELOAD] = "say reload",
		[NOTE_REOPEN] = "say reopen",
		[NOTE_YOURS] = "yours",
		[NOTE_CALLED_OFF] = "called off",
	};

	assert_int_equal(fd, world.control);
	assert_int_equal(value, 0);
	assert_int_equal(patience_ms, 0); /* it serves meanwhile */
	note_done(words[kind]);
}

bool __wrap_note_writer_is_gone(int fd);
bool __wrap_note_writer_is_gone(int fd)
{
	assert_int_equal(fd, world.control);
	return world.is_gone;
}

const char *__wrap_upgrade_exec_program(void);
const char *__wrap_upgrade_exec_program(void)
{
	return "/usr/bin/sockfront";
}

int __wrap_upgrade_exec(struct generation *of, const char *units, struct passed *passed);
int __wrap_upgrade_exec(struct generation *of, const char *units, struct passed *passed)
{
	(void)units;
	assert_ptr_equal(of, &generation);
	if (world.exec_fails < 0)
		return world.exec_fails;
	if (!passed->listeners)
		passed->listeners = calloc(1, sizeof(struct listener *));
	passed->listeners[0] = &listener;
	passed->n = 1;
	world.control = open("/dev/null", O_RDWR | O_CLOEXEC);
	note_done("exec");
	return world.control;
}

static void accepting(pid_t pid)
{
	assert_int_equal(pid, NEW_PID);
	note_done("accepting");
}

static void failed(void)
{
	note_done("failed");
}

static void gone(void)
{
	note_done("gone");
}

static void reopen(void)
{
	note_done("reopen");
}

/* ---- what happens ---- */

static const struct upgrade_handlers handlers = { accepting, failed, gone, reopen };

static void hear(int kind, int value)
{
	world.note = (struct note){ .kind = kind, .value = value };
	simulated_ready(world.control, EV_READ);
}

static void happen(int kind)
{
	static const struct note notes[EVENTS] = {
		[STARTED] = { .kind = NOTE_STARTED, .value = NEW_PID },
		[EXEC_FAILED] = { .kind = NOTE_EXEC_FAILED, .value = ENOENT },
		[TAKEN] = { .kind = NOTE_TAKEN, .value = 0 },
		[READY] = { .kind = NOTE_READY, .value = 0 },
		[ACCEPTING] = { .kind = NOTE_ACCEPTING, .value = 0 },
		[REOPEN] = { .kind = NOTE_REOPEN, .value = 0 },
	};

	if (notes[kind].kind != 0)
		hear(notes[kind].kind, notes[kind].value);
	else if (kind == START && upgrade_start(&process, "", &handlers) == -EBUSY)
		note_done("busy");
	else if (kind == ENDS)
		hear(0, 0);
	else if (kind == TIME && simulated_until_next() != SIMULATED_NEVER)
		simulated_advance(simulated_until_next());
	else if (kind == FINISH)
		upgrade_finish();
	else if (kind == RELEASE)
		upgrade_release();
	else if (kind == STOP)
		upgrade_pass_stop();
	else if (kind == RELOAD)
		upgrade_pass_reload();
	else if (kind == PASS_REOPEN)
		upgrade_pass_reopen();
	else if (kind == ABORT)
		upgrade_abort();
}

/* From the beginning to that state, as it comes about. */
static void reach(int state)
{
	static const enum event_kind ways[STATES][6] = {
		[UPGRADE_NONE] = { EVENTS },
		[UPGRADE_STARTING] = { START, STARTED, EVENTS },
		[UPGRADE_ALLOWED] = { START, STARTED, READY, EVENTS },
		[UPGRADE_COMMITTED] = { START, STARTED, READY, ACCEPTING, FINISH, EVENTS },
		[UPGRADE_RELEASED] = { START, STARTED, READY, FINISH, RELEASE, EVENTS },
		[UPGRADE_ENDING] = { START, STARTED, ABORT, EVENTS },
		[UPGRADE_LEAVING] = { START, STARTED, READY, ABORT, EVENTS },
	};

	upgrade_clear();
	simulated_reset();
	world.is_gone = false;
	world.exec_fails = 0;
	listener.is_taken_over = false;
	listener.is_shared = false;
	for (const enum event_kind *kind = ways[state]; *kind != EVENTS; kind++)
		happen((int)*kind);
	assert_int_equal(upgrade_state(), state);
	states_done[0] = said[0] = '\0';
}

static int clear(void **state)
{
	upgrade_clear();
	return descriptors_teardown(state);
}

#define counted_upgrade(test) cmocka_unit_test_setup_teardown(test, descriptors_setup, clear)

static const struct states_row rows[] = {
	{ UPGRADE_NONE, START, UPGRADE_STARTING, "exec" },

	{ UPGRADE_STARTING, START, UPGRADE_STARTING, "busy" },
	{ UPGRADE_STARTING, EXEC_FAILED, UPGRADE_NONE, "failed" },
	{ UPGRADE_STARTING, READY, UPGRADE_ALLOWED, "go" },
	{ UPGRADE_STARTING, ENDS, UPGRADE_NONE, "failed" },
	{ UPGRADE_STARTING, TIME, UPGRADE_ENDING, "called off TERM failed" },
	{ UPGRADE_STARTING, ABORT, UPGRADE_ENDING, "called off TERM" },

	{ UPGRADE_ALLOWED, START, UPGRADE_ALLOWED, "busy" },
	{ UPGRADE_ALLOWED, EXEC_FAILED, UPGRADE_NONE, "failed" },
	{ UPGRADE_ALLOWED, ACCEPTING, UPGRADE_ALLOWED, "accepting" },
	{ UPGRADE_ALLOWED, ENDS, UPGRADE_NONE, "failed" },
	{ UPGRADE_ALLOWED, TIME, UPGRADE_LEAVING, "called off TERM failed" },
	{ UPGRADE_ALLOWED, FINISH, UPGRADE_COMMITTED, "" },
	{ UPGRADE_ALLOWED, ABORT, UPGRADE_LEAVING, "called off TERM" },

	{ UPGRADE_COMMITTED, START, UPGRADE_COMMITTED, "busy" },
	{ UPGRADE_COMMITTED, STOP, UPGRADE_COMMITTED, "say stop" },
	{ UPGRADE_COMMITTED, RELOAD, UPGRADE_COMMITTED, "say reload" },
	{ UPGRADE_COMMITTED, REOPEN, UPGRADE_COMMITTED, "reopen" },
	{ UPGRADE_COMMITTED, PASS_REOPEN, UPGRADE_COMMITTED, "say reopen" },
	{ UPGRADE_COMMITTED, RELEASE, UPGRADE_RELEASED, "yours" },

	{ UPGRADE_RELEASED, START, UPGRADE_RELEASED, "busy" },
	{ UPGRADE_RELEASED, REOPEN, UPGRADE_RELEASED, "reopen" },

	{ UPGRADE_ENDING, START, UPGRADE_ENDING, "busy" },
	{ UPGRADE_ENDING, STARTED, UPGRADE_ENDING, "TERM" },
	{ UPGRADE_ENDING, EXEC_FAILED, UPGRADE_NONE, "gone" },
	{ UPGRADE_ENDING, ENDS, UPGRADE_NONE, "gone" },
	{ UPGRADE_ENDING, TIME, UPGRADE_NONE, "KILL gone" },

	{ UPGRADE_LEAVING, START, UPGRADE_LEAVING, "busy" },
	{ UPGRADE_LEAVING, STARTED, UPGRADE_LEAVING, "TERM" },
	{ UPGRADE_LEAVING, EXEC_FAILED, UPGRADE_NONE, "gone" },
	{ UPGRADE_LEAVING, ENDS, UPGRADE_NONE, "gone" },
};

static int state_now(void)
{
	return (int)upgrade_state();
}

static void test_every_event_in_every_state(void **state)
{
	static const struct states states = {
		.rows = rows,
		.n_rows = sizeof(rows) / sizeof(rows[0]),
		.state_names = state_names,
		.event_names = event_names,
		.n_states = STATES,
		.n_events = EVENTS,
		.reach = reach,
		.happen = happen,
		.state = state_now,
	};

	(void)state;
	states_check_all(&states);
}

/* ---- time ---- */

static void test_a_minute_to_get_ready(void **state)
{
	(void)state;
	reach(UPGRADE_STARTING);
	simulated_advance(59999);
	assert_string_equal(states_done, "");
	simulated_advance(1);
	assert_string_equal(states_done, "called off TERM failed");
	assert_contains(said, "not ready after 60 s");
}

/* From the start to "accepting", whatever it says in between. */
static void test_go_gives_no_more_time(void **state)
{
	(void)state;
	reach(UPGRADE_STARTING);
	simulated_advance(50000);
	happen(READY);
	simulated_advance(9999);
	assert_int_equal(upgrade_state(), UPGRADE_ALLOWED);
	simulated_advance(1);
	assert_int_equal(upgrade_state(), UPGRADE_LEAVING);
}

static void test_five_seconds_of_mercy(void **state)
{
	(void)state;
	reach(UPGRADE_ENDING);
	simulated_advance(4999);
	assert_string_equal(states_done, "");
	simulated_advance(1);
	assert_string_equal(states_done, "KILL gone");
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
}

/* It may have accepted somebody, whose connection takes as long as it takes. */
static void test_one_with_clients_is_waited_for(void **state)
{
	(void)state;
	reach(UPGRADE_LEAVING);
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
	happen(ENDS);
	assert_string_equal(states_done, "gone");
}

static void test_time_stands_still_once_it_has_taken_over(void **state)
{
	(void)state;
	reach(UPGRADE_COMMITTED);
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
	reach(UPGRADE_NONE);
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
}

/* ---- the rest ---- */

/* Its end is no end of this process, and is heard of once. */
static void test_the_service_may_end_first(void **state)
{
	(void)state;
	reach(UPGRADE_RELEASED);
	happen(ENDS);
	assert_int_equal(upgrade_state(), UPGRADE_RELEASED);
	assert_string_equal(states_done, "");
	assert_string_equal(said, "");
	happen(REOPEN); /* nobody reads any more */
	assert_string_equal(states_done, "");
}

/* The signal follows as soon as it is known to whom. */
static void test_called_off_before_it_has_said_who_it_is(void **state)
{
	(void)state;
	reach(UPGRADE_NONE);
	happen(START);
	states_done[0] = '\0';
	happen(ABORT);
	assert_string_equal(states_done, "called off");
	happen(STARTED);
	assert_string_equal(states_done, "called off TERM");
	/* Nobody is ended by force whose number is not known. */
	reach(UPGRADE_NONE);
	happen(START);
	happen(ABORT);
	states_done[0] = '\0';
	happen(TIME);
	assert_string_equal(states_done, "gone");
}

static void test_what_it_took_is_shared_in_the_end(void **state)
{
	(void)state;
	reach(UPGRADE_STARTING);
	happen(TAKEN);
	assert_true(listener.is_taken_over);
	assert_false(listener.is_shared);
	happen(READY);
	happen(FINISH);
	assert_true(listener.is_shared);
	/* What it has not taken is this process's alone, whatever it was. */
	reach(UPGRADE_ALLOWED);
	listener.is_shared = true;
	happen(FINISH);
	assert_false(listener.is_shared);
}

static void test_what_it_took_is_not_taken_when_it_fails(void **state)
{
	static const enum event_kind ends[] = { ENDS, ABORT, TIME };

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		reach(UPGRADE_STARTING);
		happen(TAKEN);
		happen((int)ends[i]);
		assert_false(listener.is_taken_over);
	}
	reach(UPGRADE_STARTING);
	hear(NOTE_TAKEN, 1);
	hear(NOTE_TAKEN, -1); /* numbers of nothing */
	assert_false(listener.is_taken_over);
}

/* Its last words were that it accepts. */
static void test_accepting_of_one_that_has_ended(void **state)
{
	(void)state;
	reach(UPGRADE_ALLOWED);
	world.is_gone = true;
	happen(ACCEPTING);
	assert_string_equal(states_done, "");
	happen(ENDS);
	assert_string_equal(states_done, "failed");
}

static void test_alive_until_it_has_ended_or_is_called_off(void **state)
{
	static const bool alive[STATES] = { false, true, true, true, true, false, false };

	(void)state;
	for (int at = 0; at < STATES; at++) {
		reach(at);
		assert_int_equal(upgrade_is_alive(), alive[at]);
		world.is_gone = true;
		assert_false(upgrade_is_alive());
	}
}

static void test_no_process_to_be_had(void **state)
{
	(void)state;
	reach(UPGRADE_NONE);
	world.exec_fails = -EAGAIN;
	assert_int_equal(upgrade_start(&process, "", &handlers), -EAGAIN);
	assert_int_equal(upgrade_state(), UPGRADE_NONE);
	assert_contains(said, "no new process can be started");
	assert_string_equal(states_done, "");
}

static void test_a_connection_cannot_be_taken_over(void **state)
{
	struct listener_socket single = { .is_single = true };

	(void)state;
	reach(UPGRADE_NONE);
	listener.sockets = &single;
	listener.n_sockets = 1;
	assert_int_equal(upgrade_start(&process, "", &handlers), -EOPNOTSUPP);
	listener.sockets = NULL;
	listener.n_sockets = 0;
	assert_string_equal(states_done, "");
	assert_contains(said, "nobody else can take that over");
}

static void test_what_the_log_says(void **state)
{
	(void)state;
	reach(UPGRADE_NONE);
	happen(START);
	assert_contains(said, "starting /usr/bin/sockfront");
	happen(EXEC_FAILED);
	assert_contains(said, "/usr/bin/sockfront cannot be started: No such file");
	reach(UPGRADE_ALLOWED);
	happen(ENDS);
	assert_contains(said, "ended before it took over");
	/* That it ends, when it was asked to, is no news. */
	reach(UPGRADE_ENDING);
	happen(ENDS);
	assert_string_equal(said, "");
	reach(UPGRADE_ENDING);
	happen(START);
	assert_contains(said, "process 4711 of the last one has not ended yet");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted_upgrade(test_every_event_in_every_state),
		counted_upgrade(test_a_minute_to_get_ready),
		counted_upgrade(test_go_gives_no_more_time),
		counted_upgrade(test_five_seconds_of_mercy),
		counted_upgrade(test_one_with_clients_is_waited_for),
		counted_upgrade(test_time_stands_still_once_it_has_taken_over),
		counted_upgrade(test_the_service_may_end_first),
		counted_upgrade(test_called_off_before_it_has_said_who_it_is),
		counted_upgrade(test_what_it_took_is_shared_in_the_end),
		counted_upgrade(test_what_it_took_is_not_taken_when_it_fails),
		counted_upgrade(test_accepting_of_one_that_has_ended),
		counted_upgrade(test_alive_until_it_has_ended_or_is_called_off),
		counted_upgrade(test_no_process_to_be_had),
		counted_upgrade(test_a_connection_cannot_be_taken_over),
		counted_upgrade(test_what_the_log_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
