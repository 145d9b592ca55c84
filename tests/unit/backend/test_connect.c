/* SPDX-License-Identifier: MIT */
/*
 * Attempts to connect, on simulated time and without a socket: which state follows from
 * what, and what is done then.  Each row is a script and what it must leave behind.
 */
#include "tests/unit/simulated.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/connect.h"
#include "daemon/backend/mux.h"
#include "daemon/base/loop.h"

/* As resolve-interval is by default. */
#define FRESH_MS 10000

#define MAX_SOCKETS  512
#define FIRST_SOCKET 1000

/* Address N is 10.0.0.N:80. */
#define MAX_ADDRESS 200

enum { GONE = -1 }; /* no attempt is left */

static struct {
	char trace[4096];
	int dialled[MAX_ADDRESS + 1]; /* what dial() returns for each address */
	int result[MAX_SOCKETS];      /* what dial_result() does */
	unsigned int address[MAX_SOCKETS];
	bool open[MAX_SOCKETS];
	unsigned int n_sockets;
	struct address_list *literal, *last, *fresh;
	struct resolver_wait *wait; /* queued */
	bool over;                  /* the outcome was told */
	char log[256];
	bool is_timed;          /* what is asked for */
	struct outcome outcome; /* the last one */
} scene;

static struct loop loop;
static struct backend *backend;
static struct attempt *attempt;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
	size_t len = strlen(scene.trace);
	va_list args;

	if (len > 0)
		scene.trace[len++] = ' ';
	va_start(args, format);
	vsnprintf(scene.trace + len, sizeof(scene.trace) - len, format, args);
	va_end(args);
}

/* ---- what stands in for the rest of the room ---- */

int __wrap_dial(const struct dial_options *options, const struct sfront_sockaddr *client,
		const struct sfront_sockaddr *addr, int *ret_fd);
int __wrap_dial(const struct dial_options *options, const struct sfront_sockaddr *client,
		const struct sfront_sockaddr *addr, int *ret_fd)
{
	unsigned int n = ntohl(addr->sa.in.sin_addr.s_addr) & 0xff;
	int r = scene.dialled[n];

	(void)client;
	assert_true(options->nodelay);
	note("dial%u", n);
	if (r != 0 && r != -ECONNRESET && r != -EINPROGRESS)
		return r;
	assert_in_range(scene.n_sockets, 0, MAX_SOCKETS - 1);
	scene.address[scene.n_sockets] = n;
	scene.open[scene.n_sockets] = true;
	scene.result[scene.n_sockets] = -EINPROGRESS;
	*ret_fd = FIRST_SOCKET + (int)scene.n_sockets++;
	return r;
}

int __wrap_dial_result(const struct dial_options *options, const struct sfront_sockaddr *addr,
		       int fd, struct mux_answer *answer);
int __wrap_dial_result(const struct dial_options *options, const struct sfront_sockaddr *addr,
		       int fd, struct mux_answer *answer)
{
	assert_int_equal(ntohl(addr->sa.in.sin_addr.s_addr) & 0xff,
			 scene.address[fd - FIRST_SOCKET]);
	assert_int_equal(options->mux_port, 0);
	assert_int_equal(answer->length, 0);
	return scene.result[fd - FIRST_SOCKET];
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	if (fd < FIRST_SOCKET)
		return __real_close(fd);
	assert_true(scene.open[fd - FIRST_SOCKET]);
	scene.open[fd - FIRST_SOCKET] = false;
	note("close%u", scene.address[fd - FIRST_SOCKET]);
	return 0;
}

void __wrap_log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void __wrap_log_line(int priority, const char *format, ...)
{
	va_list args;

	(void)priority;
	va_start(args, format);
	vsnprintf(scene.log, sizeof(scene.log), format, args);
	va_end(args);
	note("log");
}

struct address_list *__wrap_resolver_literal(const struct resolver *resolver);
struct address_list *__wrap_resolver_literal(const struct resolver *resolver)
{
	(void)resolver;
	return scene.literal;
}

struct address_list *__wrap_resolver_ask(struct resolver *resolver, uint64_t max_age_ms,
					 struct resolver_wait *wait);
