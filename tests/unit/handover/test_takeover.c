/* SPDX-License-Identifier: MIT */
/*
 * The new process's side of an upgrade, without a second process, a socket or a clock:
 * what it does in each state when something happens, and what it takes from its
 * environment.
 */
#include "tests/unit/simulated.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/handover/passed_sockets.h"
#include "daemon/handover/takeover.h"
#include "daemon/handover/upgrade_protocol.h"
#include "tests/unit/descriptors.h"
#include "tests/unit/states.h"

enum event_kind {
	GO, /* notes of the old process */
	STOP,
	RELOAD,
	REOPEN,
	UNIT,
	YOURS,
	CALLED_OFF,
	ENDS,   /* what it does */
	ACCEPT, /* what this one does */
	PASS_REOPEN,
	EVENTS
};

static const char *const event_names[EVENTS] = { "go",     "stop",       "reload",     "reopen",
						 "unit",   "yours",      "called off", "ends",
						 "accept", "pass reopen" };

static const char *const state_names[] = { "NONE",      "OPENING",  "ALLOWED",
					   "UNDECIDED", "FOLLOWED", "LOST" };
#define STATES ((int)(sizeof(state_names) / sizeof(state_names[0])))

static struct {
	int control;
	struct note note; /* what is read next; kind 0: the old process has ended */
	bool is_muted;
	char received[256];
	size_t n_received;
	bool only_counted;
} world;

/* ---- in place of the rest ---- */

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
	char word[32] = "say ready";

	assert_int_equal(fd, world.control);
	/* As long as the old process has patience with this one; or not at all, where it serves. */
	assert_int_equal(patience_ms, kind == NOTE_REOPEN ? 0 : 60000);
	if (kind == NOTE_TAKEN)
		snprintf(word, sizeof(word), "say taken %d", value);
	else if (kind == NOTE_ACCEPTING)
		snprintf(word, sizeof(word), "say accepting");
	else if (kind == NOTE_REOPEN)
		snprintf(word, sizeof(word), "say reopen");
	else
		assert_int_equal(kind, NOTE_READY);
	note_done(word);
}

void __wrap_notify_mute(bool mute);
void __wrap_notify_mute(bool mute)
{
	assert_int_not_equal(mute, world.is_muted);
	world.is_muted = mute;
	note_done(mute ? "mute" : "unmute");
}

bool __wrap_received_add(const char *name, int fd);
bool __wrap_received_add(const char *name, int fd)
{
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	world.n_received++;
	if (world.only_counted)
		return true;
	close(fd);
	strcat(strcat(world.received, " "), name);
	return strcmp(name, "nomem") != 0;
}

void __wrap_fdstore_note_kept(const char *name);
void __wrap_fdstore_note_kept(const char *name)
{
	strcat(strcat(world.received, " kept:"), name);
}

int __wrap_sfront_former_parse(int fd, const char *text);
int __wrap_sfront_former_parse(int fd, const char *text)
{
	assert_true(fcntl(fd, F_GETFD) >= 0);
	assert_false(fcntl(fd, F_GETFD) & FD_CLOEXEC); /* it is not ours yet */
	strcat(strcat(strcat(world.received, " former("), text), ")");
	return strcmp(text, "wrong") == 0 ? -EINVAL : 0;
}

bool __wrap_received_was_taken(size_t index);
bool __wrap_received_was_taken(size_t index)
{
	return index == 1;
}

static void go(void)
{
	note_done("go");
}

static void stop(void)
{
	note_done("stop");
}

static void reload(void)
{
	note_done("reload");
}

static void reopen(void)
{
	note_done("reopen");
}

static void started(const char *name)
{
	assert_string_equal(name, "a.service");
	note_done("unit");
}

static void yours(void)
{
	note_done("yours");
}

static void lost(void)
{
	note_done("lost");
}

static void alone(void)
{
	note_done("alone");
}

/* ---- what happens ---- */

static const struct takeover_handlers handlers = { go,      stop,  reload, reopen,
						   started, yours, lost,   alone };

