/* SPDX-License-Identifier: MIT */
/*
 * What the acceptor does when: every state and event, whose turn it is, pauses, and what
 * becomes of a queue whose listener goes.  Listeners are numbers of waiting clients,
 * time is simulated, and nothing sleeps.
 */
#include "tests/unit/simulated.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/proxy/generation.h"
#include "daemon/worker/acceptor.h"
#include "daemon/worker/process.h"
#include "daemon/worker/worker.h"

#define MOST     8   /* listeners */
#define FIRST_FD 100 /* of the listeners; nobody opens them */

/* ---- listeners without sockets ---- */

struct fake {
	unsigned int queued;
	int error;         /* of each accept; 0: none */
	unsigned int left; /* of those errors; 0: it stays */
	bool says_queued;  /* the kernel tells how many wait */
	struct sfront_listener *open;
	struct listener *listener;
};

static struct fake fakes[MOST];

static int fake_accept(void *data, struct sfront_connection *ret)
{
	struct fake *fake = data;

	if (fake->error != 0) {
		int error = fake->error;

		if (fake->left > 0 && --fake->left == 0)
			fake->error = 0;
		return error;
	}
	if (fake->queued == 0)
		return -EAGAIN;
	fake->queued--;
	*ret = (struct sfront_connection){ .read_fd = -1, .write_fd = -1 };
	return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	struct tcp_info info = { .tcpi_state = TCP_LISTEN };

	(void)level;
	assert_int_equal(name, TCP_INFO);
	assert_int_equal(*len, sizeof(info));
	if (!fakes[fd - FIRST_FD].says_queued) {
		errno = EOPNOTSUPP;
		return -1;
	}
	info.tcpi_unacked = fakes[fd - FIRST_FD].queued;
	memcpy(value, &info, sizeof(info));
	*len = sizeof(info);
	return 0;
}

/* ---- a process without threads ---- */

static struct worker workers[1];
static struct process process;
static struct proxy_limit limits[MOST];
static struct proxy proxies[2 * MOST];
static struct proxy_socket sockets[2 * MOST];
static struct proxy *lists[2][MOST];
static struct generation generations[2];
static struct roster *rosters[2];
static char served[512];     /* which proxy got a connection, one letter each */
static char answers[64];     /* what the acceptor has said, one letter each */
static char said[16 * 1024]; /* the log */
static bool no_memory;

bool __wrap_dispatch_is_ready(struct dispatch *dispatch);
bool __wrap_dispatch_is_ready(struct dispatch *dispatch)
{
	(void)dispatch;
	return !no_memory;
}

void __wrap_dispatch_connection(struct dispatch *dispatch, struct proxy *proxy, size_t socket,
				const struct sfront_connection *connection);
void __wrap_dispatch_connection(struct dispatch *dispatch, struct proxy *proxy, size_t socket,
				const struct sfront_connection *connection)
{
	size_t n = strlen(served);

	(void)dispatch;
	(void)connection;
	assert_int_equal(socket, 0);
	assert_true(n + 1 < sizeof(served));
	served[n] = proxy->config.name[0];
	served[n + 1] = '\0';
}

void __wrap_log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void __wrap_log_line(int priority, const char *format, ...)
{
	size_t n = strlen(said);
	va_list ap;

	(void)priority;
	va_start(ap, format);
	n += (size_t)vsnprintf(said + n, sizeof(said) - n - 1, format, ap);
	va_end(ap);
	assert_true(n + 1 < sizeof(said));
	strcpy(said + n, "\n");
}

static unsigned int count_said(const char *part)
{
	unsigned int n = 0;

	for (const char *at = strstr(said, part); at; at = strstr(at + 1, part))
		n++;
	return n;
}

static void answer(char letter)
{
	size_t n = strlen(answers);

	assert_true(n + 1 < sizeof(answers));
	answers[n] = letter;
	answers[n + 1] = '\0';
}

static void switched(struct message *message)
{
	(void)message;
	answer('w');
}

static void draining(struct message *message)
{
	(void)message;
	answer('d');
}

static void stopped(struct message *message)
{
	(void)message;
	answer('s');
}

static void asked_if_idle(struct message *message)
{
	answer(message_owner(message, struct acceptor, asked_if_idle)->stopped_idle ? 'i' : 'n');
}

static void over(struct message *message)
{
	struct roster *roster = message_owner(message, struct roster, over);

	answer('o');
	/* Whatever is touched from here on, valgrind and ASan see. */
	for (size_t i = 0; i < 2; i++)
		if (rosters[i] == roster)
			rosters[i] = NULL;
	free(roster);
}

static const char names[] = "abcdefgh";
static char proxy_names[MOST][2];

static void make_listener(size_t i)
{
	static const struct sfront_listener_ops ops = { .size = sizeof(ops),
							.accept = fake_accept };
	static const struct sfront_address address = { .kind = SFRONT_TCP };
	char text[] = { 'l', 'i', 's', 't', 'e', 'n', 'e', 'r', ' ', names[i], '\0' };
	struct sfront_error err;

	fakes[i] = (struct fake){ .says_queued = true };
	assert_int_equal(
		sfront_listener_new(&ops, &fakes[i], FIRST_FD + (int)i, text, &fakes[i].open, &err),
		0);
	fakes[i].listener = listener_new(&address, 0, NULL, fakes[i].open);
	assert_non_null(fakes[i].listener);
}

/* Generation @which has those listeners of @letters, each in a proxy of its own. */
static struct roster *make_roster(size_t which, const char *letters)
{
	struct generation *generation = &generations[which];