struct address_list *__wrap_resolver_ask(struct resolver *resolver, uint64_t max_age_ms,
					 struct resolver_wait *wait)
{
	(void)resolver;
	if (scene.literal)
		return address_list_ref(scene.literal);
	note(max_age_ms == FRESH_MS ? "ask" : "doubt");
	if (scene.fresh)
		return address_list_ref(scene.fresh);
	assert_null(scene.wait);
	scene.wait = wait;
	return NULL;
}

struct address_list *__wrap_resolver_last(struct resolver *resolver);
struct address_list *__wrap_resolver_last(struct resolver *resolver)
{
	(void)resolver;
	return scene.last ? address_list_ref(scene.last) : NULL;
}

bool __wrap_resolver_cancel(struct resolver *resolver, struct resolver_wait *wait);
bool __wrap_resolver_cancel(struct resolver *resolver, struct resolver_wait *wait)
{
	bool queued = scene.wait == wait;

	(void)resolver;
	note(queued ? "unask" : "too-late");
	scene.wait = NULL;
	return queued;
}

/* ---- scripts ---- */

static struct address_list *list_of(const char *numbers)
{
	struct address_list *list =
		calloc(1, sizeof(*list) + MAX_ADDRESS * sizeof(*list->addresses));

	assert_non_null(list);
	atomic_init(&list->refs, 1);
	while (*numbers) {
		char *end;
		unsigned long n = strtoul(numbers, &end, 10);
		struct sfront_sockaddr *addr = &list->addresses[list->n++];

		addr->len = sizeof(addr->sa.in);
		addr->sa.in.sin_family = AF_INET;
		addr->sa.in.sin_port = htons(80);
		addr->sa.in.sin_addr.s_addr = htonl(0x0a000000 + (uint32_t)n);
		numbers = *end == ',' ? end + 1 : end;
	}
	return list;
}

static void told(void *arg, const struct outcome *outcome)
{
	assert_ptr_equal(arg, &scene);
	assert_false(scene.over);
	scene.over = true;
	scene.outcome = *outcome;
	if (outcome->fd >= FIRST_SOCKET) {
		note("done%u%s", scene.address[outcome->fd - FIRST_SOCKET],
		     outcome->error ? "!" : "");
		scene.open[outcome->fd - FIRST_SOCKET] = false;
		assert_ptr_equal(outcome->server, backend_server(backend, 0));
		backend_leave(backend, outcome->server);
	} else {
		note("[%s]", outcome->reason);
	}
}

static void make_backend(uint64_t timeout_ms, bool retry)
{
	struct server_config server;
	struct proxy_config config = { .connect_timeout_ms = timeout_ms,
				       .check = { .interval_ms = SFRONT_INFINITY_MS,
						  .timeout_ms = 2000 },
				       .connect_retry = retry,
				       .resolve_interval_ms = FRESH_MS,
				       .backend_nodelay = true,
				       .servers = &server,
				       .n_servers = 1 };
	struct loop_guard *guard = loop_guard_new();
	struct sfront_error err;

	assert_int_equal(server_parse("10.0.0.1:80", &server, &err), 0);
	backend_unref(backend);
	backend = backend_new(&config, guard, &err);
	loop_guard_unref(guard);
	assert_non_null(backend);
}

static void start(void)
{
	struct outcome outcome;
	int r;

	scene.over = false;
	r = attempt_start(&loop, backend, &(struct attempt_client){ .is_timed = scene.is_timed },
			  told, &scene, &attempt, &outcome);
	if (r == 0) {
		told(&scene, &outcome);
		note("at-once");
	} else {
		note(r == -EINPROGRESS ? "started" : "no-memory");
	}
}

/* The answer is on its way. */
static void post(struct address_list *list, int error)
{
	struct resolver_wait *wait = scene.wait;

	assert_non_null(wait);
	scene.wait = NULL;
	wait->list = list;
	wait->error = error;
	mailbox_post(wait->mailbox, &wait->message);
}

/* The newest socket to that address is ready, with this result. */
static void ready(unsigned int address, int result)
{
	for (unsigned int i = scene.n_sockets; i-- > 0;) {
		if (scene.open[i] && scene.address[i] == address) {
			scene.result[i] = result;
			assert_true(simulated_ready(FIRST_SOCKET + (int)i, EV_WRITE));
			return;
		}
	}
	fail_msg("no socket to address %u is open", address);
}

/* "literal=", "last=", "fresh=": lists; an empty one is none. */
static void set_list(struct address_list **list, const char *numbers)
{
	address_list_unref(*list);
	*list = *numbers ? list_of(numbers) : NULL;
}