static void happen(int kind)
{
	static const int notes[EVENTS] = {
		[GO] = NOTE_GO,
		[STOP] = NOTE_STOP,
		[RELOAD] = NOTE_RELOAD,
		[REOPEN] = NOTE_REOPEN,
		[UNIT] = NOTE_UNIT,
		[YOURS] = NOTE_YOURS,
		[CALLED_OFF] = NOTE_CALLED_OFF,
	};

	world.note = (struct note){ .kind = notes[kind], .text = "a.service" };
	if (kind == ACCEPT)
		takeover_report_accepting();
	else if (kind == PASS_REOPEN)
		takeover_pass_reopen();
	else
		simulated_ready(world.control, EV_READ);
}

/* What the variable says behind the socket for notes. */
static int receive(const char *rest)
{
	char text[512];

	world.control = open("/dev/null", O_RDWR);
	world.received[0] = states_done[0] = '\0';
	snprintf(text, sizeof(text), "%d%s", world.control, rest);
	setenv(UPGRADE_VARIABLE, text, 1);
	return takeover_receive();
}

static void begin(void)
{
	assert_int_equal(receive(""), 0);
	takeover_report_ready(NULL, &handlers);
}

/* Back to where every process starts. */
static int clear(void **state)
{
	world.note = (struct note){ .kind = 0 };
	simulated_ready(world.control, EV_READ);
	simulated_reset();
	return state ? descriptors_teardown(state) : 0;
}

#define counted_takeover(test) cmocka_unit_test_setup_teardown(test, descriptors_setup, clear)

static void reach(int state)
{
	static const enum event_kind ways[STATES][4] = {
		[TAKEOVER_NONE] = { GO, ENDS, EVENTS },
		[TAKEOVER_OPENING] = { EVENTS },
		[TAKEOVER_ALLOWED] = { GO, EVENTS },
		[TAKEOVER_UNDECIDED] = { GO, ACCEPT, EVENTS },
		[TAKEOVER_FOLLOWED] = { GO, ACCEPT, YOURS, EVENTS },
		[TAKEOVER_LOST] = { CALLED_OFF, EVENTS },
	};

	(void)clear(NULL);
	begin();
	for (const enum event_kind *kind = ways[state]; *kind != EVENTS; kind++)
		happen((int)*kind);
	assert_int_equal(takeover_state(), state);
	states_done[0] = '\0';
}

static const struct states_row rows[] = {
	{ TAKEOVER_OPENING, UNIT, TAKEOVER_OPENING, "unit" },
	{ TAKEOVER_OPENING, GO, TAKEOVER_ALLOWED, "go" },
	{ TAKEOVER_OPENING, CALLED_OFF, TAKEOVER_LOST, "lost" },
	{ TAKEOVER_OPENING, ENDS, TAKEOVER_LOST, "lost" },

	{ TAKEOVER_ALLOWED, UNIT, TAKEOVER_ALLOWED, "unit" },
	{ TAKEOVER_ALLOWED, ACCEPT, TAKEOVER_UNDECIDED, "say accepting" },
	{ TAKEOVER_ALLOWED, CALLED_OFF, TAKEOVER_LOST, "lost" },
	{ TAKEOVER_ALLOWED, ENDS, TAKEOVER_NONE, "unmute yours" },

	{ TAKEOVER_UNDECIDED, UNIT, TAKEOVER_UNDECIDED, "unit" },
	{ TAKEOVER_UNDECIDED, STOP, TAKEOVER_UNDECIDED, "stop" },
	{ TAKEOVER_UNDECIDED, RELOAD, TAKEOVER_UNDECIDED, "reload" },
	{ TAKEOVER_UNDECIDED, REOPEN, TAKEOVER_UNDECIDED, "reopen" },
	{ TAKEOVER_UNDECIDED, YOURS, TAKEOVER_FOLLOWED, "unmute yours" },
	{ TAKEOVER_UNDECIDED, CALLED_OFF, TAKEOVER_LOST, "lost" },
	{ TAKEOVER_UNDECIDED, ENDS, TAKEOVER_NONE, "unmute yours" },

	{ TAKEOVER_UNDECIDED, PASS_REOPEN, TAKEOVER_UNDECIDED, "say reopen" },
	{ TAKEOVER_FOLLOWED, PASS_REOPEN, TAKEOVER_FOLLOWED, "say reopen" },
	{ TAKEOVER_FOLLOWED, UNIT, TAKEOVER_FOLLOWED, "unit" },
	{ TAKEOVER_FOLLOWED, ENDS, TAKEOVER_NONE, "alone" },
};