	*generation =
		(struct generation){ .proxies = lists[which], .process.drain_timeout_ms = 30000 };
	for (const char *c = letters; *c; c++) {
		size_t i = (size_t)(strchr(names, *c) - names), at = which * MOST + i;

		sockets[at] = (struct proxy_socket){ .listener = fakes[i].listener };
		proxies[at] = (struct proxy){
			.config.name = proxy_names[i],
			.sockets = &sockets[at],
			.n_sockets = 1,
			.limit = &limits[i],
		};
		fakes[i].listener->newest = generation;
		generation->proxies[generation->n_proxies++] = &proxies[at];
	}
	rosters[which] = roster_new(generation, over);
	assert_non_null(rosters[which]);
	return rosters[which];
}

/* An acceptor of @n listeners that has begun. */
static void begin(size_t n, unsigned int max)
{
	char letters[MOST + 1] = { 0 };
	struct acceptor *acceptor;

	static uint64_t later;

	simulated_reset();
	simulated.now_ms += later += 1000000; /* the log's limits stay from test to test */
	served[0] = answers[0] = said[0] = '\0';
	no_memory = false;
	memset(&process, 0, sizeof(process));
	process.workers = workers;
	process.n_workers = 1;
	process.possible_connections = 1000;
	acceptor = process.acceptor = acceptor_new(&process);
	assert_non_null(acceptor);
	acceptor->switched.deliver = switched;
	acceptor->draining.deliver = draining;
	acceptor->stopped.deliver = stopped;
	acceptor->asked_if_idle.deliver = asked_if_idle;
	for (size_t i = 0; i < n; i++) {
		make_listener(i);
		letters[i] = proxy_names[i][0] = names[i];
		limits[i] = (struct proxy_limit){ .connections.max = UINT_MAX };
	}
	atomic_store(&process.limit.max, max);
	acceptor_switch(acceptor, make_roster(0, letters));
	simulated_deliver();
	assert_string_equal(answers, "w");
	assert_int_equal(acceptor->state, ACCEPTOR_OPEN);
	answers[0] = '\0';
}

static void end(void)
{
	acceptor_free(process.acceptor);
	process.acceptor = NULL;
	for (size_t i = 0; i < 2; i++) {
		free(rosters[i]);
		rosters[i] = NULL;
	}
	for (size_t i = 0; i < MOST; i++) {
		listener_unref(fakes[i].listener);
		fakes[i] = (struct fake){ 0 };
	}
}

static int end_of_test(void **state)
{
	(void)state;
	end();
	return 0;
}

static enum acceptor_state now(void)
{
	return process.acceptor->state;
}

/* What a level-triggered loop does, once around: whoever has clients is readable. */
static bool poll_once(void)
{
	bool any = false;

	for (size_t i = 0; i < MOST; i++)
		if (fakes[i].queued > 0 || fakes[i].error != 0)
			any |= simulated_ready(FIRST_FD + (int)i, EV_READ);
	simulated_deliver();
	return any;
}

static void poll_all(void)
{
	for (int i = 0; poll_once(); i++)
		assert_true(i < 10000);
}

static void poll_one(size_t i)
{
	(void)simulated_ready(FIRST_FD + (int)i, EV_READ);
	simulated_deliver();
}

/* A connection of that proxy ends, whichever generation's. */
static void leave(size_t i)
{
	process_give_slot(&process, &proxies[i]);
	simulated_deliver();
}

/* ---- turns ---- */

static size_t position(char letter)
{
	const char *at = strchr(served, letter);

	return at ? (size_t)(at - served) : SIZE_MAX;
}

/* The one client of each other listener is not served behind the crowd. */
static void crowd_at(size_t n, unsigned int max, size_t crowded, bool warmed_up)
{
	size_t gone = 0;

	begin(n, max);
	if (warmed_up) { /* so that its turns are as long as they get */
		for (int i = 0; i < 64; i++) {
			fakes[crowded].queued = 16;
			poll_one(crowded);
			while (connection_limit_used(&process.limit) > 0)
				leave(crowded);
			poll_all();
			while (connection_limit_used(&process.limit) > 0)
				leave(crowded);
			served[0] = '\0';
		}
	}
	for (size_t i = 0; i < n; i++)
		fakes[i].queued = 1;
	fakes[crowded].queued = 100;
	for (int i = 0; gone < 100 + n - 1; i++) {
		assert_true(i < 1000);
		while (now() == ACCEPTOR_OPEN && poll_once())
			;
		if (served[gone])
			leave((size_t)(strchr(names, served[gone]) - names));
		gone++;
	}
	assert_int_equal(strlen(served), 100 + n - 1);
	for (size_t i = 0; i < n; i++)
		if (i != crowded)
			assert_true(position(names[i]) < 16 + n);
	assert_int_equal(connection_limit_used(&process.limit), 0);
	end();
}

static void test_turns_are_fair_at_every_limit(void **state)
{
	(void)state;
	for (size_t n = 1; n <= MOST; n++)
		for (unsigned int max = 1; max <= 20; max++)
			for (size_t crowded = 0; crowded < n; crowded++) {
				crowd_at(n, max, crowded, false);
				crowd_at(n, max, crowded, true);
			}
}