static void step(const char *word, const char *value)
{
	static const struct {
		const char *name;
		int error;
	} errors[] = {
		{ "refused", -ECONNREFUSED }, { "forbidden", -EACCES },    { "reset", -ECONNRESET },
		{ "pending", -EINPROGRESS },  { "no-name", -ENOENT },      { "no-server", -EAGAIN },
		{ "ours", -ELOOP },           { "no-interface", -ENODEV }, { "up", 0 }
	};
	unsigned long number = strtoul(value, NULL, 10);

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (strcmp(word, errors[i].name) != 0)
			continue;
		if (*value == '\0')
			post(NULL, errors[i].error), simulated_deliver();
		else if (*value == '@') /* dial() itself says so from now on */
			scene.dialled[strtoul(value + 1, NULL, 10)] = errors[i].error;
		else
			ready((unsigned int)number, errors[i].error);
		return;
	}
	if (strcmp(word, "start") == 0)
		start();
	else if (strcmp(word, "literal") == 0)
		set_list(&scene.literal, value);
	else if (strcmp(word, "last") == 0)
		set_list(&scene.last, value);
	else if (strcmp(word, "fresh") == 0)
		set_list(&scene.fresh, value);
	else if (strcmp(word, "wait") == 0)
		simulated_advance(number);
	else if (strcmp(word, "answer") == 0)
		post(list_of(value), 0), simulated_deliver();
	else if (strcmp(word, "posted") == 0)
		post(list_of(value), 0);
	else if (strcmp(word, "deliver") == 0)
		simulated_deliver();
	else if (strcmp(word, "cancel") == 0)
		attempt_cancel(attempt);
	else if (strcmp(word, "timeout") == 0)
		make_backend(strtoull(value, NULL, 10), true);
	else if (strcmp(word, "no-retry") == 0)
		make_backend(10000, false);
	else if (strcmp(word, "no-events") == 0)
		simulated.adds_to_fail = (unsigned int)number;
	else
		fail_msg("no such step: %s", word);
}

static void play(const char *script)
{
	char words[512], *at = words, *word, *value;

	assert_in_range(snprintf(words, sizeof(words), "%s", script), 0, sizeof(words) - 1);
	while ((word = strsep(&at, " "))) {
		value = strchr(word, '=');
		if (value)
			*value++ = '\0';
		step(word, value ? value : "");
	}
}

static void begin(void)
{
	simulated_reset();
	scene = (typeof(scene)){ .over = false };
	for (unsigned int i = 0; i <= MAX_ADDRESS; i++)
		scene.dialled[i] = -EINPROGRESS;
	attempt = NULL;
	make_backend(10000, true);
}

/* Nothing is left of what the attempt had; ASan looks at the memory. */
static void assert_gone(void)
{
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
	for (unsigned int i = 0; i < scene.n_sockets; i++)
		assert_false(scene.open[i]);
	assert_null(simulated.first);
	assert_null(scene.wait);
}

static void finish(int state)
{
	if (state != GONE) {
		if (state != CONNECT_ENDED)
			attempt_cancel(attempt);
		simulated_deliver();
	}
	assert_gone();
	assert_int_equal(server_active(backend_server(backend, 0)), 0);
	set_list(&scene.literal, "");
	set_list(&scene.last, "");
	set_list(&scene.fresh, "");
	backend_unref(backend);
	backend = NULL;
}

struct row {
	const char *script, *trace;
	int state;
};

static void check(const struct row *row)
{
	begin();
	play(row->script);
	if (strcmp(scene.trace, row->trace) != 0)
		fail_msg("%s\n  leaves  %s\n  but not %s", row->script, scene.trace, row->trace);
	if (row->state != GONE && (int)attempt_state(attempt) != row->state)
		fail_msg("%s: state %d, not %d", row->script, attempt_state(attempt), row->state);
	finish(row->state);
}

static void check_all(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check(&rows[i]);
}

#define CHECK(rows) check_all(rows, sizeof(rows) / sizeof((rows)[0]))

/* ---- state by event ---- */