static int state_now(void)
{
	return (int)takeover_state();
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

static void test_questions(void **state)
{
	static const bool waiting[STATES] = { false, true, true, true, false, true };
	static const bool expecting[STATES] = { false, true, true, true, false, false };

	(void)state;
	for (int at = 0; at < STATES; at++) {
		reach(at);
		assert_int_equal(takeover_is_waiting(), waiting[at]);
		assert_int_equal(takeover_expects_word(), expecting[at]);
		/* Another process speaks to the service manager meanwhile. */
		assert_int_equal(world.is_muted, waiting[at]);
	}
}

/* "Called off" right behind "go" finds it with clients, or without. */
static void test_called_off_and_ended_is_lost_once(void **state)
{
	(void)state;
	reach(TAKEOVER_ALLOWED);
	happen(CALLED_OFF);
	happen(ENDS);
	assert_string_equal(states_done, "lost");
	happen(YOURS);
	assert_int_equal(takeover_state(), TAKEOVER_LOST);
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
}

static void test_a_process_that_nobody_started_to_take_over(void **state)
{
	(void)state;
	(void)clear(NULL);
	reach(TAKEOVER_NONE);
	unsetenv(UPGRADE_VARIABLE);
	assert_int_equal(takeover_receive(), 0);
	assert_int_equal(takeover_state(), TAKEOVER_NONE);
	assert_string_equal(states_done, "");
}

/* ---- what it was given ---- */

static int some_descriptor(void)
{
	return open("/dev/null", O_RDWR);
}

/* The list as upgrade_plan.c writes it. */
static int receive_list(const struct passed_socket *sockets, size_t n, const char *units)
{
	char *text, rest[64];
	size_t size;
	FILE *stream = open_memstream(&text, &size);
	int list, r;

	for (size_t i = 0; i < n; i++)
		passed_socket_write(stream, &sockets[i]);
	passed_units_write(stream, units);
	fclose(stream);
	list = passed_list_seal(text, size);
	assert_true(list >= 0);
	free(text);
	snprintf(rest, sizeof(rest), " %d:" PASSED_LIST, list);
	r = receive(rest);
	assert_int_equal(fcntl(list, F_GETFD), -1); /* it is closed */
	return r;
}

static void test_what_was_taken_is_reported(void **state)
{
	int fds[3];
	char rest[128];

	(void)state;
	(void)clear(NULL);
	for (size_t i = 0; i < 3; i++)
		fds[i] = some_descriptor();
	snprintf(rest, sizeof(rest), " %d:a %d:b %d:c", fds[0], fds[1], fds[2]);
	assert_int_equal(receive(rest), 0);
	assert_string_equal(world.received, " a b c");
	assert_null(getenv(UPGRADE_VARIABLE));
	states_done[0] = '\0';
	takeover_report_ready(NULL, &handlers);
	assert_string_equal(states_done, "say taken 1 say ready");
}

static void test_a_list_in_a_file(void **state)
{
	struct passed_socket sockets[] = {
		{ .fd = some_descriptor(), .former = "1.2=3 4.5=6 cubic" },
		{ .fd = some_descriptor(), .name = "a", .is_kept = true },
		{ .fd = some_descriptor(), .name = "b" },
	};
	char *units;

	(void)state;
	(void)clear(NULL);
	assert_int_equal(receive_list(sockets, 3, "wiki.service - 1\n"), 0);
	assert_string_equal(world.received, " former(1.2=3 4.5=6 cubic) kept:a a b");
	units = takeover_take_units();
	assert_string_equal(units, "wiki.service - 1\n");
	free(units);
	assert_null(takeover_take_units());
	takeover_report_ready(NULL, &handlers);
	(void)clear(NULL);
	strcpy(sockets[0].former, "wrong");
	assert_int_equal(receive_list(sockets, 1, ""), -EINVAL);
	takeover_report_ready(NULL, &handlers);
	close(sockets[0].fd);
}

/* Which is more than a variable holds. */
static void test_nine_thousand_in_a_list(void **state)
{
	static struct passed_socket sockets[9000];
	int fd = some_descriptor();
	char *units;

	(void)state;
	(void)clear(NULL);
	for (size_t i = 0; i < 9000; i++) {
		sockets[i].fd = fd;
		snprintf(sockets[i].name, sizeof(sockets[i].name), "sockfront-fdstore-%016zx", i);
	}
	world.only_counted = true;
	world.n_received = 0;
	assert_int_equal(receive_list(sockets, 9000, ""), 0);
	units = takeover_take_units();
	assert_string_equal(units, "");
	free(units);
	world.only_counted = false;
	assert_int_equal(world.n_received, 9000);
	takeover_report_ready(NULL, &handlers);
	close(fd);
}

/* Nobody can change it meanwhile. */
static void test_a_list_is_sealed(void **state)
{
	int list = passed_list_seal("text", 4);
	char *text;

	(void)state;
	assert_true(list >= 0);
	assert_int_equal(pwrite(list, "x", 1, 0), -1);
	assert_int_equal(ftruncate(list, 0), -1);
	assert_int_equal(passed_list_load(list, &text), 0);
	assert_string_equal(text, "text");
	free(text);
	close(list);
	assert_int_equal(passed_list_load(list, &text), -EBADF);
}

/* A number that is free, whatever this program was started with. */
#define GIVEN 300

static void open_given(void)
{
	int fd = some_descriptor();

	assert_int_equal(fcntl(GIVEN, F_GETFD), -1);
	assert_int_equal(dup2(fd, GIVEN), GIVEN);
	close(fd);
}

static void test_what_cannot_be_made_out(void **state)
{
	static const char *const rests[] = { " 300", " x:a", " 99999:a",    " 1:a",      " -1:a",
					     "junk", " :",   " 99999:list", " 300:nomem" };

	(void)state;
	for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
		bool is_taken = strstr(rests[i], "nomem");
		int r;

		open_given();
		(void)clear(NULL);
		r = receive(rests[i]);
		if (r == 0)
			print_error("\"%s\" is taken\n", rests[i]);
		assert_int_not_equal(r, 0);
		assert_null(getenv(UPGRADE_VARIABLE));
		takeover_report_ready(NULL, &handlers);
		assert_int_equal(fcntl(GIVEN, F_GETFD) < 0, is_taken);
		if (!is_taken)
			close(GIVEN);
	}
	(void)clear(NULL);
	for (size_t i = 0; i < 3; i++) {
		static const char *const controls[] = { "", "2", "99999" };

		setenv(UPGRADE_VARIABLE, controls[i], 1);
		states_done[0] = '\0';
		assert_int_equal(takeover_receive(), -EINVAL);
		assert_string_equal(states_done, "");
	}
	unsetenv(UPGRADE_VARIABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted_takeover(test_every_event_in_every_state),
		counted_takeover(test_questions),
		counted_takeover(test_called_off_and_ended_is_lost_once),
		counted_takeover(test_a_process_that_nobody_started_to_take_over),
		counted_takeover(test_what_was_taken_is_reported),
		counted_takeover(test_a_list_in_a_file),
		counted_takeover(test_nine_thousand_in_a_list),
		counted_takeover(test_a_list_is_sealed),
		counted_takeover(test_what_cannot_be_made_out),
	};

	simulated_reset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