/* Crowds everywhere: each gets the same. */
static void test_crowds_share_alike(void **state)
{
	(void)state;
	for (size_t n = 1; n <= MOST; n++)
		for (unsigned int max = 1; max <= 20; max++) {
			unsigned int count[MOST] = { 0 };

			begin(n, max);
			for (size_t i = 0; i < n; i++)
				fakes[i].queued = 200;
			while (now() == ACCEPTOR_OPEN)
				poll_once();
			for (size_t gone = 0; gone < 10 * n; gone++)
				leave((size_t)(strchr(names, served[gone]) - names));
			for (size_t i = strlen(served) - 10 * n; served[i]; i++)
				count[strchr(names, served[i]) - names]++;
			for (size_t i = 0; i < n; i++)
				assert_int_equal(count[i], 10);
			end();
		}
}

/* Who was served while slots were free comes last when there are none. */
static void test_a_turn_while_it_is_open_is_one(void **state)
{
	(void)state;
	begin(3, 1);
	fakes[0].queued = 2;
	poll_all();
	assert_int_equal(now(), ACCEPTOR_FULL);
	fakes[1].queued = fakes[2].queued = 1;
	for (size_t i = 0; i < 3; i++)
		leave((size_t)(strchr(names, served[i]) - names));
	assert_string_equal(served, "abca");
}

/* ---- states and events ---- */

enum event_kind { CLIENT, NO_ROOM, LEAVES, TIME, DRAIN, STOP, IF_IDLE, RELOAD, EVENTS };

/* Two listeners and one slot. */
static void bring_to(enum acceptor_state state)
{
	begin(2, 1);
	switch (state) {
	case ACCEPTOR_OPEN:
		break;
	case ACCEPTOR_FULL:
		fakes[0].queued = 2;
		poll_all();
		break;
	case ACCEPTOR_PAUSED:
		fakes[0].queued = 1;
		fakes[0].error = -EMFILE;
		poll_one(0);
		fakes[0].error = 0;
		break;
	case ACCEPTOR_DRAINING:
		fakes[0].queued = 2;
		poll_all();
		acceptor_drain(process.acceptor);
		break;
	case ACCEPTOR_STOPPED:
		acceptor_stop(process.acceptor);
		break;
	}
	simulated_deliver();
	assert_int_equal(now(), state);
	served[0] = answers[0] = '\0';
}

static void happen(enum event_kind event)
{
	switch (event) {
	case CLIENT:
		fakes[1].queued++;
		poll_one(1);
		break;
	case NO_ROOM:
		fakes[1].queued++;
		fakes[1].error = -EMFILE;
		poll_one(1);
		break;
	case LEAVES:
		if (connection_limit_used(&process.limit) > 0)
			leave(0);
		break;
	case TIME:
		simulated_advance(100);
		break;
	case DRAIN:
		acceptor_drain(process.acceptor);
		break;
	case STOP:
		acceptor_stop(process.acceptor);
		break;
	case IF_IDLE:
		acceptor_stop_if_idle(process.acceptor);
		break;
	case RELOAD:
		acceptor_switch(process.acceptor, make_roster(1, "ab"));
		break;
	case EVENTS:
		break;
	}
	simulated_deliver();
}

static void test_every_state_and_event(void **state)
{
	static const struct {
		enum acceptor_state to;
		const char *answers, *served;
	} table[][EVENTS] = {
		[ACCEPTOR_OPEN] = {
			[CLIENT]  = { ACCEPTOR_OPEN, "", "b" },
			[NO_ROOM] = { ACCEPTOR_PAUSED, "", "" },
			[LEAVES]  = { ACCEPTOR_OPEN, "", "" },
			[TIME]    = { ACCEPTOR_OPEN, "", "" },
			[DRAIN]   = { ACCEPTOR_STOPPED, "s", "" },
			[STOP]    = { ACCEPTOR_STOPPED, "s", "" },
			[IF_IDLE] = { ACCEPTOR_STOPPED, "i", "" },
			[RELOAD]  = { ACCEPTOR_OPEN, "ow", "" },
		},
		[ACCEPTOR_FULL] = {
			[CLIENT]  = { ACCEPTOR_FULL, "", "" },
			[NO_ROOM] = { ACCEPTOR_FULL, "", "" },
			[LEAVES]  = { ACCEPTOR_FULL, "", "a" },
			[TIME]    = { ACCEPTOR_FULL, "", "" },
			[DRAIN]   = { ACCEPTOR_DRAINING, "d", "" },
			[STOP]    = { ACCEPTOR_STOPPED, "s", "" },
			[IF_IDLE] = { ACCEPTOR_FULL, "n", "" },
			[RELOAD]  = { ACCEPTOR_FULL, "ow", "" },
		},
		[ACCEPTOR_PAUSED] = {
			[CLIENT]  = { ACCEPTOR_PAUSED, "", "" },
			[NO_ROOM] = { ACCEPTOR_PAUSED, "", "" },
			[LEAVES]  = { ACCEPTOR_PAUSED, "", "" },
			[TIME]    = { ACCEPTOR_FULL, "", "a" },
			[DRAIN]   = { ACCEPTOR_STOPPED, "s", "a" },
			[STOP]    = { ACCEPTOR_STOPPED, "s", "" },
			[IF_IDLE] = { ACCEPTOR_PAUSED, "n", "" },
			[RELOAD]  = { ACCEPTOR_PAUSED, "ow", "" },
		},
		[ACCEPTOR_DRAINING] = {
			[CLIENT]  = { ACCEPTOR_DRAINING, "", "" },
			[NO_ROOM] = { ACCEPTOR_DRAINING, "", "" },
			[LEAVES]  = { ACCEPTOR_STOPPED, "s", "a" },
			[TIME]    = { ACCEPTOR_DRAINING, "", "" },
			[DRAIN]   = { ACCEPTOR_DRAINING, "d", "" },
			[STOP]    = { ACCEPTOR_STOPPED, "s", "" },
			[IF_IDLE] = { ACCEPTOR_DRAINING, "n", "" },
			[RELOAD]  = { ACCEPTOR_DRAINING, "", "" },
		},
		[ACCEPTOR_STOPPED] = {
			[CLIENT]  = { ACCEPTOR_STOPPED, "", "" },
			[NO_ROOM] = { ACCEPTOR_STOPPED, "", "" },
			[LEAVES]  = { ACCEPTOR_STOPPED, "", "" },
			[TIME]    = { ACCEPTOR_STOPPED, "", "" },
			[DRAIN]   = { ACCEPTOR_STOPPED, "s", "" },
			[STOP]    = { ACCEPTOR_STOPPED, "s", "" },
			[IF_IDLE] = { ACCEPTOR_STOPPED, "n", "" },
			[RELOAD]  = { ACCEPTOR_STOPPED, "", "" },
		},
	};

	(void)state;
	for (enum acceptor_state from = 0; from <= ACCEPTOR_STOPPED; from++)
		for (enum event_kind event = 0; event < EVENTS; event++) {
			/* The main thread does not reload a process that stops. */
			if (event == RELOAD && from >= ACCEPTOR_DRAINING)
				continue;
			bring_to(from);
			happen(event);
			if (now() != table[from][event].to ||
			    strcmp(answers, table[from][event].answers) != 0 ||
			    strcmp(served, table[from][event].served) != 0)
				fail_msg("state %d, event %d: state %d, answers \"%s\", "
					 "served \"%s\"",
					 from, event, now(), answers, served);
			end();
		}
}