static void test_waiting(void **state)
{
	static const struct row rows[] = {
		{ "start", "started", CONNECT_WAITING },
		{ "start wait=0", "started ask", CONNECT_RESOLVING },
		{ "fresh=1 start wait=0", "started ask dial1", CONNECT_TRYING },
		{ "fresh=1 up=@1 start wait=0", "started ask dial1 done1", GONE },
		{ "start cancel", "started", GONE },
		{ "fresh=1 refused=@1 start wait=0", "started ask dial1 log", CONNECT_WAITING },
		{ "fresh=1 refused=@1 start wait=9", "started ask dial1 log", CONNECT_WAITING },
		{ "fresh=1 refused=@1 start wait=10", "started ask dial1 log doubt dial1",
		  CONNECT_WAITING },
		{ "fresh=1 refused=@1 start wait=5 cancel", "started ask dial1 log", GONE },
		/* what may pass was the failure of another round */
		{ "fresh=1 refused=@1 start wait=0 forbidden=@1 wait=10",
		  "started ask dial1 log doubt dial1 [connect failed: Permission denied]", GONE },
		{ "timeout=5 fresh=1 refused=@1 start wait=5",
		  "started ask dial1 log [connect failed: Connection refused]", GONE },
	};

	(void)state;
	CHECK(rows);
}

static void test_resolving(void **state)
{
	static const struct row rows[] = {
		{ "start wait=0 answer=1", "started ask dial1", CONNECT_TRYING },
		{ "up=@1 start wait=0 answer=1", "started ask dial1 done1", GONE },
		{ "start wait=0 no-name", "started ask log", CONNECT_WAITING },
		{ "start wait=0 no-server", "started ask log", CONNECT_WAITING },
		{ "start wait=0 no-interface", "started ask log", CONNECT_WAITING },
		{ "start wait=0 ours",
		  "started ask [connect failed: the name leads to a listener of ours]", GONE },
		{ "no-retry start wait=0 no-name",
		  "started ask [connect failed: the name does not resolve]", GONE },
		{ "start wait=0 no-name wait=10 answer=1", "started ask log doubt dial1",
		  CONNECT_TRYING },
		{ "start wait=0 cancel", "started ask unask", GONE },
		/* a name server that is late: an older answer after a second, none: connect-timeout
		 */
		{ "last=1 start wait=999", "started ask", CONNECT_RESOLVING },
		{ "last=1 start wait=1000", "started ask dial1", CONNECT_TRYING },
		{ "start wait=9999", "started ask", CONNECT_RESOLVING },
		{ "start wait=9999 answer=1", "started ask dial1", CONNECT_TRYING },
		{ "start wait=10000",
		  "started ask unask [connect failed: the name does not resolve at the moment]",
		  GONE },
		/* the answer is on its way when the attempt ends: it frees it */
		{ "start wait=0 posted=1 cancel", "started ask too-late", CONNECT_ENDED },
		{ "start wait=0 posted=1 cancel deliver", "started ask too-late", GONE },
		{ "start wait=0 posted=1 wait=10000",
		  "started ask too-late [connect failed: the name does not resolve at the moment]",
		  CONNECT_ENDED },
	};

	(void)state;
	CHECK(rows);
}

static void test_trying(void **state)
{
	static const struct row rows[] = {
		{ "literal=1 up=@1 start", "dial1 done1 at-once", GONE },
		{ "literal=1 reset=@1 start", "dial1 done1! at-once", GONE },
		{ "literal=1 start", "dial1 started", CONNECT_TRYING },
		{ "literal=1 start up=1", "dial1 started done1", GONE },
		{ "literal=1 start reset=1", "dial1 started done1!", GONE },
		{ "literal=1 start pending=1", "dial1 started", CONNECT_TRYING },
		{ "literal=1 start refused=1", "dial1 started close1 log", CONNECT_WAITING },
		{ "literal=1 start forbidden=1",
		  "dial1 started close1 [connect failed: Permission denied]", GONE },
		{ "literal=1 start cancel", "dial1 started close1", GONE },
		{ "literal=1 start wait=9999", "dial1 started", CONNECT_TRYING },
		{ "literal=1 start wait=10000", "dial1 started close1 [connect timeout]", GONE },
		{ "literal=1 refused=@1 start", "dial1 started", CONNECT_TRYING },
		{ "literal=1 refused=@1 start wait=0", "dial1 started log", CONNECT_WAITING },
		{ "literal=1 forbidden=@1 start wait=0",
		  "dial1 started [connect failed: Permission denied]", GONE },
		{ "literal=1 refused=@1 start cancel", "dial1 started", GONE },
		/* it had refused before, but what failed now is that it does not answer */
		{ "literal=1 refused=@1 start wait=0 pending=@1 wait=10000",
		  "dial1 started log dial1 close1 [connect timeout]", GONE },
	};

	(void)state;
	CHECK(rows);
}