/* ---- pauses ---- */

static const uint64_t pauses[] = { 100, 200, 400, 800, 1000, 1000, 1000 };

static void test_pauses_grow_to_a_second(void **state)
{
	static const int errors[] = { -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM };

	(void)state;
	for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
		begin(2, 10);
		fakes[0].queued = fakes[1].queued = 1;
		for (int again = 0; again < 2; again++) {
			fakes[0].error = errors[e];
			poll_one(0);
			for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
				assert_int_equal(now(), ACCEPTOR_PAUSED);
				assert_false(poll_once());
				assert_int_equal(simulated_until_next(), pauses[i]);
				/* The other one has room; that the pause is over shows it. */
				fakes[1].queued = 0;
				simulated_advance(pauses[i]);
				if (now() == ACCEPTOR_OPEN)
					poll_one(0);
			}
			fakes[0].error = 0;
			simulated_advance(1000);
			assert_int_equal(now(), ACCEPTOR_OPEN);
			assert_string_equal(served, again == 0 ? "a" : "aa");
			fakes[0].queued = 1; /* and the next time it begins small again */
		}
		end();
	}
}

static void test_out_of_memory_before_a_client_is_taken(void **state)
{
	(void)state;
	begin(1, 10);
	fakes[0].queued = 1;
	no_memory = true;
	poll_all();
	assert_int_equal(now(), ACCEPTOR_PAUSED);
	assert_int_equal(fakes[0].queued, 1);
	no_memory = false;
	simulated_advance(100);
	assert_string_equal(served, "a");
}

/* Without memory for the timer it is busy, but not stuck. */
static void test_no_timer_for_a_pause(void **state)
{
	(void)state;
	begin(1, 10);
	fakes[0].queued = 1;
	fakes[0].error = -EMFILE;
	fakes[0].left = 1;
	simulated.adds_to_fail = 1;
	poll_one(0);
	assert_int_equal(now(), ACCEPTOR_OPEN);
	assert_string_equal(served, "a");
}

/* A listener that cannot be polled again is tried again. */
static void test_no_room_to_poll(void **state)
{
	(void)state;
	begin(2, 1);
	fakes[0].queued = 2;
	poll_all();
	assert_int_equal(now(), ACCEPTOR_FULL);
	fakes[0].queued = 0; /* it has left */
	simulated.adds_to_fail = 1;
	leave(0);
	assert_int_equal(now(), ACCEPTOR_PAUSED);
	fakes[1].queued = 1;
	simulated_advance(100);
	assert_string_equal(served, "ab");
	leave(1);
	assert_int_equal(now(), ACCEPTOR_OPEN);
	fakes[0].queued = 1;
	poll_all();
	assert_string_equal(served, "aba");
}

/* ---- a listener from which nobody may accept ---- */

static void test_forbidden_listener_rests_alone(void **state)
{
	static const int errors[] = { -EPERM, -EACCES };

	(void)state;
	for (size_t e = 0; e < 2; e++) {
		begin(2, 100);
		fakes[0].queued = 1;
		fakes[0].error = errors[e];
		for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
			poll_one(0);
			assert_int_equal(now(), ACCEPTOR_OPEN);
			assert_false(simulated_ready(FIRST_FD, EV_READ));
			assert_int_equal(simulated_until_next(), pauses[i]);
			fakes[1].queued = 1;
			poll_one(1);
			assert_int_equal(fakes[1].queued, 0);
			simulated_advance(pauses[i]);
		}
		assert_in_range(count_said("listener a: accepting is forbidden"), 1, 6);
		fakes[0].error = 0;
		poll_all();
		assert_int_equal(fakes[0].queued, 0);
		fakes[0].error = errors[e];
		poll_one(0);
		assert_int_equal(simulated_until_next(), 100);
		fakes[0].error = 0;
		acceptor_drain(process.acceptor);
		simulated_deliver();
		assert_int_equal(now(), ACCEPTOR_STOPPED);
		end();
	}
}

static void test_two_that_rest(void **state)
{
	(void)state;
	begin(2, 100);
	fakes[0].queued = fakes[1].queued = 1;
	fakes[0].error = fakes[1].error = -EPERM;
	poll_one(0);
	simulated_advance(50);
	poll_one(1);
	fakes[0].error = fakes[1].error = 0;
	simulated_advance(50);
	poll_all();
	assert_string_equal(served, "a");
	simulated_advance(50);
	poll_all();
	assert_string_equal(served, "ab");
	/* Nobody can say whether there is somebody in the queue. */
	fakes[0].error = -EPERM;
	fakes[0].queued = 1;
	poll_one(0);
	leave(0);
	leave(1);
	acceptor_stop_if_idle(process.acceptor);
	simulated_deliver();
	assert_string_equal(answers, "n");
}

/* One timer is enough, which is set once: thousands may begin to rest at the same moment. */
static void test_many_that_rest(void **state)
{
	unsigned int before = 0;

	(void)state;
	begin(5, 100);
	for (size_t i = 0; i < 5; i++) {
		fakes[i].queued = 1;
		fakes[i].error = -EPERM;
		poll_one(i);
		if (i == 0)
			before = simulated.n_added;
	}
	assert_int_equal(simulated.n_added, before);
	for (size_t i = 0; i < 5; i++)
		fakes[i].error = 0;
	simulated_advance(100);
	poll_all();
	assert_string_equal(served, "abcde");
}

static void test_no_timer_for_a_rest(void **state)
{
	(void)state;
	begin(1, 100);
	fakes[0].queued = 1;
	fakes[0].error = -EPERM;
	fakes[0].left = 1;
	simulated.adds_to_fail = 1;
	poll_one(0);
	poll_all();
	assert_string_equal(served, "a");
}

/* ---- a rate ---- */

static void set_rate(size_t i, unsigned int count, unsigned int burst)
{
	proxies[i].config.connection_rate =
		(struct rate){ .count = count, .burst = burst, .period_ns = UINT64_C(1000000000) };
}

/* How many of those who wait are accepted, each time that much after it could be. */
static size_t accepted_in(uint64_t ms, uint64_t late_ms)
{
	uint64_t until = simulated.now_ms + ms;
	size_t n = 0;

	while (simulated.now_ms < until) {
		uint64_t next_ms;

		poll_all();
		n += strlen(served);
		served[0] = '\0';
		next_ms = simulated_until_next();
		simulated_advance(next_ms < until - simulated.now_ms ? next_ms + late_ms
								     : until - simulated.now_ms);
	}
	return n;
}

/* Timers are late, by milliseconds: that makes the rate of those who wait no lower. */
static void test_rate_is_kept_by_late_timers(void **state)
{
	static const struct {
		unsigned int count, burst, late_ms;
	} table[] = { { 100, 1, 0 },  { 100, 1, 4 },  { 100, 1, 15 }, { 1000, 1, 0 },
		      { 1000, 1, 3 }, { 200, 10, 4 }, { 10, 1, 15 } };

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t wanted = 10 * (size_t)table[i].count + table[i].burst, n;

		begin(1, 100000);
		set_rate(0, table[i].count, table[i].burst);
		fakes[0].queued = 100000;
		n = accepted_in(10000, table[i].late_ms);
		if (n < wanted - wanted / 100 - 1 || n > wanted + 1)
			fail_msg("%u/s %u: %zu in 10 s", table[i].count, table[i].burst, n);
		end();
	}
}

/* What nobody has waited for is not made up. */
static void test_rate_of_those_who_come_late(void **state)
{
	(void)state;
	begin(1, 100);
	set_rate(0, 100, 1);
	fakes[0].queued = 2; /* the second one waits */
	assert_int_equal(accepted_in(1000, 0), 2);
	fakes[0].queued = 50;
	assert_in_range(accepted_in(100, 0), 10, 13);
	/* Whoever finds nobody knows that nobody waits. */
	fakes[0].queued = 0;
	poll_one(0);
	simulated_advance(15);
	poll_one(0);
	fakes[0].queued = 50;
	served[0] = '\0';
	poll_all();
	assert_int_equal(strlen(served), 1);
}

/* ---- a listener that broke ---- */

static void test_given_up_until_a_reload(void **state)
{
	(void)state;
	begin(2, 100);
	fakes[0].error = -EINVAL;
	poll_one(0);
	assert_int_equal(count_said("listener a: accepting failed"), 1);
	assert_false(simulated_ready(FIRST_FD, EV_READ));
	assert_int_equal(atomic_load(&process.exit_status), 1);
	fakes[0].error = 0;
	fakes[0].queued = 1;
	acceptor_switch(process.acceptor, make_roster(1, "ab"));
	simulated_deliver();
	poll_all();
	assert_string_equal(served, "a");
}

static void test_the_last_one_that_broke_ends_accepting(void **state)
{
	(void)state;
	begin(2, 100);
	fakes[0].error = fakes[1].error = -EINVAL;
	poll_one(0);
	assert_string_equal(answers, "");
	poll_one(1);
	assert_string_equal(answers, "s");
	assert_int_equal(now(), ACCEPTOR_STOPPED);
}