/* ---- RFC 8305 ---- */

static void test_addresses_race(void **state)
{
	static const struct row rows[] = {
		{ "fresh=1,2,3 start wait=249", "started ask dial1", CONNECT_TRYING },
		{ "fresh=1,2,3 start wait=250", "started ask dial1 dial2", CONNECT_TRYING },
		{ "fresh=1,2,3 start wait=500", "started ask dial1 dial2 dial3", CONNECT_TRYING },
		/* the first one that answers wins, the others are closed */
		{ "fresh=1,2,3 start wait=500 up=2",
		  "started ask dial1 dial2 dial3 close3 close1 done2", GONE },
		{ "fresh=1,2,3 start wait=500 up=1",
		  "started ask dial1 dial2 dial3 close3 close2 done1", GONE },
		{ "fresh=1,2 up=@2 start wait=250", "started ask dial1 dial2 close1 done2", GONE },
		/* one that fails makes room for the next at once, and the others go on */
		{ "fresh=1,2,3 start wait=0 refused=1", "started ask dial1 close1 dial2",
		  CONNECT_TRYING },
		{ "fresh=1,2,3 start wait=0 refused=1 wait=249", "started ask dial1 close1 dial2",
		  CONNECT_TRYING },
		{ "fresh=1,2,3 start wait=0 refused=1 wait=250",
		  "started ask dial1 close1 dial2 dial3", CONNECT_TRYING },
		{ "fresh=1,2 start wait=250 refused=2 up=1", "started ask dial1 dial2 close2 done1",
		  GONE },
		{ "fresh=1,2,3 refused=@1 refused=@2 start wait=0", "started ask dial1 dial2 dial3",
		  CONNECT_TRYING },
		/* all of them, before the pause */
		{ "fresh=1,2 start wait=250 refused=1 refused=2",
		  "started ask dial1 dial2 close1 close2 log", CONNECT_WAITING },
		{ "fresh=1,2 start wait=250 refused=2 forbidden=1",
		  "started ask dial1 dial2 close2 close1 log", CONNECT_WAITING },
		{ "no-retry fresh=1,2 start wait=0 refused=1 refused=2",
		  "started ask dial1 close1 dial2 close2 [connect failed: Connection refused]",
		  GONE },
		{ "fresh=1,2 start wait=250 cancel", "started ask dial1 dial2 close2 close1",
		  GONE },
		/* there is no share of the time: silent ones are waited for to the end */
		{ "timeout=18446744073709551615 fresh=1,2 start wait=250 wait=600 up=1",
		  "started ask dial1 dial2 close2 done1", GONE },
	};

	(void)state;
	CHECK(rows);
}

/* The shares of connect-timeout that silent addresses had are no more. */
static void test_no_silent_address_takes_the_time_of_others(void **state)
{
	(void)state;
	begin();
	play("timeout=60000 fresh=1,2,3,4 start wait=750");
	assert_string_equal(scene.trace, "started ask dial1 dial2 dial3 dial4");
	play("wait=59000");
	assert_int_equal(attempt_state(attempt), CONNECT_TRYING);
	assert_null(strstr(scene.trace, "close"));
	play("wait=250");
	assert_true(scene.over);
	assert_non_null(strstr(scene.trace, "[connect timeout]"));
	finish(GONE);
}

static void test_more_addresses_than_sockets(void **state)
{
	char script[1024] = "fresh=1";
	unsigned int open = 0;

	(void)state;
	begin();
	for (unsigned int i = 2; i <= 40; i++)
		snprintf(script + strlen(script), sizeof(script) - strlen(script), ",%u", i);
	play(script);
	play("timeout=60000 start");
	for (unsigned int i = 0; i < 39; i++)
		play("wait=250");
	for (unsigned int i = 0; i < scene.n_sockets; i++)
		open += scene.open[i];
	assert_int_equal(open, 8);
	assert_non_null(strstr(scene.trace, " dial40"));
	play("up=40");
	assert_non_null(strstr(scene.trace, " done40"));
	finish(GONE);
}