static void test_single_connection_is_asked_for_once(void **state)
{
	(void)state;
	begin(2, 100);
	fakes[0].listener->sockets[0].is_single = true;
	fakes[0].queued = 2;
	poll_all();
	assert_string_equal(served, "a");
	assert_string_equal(answers, "");
	acceptor_switch(process.acceptor, make_roster(1, "ab"));
	simulated_deliver();
	poll_all();
	assert_string_equal(served, "a");
	fakes[1].error = -ESHUTDOWN;
	poll_one(1);
	assert_string_equal(answers, "ows");
	assert_int_equal(atomic_load(&process.exit_status), 0);
}

/* ---- a stop with clients in the queue ---- */

static void fill(unsigned int max, unsigned int queued)
{
	begin(2, max);
	fakes[0].queued = max;
	poll_all();
	assert_int_equal(connection_limit_used(&process.limit), max);
	fakes[0].queued = queued;
	poll_all();
	served[0] = '\0';
}

static void test_drain_serves_the_queue_as_slots_come(void **state)
{
	(void)state;
	for (int known = 0; known < 2; known++) {
		fill(1, 3);
		fakes[0].says_queued = known;
		fakes[1].queued = 2;
		acceptor_drain(process.acceptor);
		simulated_deliver();
		assert_string_equal(answers, "d");
		for (int i = 0; i < 5; i++) {
			assert_int_equal(now(), ACCEPTOR_DRAINING);
			leave(0);
		}
		assert_int_equal(strlen(served), 5);
		/* Where the kernel does not say how many there were, the end shows with the next
		 * slot. */
		if (!known)
			leave(0);
		assert_string_equal(answers, "ds");
		assert_int_equal(now(), ACCEPTOR_STOPPED);
		end();
	}
}

static void test_drain_takes_nobody_who_comes_later(void **state)
{
	(void)state;
	fill(1, 2);
	acceptor_drain(process.acceptor);
	simulated_deliver();
	fakes[0].queued += 5;
	leave(0);
	leave(0);
	assert_string_equal(answers, "ds");
	assert_string_equal(served, "aa");
	assert_int_equal(fakes[0].queued, 5);
}

/* They would be lost otherwise: one a second gets in past the limit. */
static void test_drain_is_not_patient_for_ever(void **state)
{
	(void)state;
	fill(2, 3);
	acceptor_drain(process.acceptor);
	simulated_deliver();
	simulated_advance(999);
	assert_string_equal(served, "");
	simulated_advance(1);
	assert_string_equal(served, "a");
	simulated_advance(600);
	leave(0);
	leave(0);
	assert_string_equal(served, "aa"); /* three were up */
	simulated_advance(999);
	assert_string_equal(served, "aa");
	simulated_advance(1);
	simulated_deliver();
	assert_string_equal(served, "aaa");
	assert_string_equal(answers, "ds");
}

/* Descriptors are the limit that nothing gets past. */
static void test_patience_has_no_descriptors(void **state)
{
	(void)state;
	process.possible_connections = 2;
	fill(2, 3);
	process.possible_connections = 2;
	acceptor_drain(process.acceptor);
	simulated_deliver();
	simulated_advance(20000);
	assert_string_equal(served, "");
	process.possible_connections = 3;
	simulated_advance(20000);
	assert_string_equal(served, "a");
}

static void test_drain_that_is_ended_counts_the_rest(void **state)
{
	(void)state;
	fill(1, 3);
	fakes[1].queued = 2;
	acceptor_drain(process.acceptor);
	acceptor_stop(process.acceptor);
	simulated_deliver();
	assert_string_equal(answers, "ds");
	assert_int_equal(count_said("listener a: 3 client(s) in the queue were turned away"), 1);
	assert_int_equal(count_said("listener b: 2 client(s) in the queue were turned away"), 1);
	assert_int_equal(fakes[0].queued + fakes[1].queued, 0);
	assert_string_equal(served, "");
}

/* Without a descriptor to take them with, closing the listener resets them, and they count too. */
static void test_rest_without_descriptors_counts_too(void **state)
{
	(void)state;
	fill(1, 3);
	acceptor_drain(process.acceptor);
	simulated_deliver();
	fakes[0].error = -EMFILE;
	acceptor_stop(process.acceptor);
	simulated_deliver();
	assert_int_equal(count_said("listener a: 3 client(s) in the queue were turned away"), 1);
}

static void test_what_others_have_is_left_to_them(void **state)
{
	(void)state;
	fill(1, 3);
	fakes[1].queued = 2;
	fakes[0].listener->is_shared = true;
	fakes[1].listener->is_own = false;
	acceptor_drain(process.acceptor);
	acceptor_stop(process.acceptor);
	simulated_deliver();
	assert_int_equal(fakes[0].queued, 3);
	assert_int_equal(fakes[1].queued, 2);
	assert_int_equal(count_said("listener a: 3 client(s) are left in the queue"), 1);
	assert_int_equal(count_said("listener b: 2 client(s) are left in the queue"), 1);
}

static void test_what_was_taken_over_is_not_drained(void **state)
{
	(void)state;
	fill(1, 3);
	fakes[1].queued = 1;
	fakes[0].listener->is_taken_over = true;
	acceptor_drain(process.acceptor);
	simulated_deliver();
	leave(0);
	assert_string_equal(served, "b");
	assert_string_equal(answers, "ds");
	assert_int_equal(fakes[0].queued, 3);
}

/* A stop that is no end of a drain leaves the queue to whoever opens the socket next. */
static void test_stop_takes_nobody(void **state)
{
	(void)state;
	fill(1, 3);
	acceptor_stop(process.acceptor);
	simulated_deliver();
	assert_int_equal(fakes[0].queued, 3);
	assert_string_equal(answers, "s");
}

static void test_pause_in_a_drain(void **state)
{
	(void)state;
	fill(1, 2);
	acceptor_drain(process.acceptor);
	simulated_deliver();
	fakes[0].error = -EMFILE;
	leave(0);
	assert_int_equal(now(), ACCEPTOR_DRAINING);
	fakes[0].error = 0;
	simulated_advance(100);
	simulated_deliver();
	assert_string_equal(served, "a");
	leave(0);
	assert_string_equal(answers, "ds");
}

/* ---- a reload that drops a listener ---- */

static void drop_a(void)
{
	fill(1, 2);
	acceptor_switch(process.acceptor, make_roster(1, "b"));
	simulated_deliver();
}

static void test_dropped_listener_is_served_as_slots_come(void **state)
{
	(void)state;
	drop_a();
	assert_string_equal(answers, "w"); /* the new one is in use at once */
	fakes[0].queued += 3;              /* they come too late */
	fakes[1].queued = 2;
	leave(0);
	leave(0);
	leave(0);
	leave(0);
	assert_string_equal(answers, "wo");
	assert_int_equal(position('a'), 0);
	assert_int_equal(strlen(served), 4);
	assert_int_equal(fakes[0].queued, 3);
	assert_int_equal(fakes[1].queued, 0);
}

static void test_dropped_listener_with_slots_free(void **state)
{
	(void)state;
	begin(2, 100);
	fakes[0].queued = 50;
	acceptor_switch(process.acceptor, make_roster(1, "b"));
	simulated_deliver();
	assert_int_equal(strlen(served), 50);
	assert_string_equal(answers, "wo");
	fakes[1].queued = 1;
	poll_all();
	assert_int_equal(strlen(served), 51);
}

static void test_dropped_listener_has_a_deadline(void **state)
{
	(void)state;
	drop_a();
	process.possible_connections = 0; /* so that patience helps nobody */
	simulated_advance(29999);
	simulated_deliver();
	assert_string_equal(answers, "w");
	simulated_advance(1);
	simulated_deliver();
	assert_string_equal(answers, "wo");
	assert_int_equal(count_said("listener a: 2 client(s) in the queue were turned away"), 1);
	fakes[1].queued = 1;
	leave(0);
	assert_string_equal(served, "b");
}

static void test_dropped_listener_that_comes_back(void **state)
{
	(void)state;
	drop_a();
	rosters[0] = NULL; /* it is freed when it is over, and there is another in its place */
	acceptor_switch(process.acceptor, make_roster(0, "ab"));
	simulated_deliver();
	assert_string_equal(answers, "woow");
	fakes[0].queued = 4;
	for (int i = 0; i < 4; i++)
		leave(0);
	assert_int_equal(fakes[0].queued, 0);
	leave(0);
	fakes[0].queued = 1;
	poll_all();
	assert_string_equal(served, "aaaaa");
}

static void test_stop_while_a_dropped_one_is_served(void **state)
{
	(void)state;
	drop_a();
	acceptor_drain(process.acceptor);
	simulated_deliver();
	assert_string_equal(answers, "wd");
	leave(0);
	leave(0);
	assert_string_equal(answers, "wdos");
	assert_string_equal(served, "aa");
}

/* ---- several proxies ---- */