static void test_what_answered_last_is_first(void **state)
{
	(void)state;
	begin();
	play("fresh=1,2,3,4 start wait=500 up=3");
	scene.trace[0] = '\0';
	play("start wait=750");
	assert_string_equal(scene.trace, "started ask dial3 dial1 dial2 dial4");
	play("up=1");
	scene.trace[0] = '\0';
	play("fresh=4,1 start wait=250 cancel");
	assert_string_equal(scene.trace, "started ask dial1 dial4 close4 close1");
	scene.trace[0] = '\0';
	play("fresh=4,5 start wait=0"); /* it is gone */
	assert_string_equal(scene.trace, "started ask dial4");
	finish(CONNECT_TRYING);
}

static void test_addresses_change_while_an_attempt_hangs(void **state)
{
	static const struct row rows[] = {
		{ "fresh=1 start wait=0 fresh= wait=999", "started ask dial1", CONNECT_TRYING },
		{ "fresh=1 start wait=0 fresh= wait=1000", "started ask dial1 doubt",
		  CONNECT_TRYING },
		/* the same: the handshake goes on */
		{ "fresh=1 start wait=0 fresh= wait=1000 answer=1", "started ask dial1 doubt",
		  CONNECT_TRYING },
		{ "fresh=1 start wait=3000", "started ask dial1 doubt doubt doubt",
		  CONNECT_TRYING },
		/* no answer: it goes on too, and asks no second question before */
		{ "fresh=1 start wait=0 fresh= wait=5000 up=1",
		  "started ask dial1 doubt unask done1", GONE },
		{ "fresh=1 start wait=0 fresh= wait=1000 answer=2",
		  "started ask dial1 doubt close1 dial2", CONNECT_TRYING },
		{ "fresh=1 start wait=0 fresh=2 wait=1000", "started ask dial1 doubt close1 dial2",
		  CONNECT_TRYING },
		{ "fresh=1 start wait=0 fresh= wait=1000 answer=2,1 wait=250",
		  "started ask dial1 doubt dial2", CONNECT_TRYING },
		/* it is gone, and was dropped */
		{ "fresh=1 start wait=0 fresh= wait=1000 no-name",
		  "started ask dial1 doubt close1 log", CONNECT_WAITING },
		/* an older answer is used, the new one is late */
		{ "last=1 start wait=1000 answer=2", "started ask dial1 close1 dial2",
		  CONNECT_TRYING },
		{ "last=1 start wait=1000 up=1", "started ask dial1 unask done1", GONE },
		{ "last=1 start wait=1000 posted=2 up=1", "started ask dial1 too-late done1",
		  CONNECT_ENDED },
		{ "last=1 start wait=1000 posted=2 cancel", "started ask dial1 close1 too-late",
		  CONNECT_ENDED },
		/* it comes during the pause: the next round asks again */
		{ "last=1 start wait=1000 refused=1 answer=2 wait=10",
		  "started ask dial1 close1 log doubt", CONNECT_RESOLVING },
		{ "last=1 start wait=1000 refused=1 wait=10", "started ask dial1 close1 log",
		  CONNECT_RESOLVING },
		{ "last=1 start wait=1000 refused=1 wait=10 answer=2",
		  "started ask dial1 close1 log dial2", CONNECT_TRYING },
		{ "literal=1 start wait=5000", "dial1 started", CONNECT_TRYING },
	};

	(void)state;
	CHECK(rows);
}

/* ---- time ---- */

static void test_pauses_grow_to_a_second(void **state)
{
	static const uint64_t pauses[] = { 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000 };

	(void)state;
	begin();
	play("timeout=60000 literal=1 refused=@1 start wait=0");
	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		assert_int_equal(attempt_state(attempt), CONNECT_WAITING);
		assert_int_equal(simulated_until_next(), pauses[i]);
		simulated_advance(pauses[i]);
	}
	finish(CONNECT_WAITING);
}

/* The last pause ends with connect-timeout, and not behind it. */
static void test_deadline_cuts_a_pause(void **state)
{
	(void)state;
	begin();
	play("timeout=15 literal=1 refused=@1 start wait=10");
	assert_int_equal(simulated_until_next(), 5);
	play("wait=5");
	assert_true(scene.over);
	finish(GONE);
}