static void test_last_eighth_is_for_the_others(void **state)
{
	static const struct {
		unsigned int max, most;
	} rows[] = { { 1, 1 }, { 2, 1 },   { 3, 2 },   { 7, 6 },   { 8, 7 },
		     { 9, 7 }, { 16, 14 }, { 20, 17 }, { 100, 87 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(2, 1);
		process.generation = &generations[0];
		process_set_limit(&process, rows[i].max);
		fakes[0].queued = 200;
		poll_all();
		assert_int_equal(strlen(served), rows[i].most);
		assert_int_equal(connection_limit_used(&limits[0].connections), rows[i].most);
		if (rows[i].most < rows[i].max) {
			assert_int_equal(count_said("as many as leave the other proxies"), 1);
			fakes[1].queued = 200;
			poll_all();
			assert_int_equal(strlen(served), rows[i].max);
		}
		end();
	}
}

/* max-held: whoever no server has answered yet counts, and other proxies go on. */
static void test_proxy_that_holds_as_many_as_it_may(void **state)
{
	(void)state;
	begin(2, 100);
	process.generation = &generations[0];
	proxies[0].config.max_held = 2;
	process_set_limit(&process, 100);
	fakes[0].queued = 5;
	poll_all();
	assert_string_equal(served, "aa");
	assert_int_equal(count_said("its max-held is reached"), 1);
	assert_int_equal(connection_limit_used(&limits[0].connections), 2);
	fakes[1].queued = 3;
	poll_all();
	assert_string_equal(served, "aabbb");
	process_unhold(&process, &proxies[0]); /* a server has answered */
	simulated_deliver();
	assert_string_equal(served, "aabbba");
	leave(0); /* that connection ends: nobody else is let in for it */
	assert_string_equal(served, "aabbba");
	process_unhold(&process, &proxies[0]);
	process_unhold(&process, &proxies[0]);
	simulated_deliver();
	poll_all();
	assert_string_equal(served, "aabbbaaa");
	assert_int_equal(connection_limit_used(&limits[0].held), 2);

	/* a queue that will be closed is let in all the same, one a second */
	fakes[0].queued = 1;
	poll_all();
	acceptor_drain(process.acceptor);
	simulated_deliver();
	simulated_advance(1000);
	assert_int_equal(fakes[0].queued, 0);
	proxies[0].config.max_held = 0;
	end();
}

static void test_held_proxy_goes_on_when_its_connection_ends(void **state)
{
	(void)state;
	begin(2, 8);
	process.generation = &generations[0];
	process_set_limit(&process, 8);
	fakes[0].queued = 9;
	poll_all();
	assert_string_equal(served, "aaaaaaa");
	assert_int_equal(now(), ACCEPTOR_OPEN);
	assert_false(simulated_ready(FIRST_FD, EV_READ));
	fakes[1].queued = 1;
	poll_all();
	leave(1);
	assert_string_equal(served, "aaaaaaab");
	leave(0);
	assert_string_equal(served, "aaaaaaaba");
	poll_all(); /* the last one finds none again */
	leave(0);
	assert_string_equal(served, "aaaaaaabaa");
	leave(0);
	fakes[0].queued = 1;
	poll_all();
	assert_int_equal(fakes[0].queued, 0);
}

static void test_who_has_the_most_is_named(void **state)
{
	(void)state;
	begin(2, 8);
	process.generation = &generations[0];
	process_set_limit(&process, 8);
	fakes[0].queued = fakes[1].queued = 20;
	fakes[1].queued = 2;
	poll_all();
	assert_int_equal(count_said("with 8 up, of which [proxy a] has 6"), 1);
	leave(0);
	assert_int_equal(count_said("max-connections is reached"), 1);
	simulated_advance(60000);
	leave(0);
	assert_int_equal(count_said("max-connections is reached"), 2);
}

static void test_one_proxy_may_have_all(void **state)
{
	(void)state;
	begin(1, 8);
	process.generation = &generations[0];
	process_set_limit(&process, 8);
	fakes[0].queued = 20;
	poll_all();
	assert_int_equal(strlen(served), 8);
	assert_int_equal(count_said("with 8 up: further clients wait"), 1);
}

static const struct backend *shared[2];

void __wrap_backend_share(struct backend *backend, const struct backend *before);
void __wrap_backend_share(struct backend *backend, const struct backend *before)
{
	assert_null(shared[0]);
	shared[0] = backend;
	shared[1] = before;
}

/* The connections from before a reload count, and what is known of servers. */
static void test_limit_is_shared_by_generations(void **state)
{
	struct proxy before[2] = { { .config.name = (char *)"y", .limit = &limits[1] },
				   { .config.name = (char *)"x",
				     .limit = &limits[0],
				     .backend = (struct backend *)&limits[0] } };
	struct proxy_limit own = { .refs = 2 };
	struct proxy after = { .config.name = (char *)"x",
			       .limit = &own,
			       .backend = (struct backend *)&limits[1] };
	struct proxy fresh = { .config.name = (char *)"z" };
	struct proxy *old[] = { &before[0], &before[1] }, *new[] = { &fresh, &after };
	struct generation older = { .proxies = old, .n_proxies = 2 };
	struct generation next = { .proxies = new, .n_proxies = 2 };

	(void)state;
	limits[0].refs = 1;
	generation_share(&next, &older);
	assert_ptr_equal(after.limit, &limits[0]);
	assert_int_equal(limits[0].refs, 2);
	assert_int_equal(own.refs, 1);
	assert_null(fresh.limit);
	assert_ptr_equal(shared[0], after.backend);
	assert_ptr_equal(shared[1], before[1].backend);
}

#define ends(test) cmocka_unit_test_teardown(test, end_of_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ends(test_turns_are_fair_at_every_limit),
		ends(test_crowds_share_alike),
		ends(test_a_turn_while_it_is_open_is_one),
		ends(test_every_state_and_event),
		ends(test_pauses_grow_to_a_second),
		ends(test_out_of_memory_before_a_client_is_taken),
		ends(test_no_timer_for_a_pause),
		ends(test_no_room_to_poll),
		ends(test_forbidden_listener_rests_alone),
		ends(test_two_that_rest),
		ends(test_many_that_rest),
		ends(test_no_timer_for_a_rest),
		ends(test_rate_is_kept_by_late_timers),
		ends(test_rate_of_those_who_come_late),
		ends(test_given_up_until_a_reload),
		ends(test_the_last_one_that_broke_ends_accepting),
		ends(test_single_connection_is_asked_for_once),
		ends(test_drain_serves_the_queue_as_slots_come),
		ends(test_drain_takes_nobody_who_comes_later),
		ends(test_drain_is_not_patient_for_ever),
		ends(test_patience_has_no_descriptors),
		ends(test_drain_that_is_ended_counts_the_rest),
		ends(test_rest_without_descriptors_counts_too),
		ends(test_what_others_have_is_left_to_them),
		ends(test_what_was_taken_over_is_not_drained),
		ends(test_stop_takes_nobody),
		ends(test_pause_in_a_drain),
		ends(test_dropped_listener_is_served_as_slots_come),
		ends(test_dropped_listener_with_slots_free),
		ends(test_dropped_listener_has_a_deadline),
		ends(test_dropped_listener_that_comes_back),
		ends(test_stop_while_a_dropped_one_is_served),
		ends(test_last_eighth_is_for_the_others),
		ends(test_proxy_that_holds_as_many_as_it_may),
		ends(test_held_proxy_goes_on_when_its_connection_ends),
		ends(test_who_has_the_most_is_named),
		ends(test_one_proxy_may_have_all),
		ends(test_limit_is_shared_by_generations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