static void test_endless_timeouts(void **state)
{
	static const char *const timeouts[] = {
		"timeout=18446744073709551615", /* infinity */
		"timeout=18446744073709551000", /* the longest that can be written in seconds */
		"timeout=9223372036854775807",
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		begin();
		play(timeouts[i]);
		play("literal=1 start wait=36000000");
		assert_int_equal(attempt_state(attempt), CONNECT_TRYING);
		play("up=1");
		assert_true(scene.over);
		finish(GONE);
	}
}

/* ---- times ---- */

static const struct timed_row {
	const char *steps;
	uint64_t queued_ms, connect_ms;
	unsigned int retries;
} timed_rows[] = {
	{ "literal=1 up=@1 start", 0, 0, 0 },
	{ "literal=1 start wait=7 up=1", 0, 7, 0 },
	/* the name takes its time, then the server */
	{ "start wait=40 answer=1 wait=2 up=1", 40, 2, 0 },
	/* the second one answers, which was begun with after its head start */
	{ "fresh=1,2 start wait=250 wait=30 up=2", 250, 30, 1 },
	/* the first one does, after all */
	{ "fresh=1,2 start wait=250 wait=30 up=1", 0, 280, 1 },
	{ "fresh=1,2 start wait=5 refused=1 wait=3 up=2", 5, 3, 1 },
	/* rounds, with pauses in between */
	{ "literal=1 refused=@1 start wait=0 wait=10 pending=@1 wait=20 wait=4 up=1", 30, 4, 2 },
	{ "no-retry literal=1 start wait=9 refused=1", 0, 0, 0 },
	{ "no-retry fresh=1,2 start wait=0 refused=1 refused=2", 0, 0, 1 },
};

static void expect_times(const struct timed_row *row, bool is_timed)
{
	unsigned int factor = is_timed ? 1000 : 0;

	begin();
	scene.is_timed = is_timed;
	play(row->steps);
	assert_true(scene.over);
	if (scene.outcome.queued_us != row->queued_ms * factor ||
	    scene.outcome.connect_us != row->connect_ms * factor ||
	    scene.outcome.retries != row->retries)
		fail_msg("%s: %llu us, %llu us, %u", row->steps,
			 (unsigned long long)scene.outcome.queued_us,
			 (unsigned long long)scene.outcome.connect_us, scene.outcome.retries);
	finish(GONE);
}

/* Where nobody asks for them, the clock is not even read. */
static void test_times(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(timed_rows) / sizeof(timed_rows[0]); i++) {
		expect_times(&timed_rows[i], true);
		expect_times(&timed_rows[i], false);
	}
}

/* ---- the log, memory ---- */

static void test_log_hears_of_each_change_once(void **state)
{
	(void)state;
	begin();
	play("timeout=60000 start wait=0 no-name wait=10");
	assert_string_equal(scene.log, "backend 10.0.0.1:80 cannot be reached (the name does not "
				       "resolve): trying again for up to 60 s");
	play("no-name wait=20 no-name wait=40 up=@1 answer=1");
	assert_string_equal(scene.log, "backend 10.0.0.1:80 answers");
	assert_string_equal(scene.trace, "started ask log doubt doubt doubt dial1 log done1");
	finish(GONE);
}

static void test_memory(void **state)
{
	static const struct row rows[] = {
		{ "literal=1 no-events=1 start", "dial1 close1 no-memory", GONE },
		{ "no-events=1 start", "no-memory", GONE },
		/* the socket cannot be watched */
		{ "fresh=1,2,3 start wait=0 no-events=1 refused=1",
		  "started ask dial1 close1 dial2 close2 dial3", CONNECT_TRYING },
		{ "fresh=1,2 start wait=0 no-events=1 refused=1",
		  "started ask dial1 close1 dial2 close2 log", CONNECT_WAITING },
	};

	(void)state;
	CHECK(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_resolving),
		cmocka_unit_test(test_trying),
		cmocka_unit_test(test_addresses_race),
		cmocka_unit_test(test_no_silent_address_takes_the_time_of_others),
		cmocka_unit_test(test_more_addresses_than_sockets),
		cmocka_unit_test(test_what_answered_last_is_first),
		cmocka_unit_test(test_addresses_change_while_an_attempt_hangs),
		cmocka_unit_test(test_pauses_grow_to_a_second),
		cmocka_unit_test(test_deadline_cuts_a_pause),
		cmocka_unit_test(test_endless_timeouts),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_log_hears_of_each_change_once),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
