/* SPDX-License-Identifier: MIT */
/*
 * Attempts at a backend of several servers, and the probes of those that are not up, on
 * simulated time and without a socket.  Server N is 10.0.0.N:80, or a name; each row is a
 * script and what it must leave behind.
 */
#include "tests/unit/simulated.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/connect.h"
#include "daemon/backend/mux.h"
#include "daemon/backend/probe.h"
#include "daemon/base/loop.h"

#define MAX_SOCKETS  256
#define FIRST_SOCKET 1000
#define MAX_SERVERS  9
#define MAX_CLIENTS  8

enum { PENDING = -EINPROGRESS };

static struct {
	char trace[4096];
	int dialled[MAX_SERVERS + 1]; /* what dial() returns for each server */
	int result[MAX_SOCKETS];
	unsigned int address[MAX_SOCKETS];
	bool open[MAX_SOCKETS];
	unsigned int n_sockets;
	struct resolver_wait *wait; /* of the one look-up that may be under way */
	struct {
		struct attempt *attempt;
		struct server *server; /* that it is connected to */
	} clients[MAX_CLIENTS];
	unsigned int n_clients;
} scene;

static struct loop loop;
static struct backend *backend;
static struct prober *prober;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
	size_t length = strlen(scene.trace);
	va_list args;

	if (length > 0)
		scene.trace[length++] = ' ';
	va_start(args, format);
	vsnprintf(scene.trace + length, sizeof(scene.trace) - length, format, args);
	va_end(args);
}

/* ---- what stands in for the rest of the room ---- */

static unsigned int server_number(const struct sfront_sockaddr *addr)
{
	return ntohl(addr->sa.in.sin_addr.s_addr) & 0xff;
}

int __wrap_dial(const struct dial_options *options, const struct sfront_sockaddr *client,
		const struct sfront_sockaddr *addr, int *ret_fd);
int __wrap_dial(const struct dial_options *options, const struct sfront_sockaddr *client,
		const struct sfront_sockaddr *addr, int *ret_fd)
{
	unsigned int n = server_number(addr);
	int r = scene.dialled[n];

	(void)options;
	(void)client;
	note("dial%u", n);
	if (r != 0 && r != -ECONNRESET && r != PENDING)
		return r;
	assert_in_range(scene.n_sockets, 0, MAX_SOCKETS - 1);
	scene.address[scene.n_sockets] = n;
	scene.open[scene.n_sockets] = true;
	scene.result[scene.n_sockets] = PENDING;
	*ret_fd = FIRST_SOCKET + (int)scene.n_sockets++;
	return r;
}

int __wrap_dial_result(const struct dial_options *options, const struct sfront_sockaddr *addr,
		       int fd, struct mux_answer *answer);
int __wrap_dial_result(const struct dial_options *options, const struct sfront_sockaddr *addr,
		       int fd, struct mux_answer *answer)
{
	(void)options;
	(void)addr;
	(void)answer;
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

/* Of a check: the server has said what was expected. */
ssize_t __wrap_recv(int fd, void *buf, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t size, int flags)
{
	(void)flags;
	assert_in_range(fd, FIRST_SOCKET, FIRST_SOCKET + MAX_SOCKETS);
	assert_true(size >= 4);
	memcpy(buf, "PONG", 4);
	return 4;
}

/* "backend 10.0.0.1:80 is down (...)": the trace has "1-down". */
void __wrap_log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void __wrap_log_line(int priority, const char *format, ...)
{
	static const char *const words[] = { "down", "suspect", "answers", "cannot be reached" };
	char text[256];
	va_list args;

	(void)priority;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (size_t i = 0; i < 4; i++)
		if (strstr(text, words[i]))
			note("%c-%.6s",
			     strpbrk(text, "0123456789") ? text[strlen("backend 10.0.0.")] : '?',
			     words[i]);
}

struct address_list *__real_resolver_ask(struct resolver *resolver, uint64_t max_age_ms,
					 struct resolver_wait *wait);
struct address_list *__wrap_resolver_ask(struct resolver *resolver, uint64_t max_age_ms,
					 struct resolver_wait *wait);
struct address_list *__wrap_resolver_ask(struct resolver *resolver, uint64_t max_age_ms,
					 struct resolver_wait *wait)
{
	if (resolver_literal(resolver))
		return __real_resolver_ask(resolver, max_age_ms, wait);
	note("ask");
	assert_null(scene.wait);
	scene.wait = wait;
	return NULL;
}

struct address_list *__wrap_resolver_last(struct resolver *resolver);
struct address_list *__wrap_resolver_last(struct resolver *resolver)
{
	(void)resolver;
	return NULL;
}

bool __wrap_resolver_cancel(struct resolver *resolver, struct resolver_wait *wait);
bool __wrap_resolver_cancel(struct resolver *resolver, struct resolver_wait *wait)
{
	bool is_queued = scene.wait == wait;

	(void)resolver;
	note("unask");
	scene.wait = NULL;
	return is_queued;
}

/* ---- scripts ---- */

static void told(void *arg, const struct outcome *outcome)
{
	size_t client = (size_t)(uintptr_t)arg;

	scene.clients[client].attempt = NULL;
	scene.clients[client].server = outcome->server;
	if (outcome->is_moved) {
		note("%zu-moves", client);
		scene.clients[client].attempt = attempt_resume(
			&loop, backend, &(struct attempt_client){ 0 }, outcome, told, arg);
		return;
	}
	if (outcome->fd >= FIRST_SOCKET) {
		note("%zu=%u", client, scene.address[outcome->fd - FIRST_SOCKET]);
		scene.open[outcome->fd - FIRST_SOCKET] = false;
	} else {
		note("%zu=[%s]", client, outcome->reason);
	}
}

/* As the next backend will have it. */
static struct check_config next_check = {
	.interval_ms = SFRONT_INFINITY_MS,
	.timeout_ms = 2000,
	.rise = 1,
	.fall = 3,
};

/* "10.0.0.1:80 max=1,10.0.0.2:80" */
static struct backend *backend_of(const char *lines, bool retries, uint64_t timeout_ms)
{
	struct server_config servers[MAX_SERVERS];
	struct proxy_config config = { .connect_timeout_ms = timeout_ms,
				       .check = next_check,
				       .connect_retry = retries,
				       .resolve_interval_ms = 10000,
				       .balance = BALANCE_FIRST,
				       .servers = servers };
	struct loop_guard *guard = loop_guard_new();
	char copy[512], *rest = copy, *line;
	struct sfront_error err;
	struct backend *made;

	snprintf(copy, sizeof(copy), "%s", lines);
	while ((line = strsep(&rest, ",")))
		assert_int_equal(server_parse(line, &servers[config.n_servers++], &err), 0);
	made = backend_new(&config, guard, &err);
	loop_guard_unref(guard);
	assert_non_null(made);
	return made;
}

static void come(void)
{
	size_t client = scene.n_clients++;
	struct outcome outcome;
	int r;

	assert_in_range(client, 0, MAX_CLIENTS - 1);
	r = attempt_start(&loop, backend, &(struct attempt_client){ 0 }, told,
			  (void *)(uintptr_t)client, &scene.clients[client].attempt, &outcome);
	if (r == 0)
		told((void *)(uintptr_t)client, &outcome);
	else
		assert_int_equal(r, -EINPROGRESS);
}

static void leave(size_t client)
{
	attempt_cancel(scene.clients[client].attempt);
	scene.clients[client].attempt = NULL;
	if (scene.clients[client].server)
		backend_leave(backend, scene.clients[client].server);
	scene.clients[client].server = NULL;
}

static void ready(unsigned int server, int result)
{
	for (unsigned int i = scene.n_sockets; i-- > 0;) {
		if (scene.open[i] && scene.address[i] == server) {
			scene.result[i] = result;
			assert_true(simulated_ready(FIRST_SOCKET + (int)i, EV_WRITE));
			return;
		}
	}
	fail_msg("no socket to server %u is open", server);
}

static void pong(unsigned int server)
{
	for (unsigned int i = scene.n_sockets; i-- > 0;) {
		if (scene.open[i] && scene.address[i] == server) {
			assert_true(simulated_ready(FIRST_SOCKET + (int)i, EV_READ));
			return;
		}
	}
	fail_msg("no check of server %u awaits an answer", server);
}

static void step(const char *word, const char *value)
{
	static const struct {
		const char *name;
		int error;
	} errors[] = { { "refused", -ECONNREFUSED },
		       { "full", -EAGAIN },
		       { "short", -EMFILE },
		       { "pending", PENDING },
		       { "up", 0 } };
	unsigned long number = strtoul(value, NULL, 10);

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (strcmp(word, errors[i].name) != 0)
			continue;
		if (*value == '@') /* dial() itself says so from now on */
			scene.dialled[strtoul(value + 1, NULL, 10)] = errors[i].error;
		else
			ready((unsigned int)number, errors[i].error);
		return;
	}
	if (strcmp(word, "come") == 0)
		come();
	else if (strcmp(word, "leave") == 0)
		leave(number);
	else if (strcmp(word, "pong") == 0)
		pong((unsigned int)number);
	else if (strcmp(word, "wait") == 0)
		simulated_advance(number);
	else if (strcmp(word, "deliver") == 0)
		simulated_deliver();
	else if (strcmp(word, "follow") == 0)
		attempt_follow(scene.clients[number].attempt);
	else if (strcmp(word, "/") == 0)
		scene.trace[0] = '\0';
	else
		fail_msg("no such step: %s", word);
}

static void play(const char *script)
{
	char words[1024], *at = words, *word, *value;

	assert_in_range(snprintf(words, sizeof(words), "%s", script), 0, sizeof(words) - 1);
	while ((word = strsep(&at, " "))) {
		value = strchr(word, '=');
		if (value)
			*value++ = '\0';
		step(word, value ? value : "");
	}
}

static void begin(struct backend *made)
{
	simulated_reset();
	scene = (typeof(scene)){ .n_clients = 0 };
	backend = made;
	prober = prober_new(&loop, backend);
	assert_non_null(prober);
}

static void finish(void)
{
	for (size_t i = 0; i < scene.n_clients; i++)
		leave(i);
	for (size_t i = 0; i < backend_n_servers(backend); i++)
		assert_int_equal(server_active(backend_server(backend, i)), 0);
	prober_free(prober);
	simulated_deliver();
	backend_unref(backend);
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
	for (unsigned int i = 0; i < scene.n_sockets; i++)
		assert_false(scene.open[i]);
}

struct row {
	const char *script, *trace;
};

static void check_all(const char *lines, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		begin(backend_of(lines, true, 10000));
		play(rows[i].script);
		if (strcmp(scene.trace, rows[i].trace) != 0)
			fail_msg("%s\n  leaves  %s\n  but not %s", rows[i].script, scene.trace,
				 rows[i].trace);
		finish();
	}
}

#define CHECK(lines, rows) check_all(lines, rows, sizeof(rows) / sizeof((rows)[0]))
#define TWO                "10.0.0.1:80,10.0.0.2:80"
#define THREE              TWO ",10.0.0.3:80"

/* ---- one server after the other ---- */

static void test_next_server(void **state)
{
	static const struct row rows[] = {
		{ "come", "dial1 0=1" },
		/* a failure makes room for the next one at once */
		{ "refused=@1 come wait=0", "dial1 dial2 0=2" },
		{ "pending=@1 come refused=1", "dial1 close1 dial2 0=2" },
		{ "refused=@1 refused=@2 come wait=0", "dial1 dial2 dial3 0=3" },
		{ "short=@1 come wait=0", "dial1 dial2 0=2" },
		/* silence does after a head start, and the first to answer wins */
		{ "pending=@1 come wait=249", "dial1" },
		{ "pending=@1 come wait=250", "dial1 1-suspec dial2 close1 0=2" },
		{ "pending=@1 pending=@2 come wait=250 up=2", "dial1 1-suspec dial2 close1 0=2" },
		{ "pending=@1 pending=@2 come wait=250 up=1",
		  "dial1 1-suspec dial2 1-answer close2 0=1" },
		{ "pending=@1 pending=@2 come wait=500",
		  "dial1 1-suspec dial2 2-suspec dial3 close1 close2 0=3" },
		/* all of them before the pause; then the first one again */
		{ "refused=@1 refused=@2 refused=@3 come wait=9", "dial1 dial2 dial3 1-cannot" },
		{ "refused=@1 refused=@2 refused=@3 come wait=0 up=@3 wait=10",
		  "dial1 dial2 dial3 1-cannot dial1 dial2 dial3 3-answer 0=3" },
		/* one whose queue is full is not ill */
		{ "full=@1 come wait=0 come wait=0 come wait=0 come wait=0 / come wait=0",
		  "dial1 dial2 4=2" },
	};

	(void)state;
	CHECK(THREE, rows);
}

static void test_no_client_waits_for_one_that_is_down(void **state)
{
	static const struct row rows[] = {
		{ "refused=@1 come wait=0 come wait=0 / come wait=0 come",
		  "dial1 1-down dial2 2=2 dial2 3=2" },
		{ "refused=@1 come wait=0 come wait=0 up=@1 come / refused=@1 come wait=0 come "
		  "wait=0",
		  "dial1 dial2 3=2 dial1 dial2 4=2" },
		{ "pending=@1 come wait=250 / come", "dial2 1=2" },
		/* if all are, all are tried */
		{ "refused=@1 refused=@2 refused=@3 come wait=30 / up=@2 wait=40",
		  "dial1 dial2 2-answer 0=2" },
		{ "pending=@1 pending=@2 pending=@3 come wait=1000 / come wait=500",
		  "dial1 dial2 dial3" },
	};

	(void)state;
	CHECK(THREE, rows);
}

static void test_backups(void **state)
{
	static const struct row rows[] = {
		{ "come", "dial2 0=2" },
		/* it refuses, but nobody knows yet whether it is down */
		{ "refused=@2 come wait=29", "dial2 1-cannot dial2" },
		{ "refused=@2 come wait=30",
		  "dial2 1-cannot dial2 dial2 2-down dial1 1-answer 0=1" },
		{ "pending=@2 come wait=250", "dial2 2-suspec dial1 close2 0=1" },
		{ "pending=@2 come wait=250 / come come", "dial1 1=1 dial1 2=1" },
		/* back at once */
		{ "pending=@2 come wait=250 deliver up=@2 wait=1000 / come", "dial2 1=2" },
		/* all are down: the backups last */
		{ "pending=@2 pending=@1 come wait=500 / come wait=250", "dial2 dial1" },
	};

	(void)state;
	(void)rows;
	CHECK("10.0.0.1:80 backup,10.0.0.2:80", rows);
}

static void test_no_retry(void **state)
{
	(void)state;
	begin(backend_of(TWO, false, 10000));
	play("refused=@1 refused=@2 come wait=0");
	assert_string_equal(scene.trace, "dial1 dial2 0=[connect failed: Connection refused]");
	finish();

	/* before it is turned away, those are tried as well that nobody else is sent to */
	begin(backend_of("10.0.0.1:80 backup,10.0.0.2:80", false, 10000));
	play("refused=@2 come wait=0");
	assert_string_equal(scene.trace, "dial2 dial1 0=1");
	finish();

	begin(backend_of(THREE, false, 10000));
	for (int i = 0; i < HEALTH_FAILURES; i++)
		backend_note_failure(backend, backend_server(backend, 2), "refused");
	play("/ refused=@1 refused=@2 come wait=0");
	assert_string_equal(scene.trace, "dial1 dial2 dial3 3-answer 0=3");
	finish();
}

static void test_nobody_answers_in_time(void **state)
{
	(void)state;
	begin(backend_of(TWO, true, 1000));
	play("pending=@1 pending=@2 come wait=1000");
	assert_string_equal(scene.trace,
			    "dial1 1-suspec dial2 2-suspec close1 close2 0=[connect timeout]");
	finish();
}

/* A name that takes its time delays nobody: the next server has its turn. */
static void test_slow_look_up(void **state)
{
	static const struct row rows[] = {
		{ "come wait=0", "ask" },
		{ "come wait=249", "ask" },
		{ "come wait=250", "ask dial2 unask 0=2" },
		{ "pending=@2 come wait=250 leave=0", "ask dial2 close2 unask" },
		{ "refused=@2 come wait=250 wait=9750",
		  "ask dial2 unask 0=[connect failed: the name does not resolve at the moment]" },
	};

	(void)state;
	CHECK("one.example:80,10.0.0.2:80", rows);
}

/* ---- room ---- */

static void test_room(void **state)
{
	static const struct row rows[] = {
		{ "come come", "dial1 0=1 dial2 1=2" },
		{ "come come come", "dial1 0=1 dial2 1=2" },
		{ "come come come wait=0 leave=1 deliver", "dial1 0=1 dial2 1=2 dial2 2=2" },
		{ "come come come wait=0 leave=0 deliver", "dial1 0=1 dial2 1=2 dial1 2=1" },
		/* in the order of arrival: nobody overtakes */
		{ "come come come wait=0 come wait=0 leave=1 come wait=0 deliver",
		  "dial1 0=1 dial2 1=2 dial2 2=2" },
		{ "come come come wait=0 come wait=0 leave=1 deliver leave=0 deliver",
		  "dial1 0=1 dial2 1=2 dial2 2=2 dial1 3=1" },
		{ "come come come wait=0 come wait=0 leave=1 leave=0 deliver",
		  "dial1 0=1 dial2 1=2 dial1 2=1 dial2 3=2" },
		/* who leaves the queue, told or not, takes nothing with it */
		{ "come come come wait=0 come wait=0 leave=2 leave=0 deliver",
		  "dial1 0=1 dial2 1=2 dial1 3=1" },
		{ "come come come wait=0 come wait=0 leave=0 leave=2 deliver deliver",
		  "dial1 0=1 dial2 1=2 dial1 3=1" },
		{ "come come come wait=9999", "dial1 0=1 dial2 1=2" },
		{ "come come come wait=10000", "dial1 0=1 dial2 1=2 2=[every server is full]" },
		/* an attempt has its place, too, and one that fails gives it back */
		{ "pending=@1 pending=@2 come come come wait=0 refused=2 / deliver wait=20 up=2",
		  "dial2 2-answer 2=2" },
		/* nor does it lose its place by that */
		{ "come pending=@2 come come wait=0 up=@2 refused=2 deliver come wait=10 / leave=2 "
		  "deliver",
		  "dial2 1=2" },
		/* whoever waits for one that is silent takes the room that comes at another */
		{ "come pending=@2 come wait=250 / leave=0 deliver", "dial1 1=1" },
	};

	(void)state;
	CHECK("10.0.0.1:80 max=1,10.0.0.2:80 max=1", rows);
}

static void test_one_server_with_a_limit(void **state)
{
	static const struct row rows[] = {
		{ "come come wait=0 leave=0 deliver", "dial1 0=1 dial1 1=1" },
		/* it refuses whoever has waited: not at full speed */
		{ "come come wait=0 refused=@1 leave=0 deliver deliver deliver",
		  "dial1 0=1 dial1 1-cannot" },
		{ "come come wait=0 refused=@1 leave=0 deliver up=@1 wait=10",
		  "dial1 0=1 dial1 1-cannot dial1 1-answer 1=1" },
	};

	(void)state;
	CHECK("10.0.0.1:80 max=1", rows);
}

/* Its address is looked up: until then another one may have room. */
static void test_room_while_a_name_is_slow(void **state)
{
	static const struct row rows[] = {
		{ "come come wait=500 / leave=0 wait=250", "dial2 unask 1=2" },
	};

	(void)state;
	CHECK("one.example:80 weight=1,10.0.0.2:80 max=1 weight=2", rows);
}

/* ---- over a reload ---- */

static void test_generations_share_what_they_know(void **state)
{
	struct backend *before, *after;

	(void)state;
	begin(backend_of("10.0.0.1:80 max=1,10.0.0.2:80 max=1", true, 10000));
	before = backend;
	after = backend_of("10.0.0.3:80,10.0.0.1:80 max=2", true, 10000);
	backend_share(after, before);
	play("come");
	assert_int_equal(server_active(backend_server(after, 1)), 1);
	assert_int_equal(server_active(backend_server(after, 0)), 0);
	for (int i = 0; i < 3; i++)
		backend_note_failure(before, backend_server(before, 0), "refused");
	assert_false(server_is_up(backend_server(after, 1)));
	assert_true(server_is_up(backend_server(after, 0)));
	assert_ptr_equal(backend_waitlist(after), backend_waitlist(before));
	finish();
	assert_int_equal(server_active(backend_server(after, 1)), 0);
	backend_unref(after);
}

/* A limit that the newest line has counts what came before it, and whoever leaves makes room. */
static void test_limit_that_a_reload_brings(void **state)
{
	struct backend *before, *after;

	(void)state;
	begin(backend_of("10.0.0.1:80", true, 10000));
	before = backend;
	after = backend_of("10.0.0.1:80 max=1", true, 10000);
	play("come");
	backend_share(after, before);
	backend = after;
	play("come wait=0");
	assert_string_equal(scene.trace, "dial1 0=1");
	backend = before;
	play("leave=0 deliver");
	assert_string_equal(scene.trace, "dial1 0=1 dial1 1=1");
	leave(1);
	finish();
	backend_unref(after);
}

static void test_limit_that_a_reload_raises(void **state)
{
	struct backend *after;

	(void)state;
	begin(backend_of("10.0.0.1:80 max=1", true, 10000));
	after = backend_of("10.0.0.1:80 max=2", true, 10000);
	play("come come come wait=0");
	assert_string_equal(scene.trace, "dial1 0=1");
	backend_share(after, backend);
	play("deliver");
	assert_string_equal(scene.trace, "dial1 0=1 dial1 1=1");
	play("leave=1 deliver");
	assert_string_equal(scene.trace, "dial1 0=1 dial1 1=1 dial1 2=1");
	finish();
	backend_unref(after);
}

/* The servers of names change while clients wait. */
static void test_clients_follow(void **state)
{
	struct backend *before, *after;

	(void)state;
	begin(backend_of("10.0.0.1:80 max=1", true, 10000));
	play("come come come wait=9000 /");
	before = backend;
	after = backend_of("10.0.0.1:80 max=1,10.0.0.2:80 max=1", true, 10000);
	backend_share(after, before);
	backend = after;
	backend_be_replaced(before, after);
	play("deliver wait=0 deliver");
	assert_string_equal(scene.trace, "1-moves 2-moves dial2 1=2");
	play("/ wait=999");
	assert_string_equal(scene.trace, "");
	play("wait=1"); /* no longer than it would have been */
	assert_string_equal(scene.trace, "2=[every server is full]");
	play("leave=0 leave=1");
	prober_free(prober);
	backend_unref(before);
	prober = prober_new(&loop, backend);
	finish();

	/* one that is between two rounds */
	begin(backend_of("10.0.0.1:80", true, 10000));
	play("refused=@1 come wait=0 /");
	before = backend;
	after = backend_of("10.0.0.2:80", true, 10000);
	backend_share(after, before);
	backend = after;
	backend_be_replaced(before, after);
	play("wait=10");
	assert_string_equal(scene.trace, "0-moves dial2 0=2");
	prober_free(prober);
	backend_unref(before);
	prober = prober_new(&loop, backend);
	finish();
}

/* They do so at once, unless a server is being tried that is still one. */
static void test_clients_of_servers_that_are_gone(void **state)
{
	static const struct {
		const char *before, *after, *script, *trace;
	} rows[] = {
		/* the name never gets its answer */
		{ "one.example:80", "10.0.0.2:80", "come wait=0", "unask 0-moves dial2 0=2" },
		/* the handshake hangs */
		{ "10.0.0.1:80", "10.0.0.2:80", "pending=@1 come", "close1 0-moves dial2 0=2" },
		{ TWO, "10.0.0.2:80", "pending=@1 come", "close1 0-moves dial2 0=2" },
		{ TWO, "10.0.0.1:80", "pending=@1 come", "" },
		{ TWO, "10.0.0.1:80", "pending=@1 pending=@2 come wait=250", "" },
		/* between two rounds nothing is at work */
		{ "10.0.0.1:80", "10.0.0.1:80 max=5", "refused=@1 come wait=0",
		  "0-moves dial1 1-cannot" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct backend *before;

		begin(backend_of(rows[i].before, true, 10000));
		play(rows[i].script);
		before = backend;
		backend = backend_of(rows[i].after, true, 10000);
		backend_share(backend, before);
		play("follow=0 /");
		backend_be_replaced(before, backend);
		play("follow=0 wait=0");
		assert_string_equal(scene.trace, rows[i].trace);
		prober_free(prober);
		backend_unref(before);
		prober = prober_new(&loop, backend);
		finish();
	}
}

/* The section is gone, or sends another header: it is told to go on where it has been. */
static void test_client_that_no_newer_backend_takes(void **state)
{
	(void)state;
	begin(backend_of("10.0.0.1:80", true, 10000));
	backend_be_replaced(backend, backend);
	play("refused=@1 come wait=0 / wait=10 wait=0 wait=0");
	assert_string_equal(scene.trace, "0-moves dial1");
	play("follow=0 / up=@1 wait=10");
	assert_string_equal(scene.trace, "dial1 1-answer 0=1");
	finish();
}

/* ---- other threads ---- */

static atomic_bool is_over;

/* The first server comes and goes, faster than notes could say so. */
static void *flap(void *arg)
{
	struct health *health = arg;

	while (!atomic_load(&is_over)) {
		atomic_store(&health->state, HEALTH_DOWN);
		atomic_store(&health->state, HEALTH_UP);
	}
	return NULL;
}

/* Whatever becomes of a server during the choice, there is always one. */
static void test_choice_while_servers_change(void **state)
{
	pthread_t thread;
	bool is_full;

	(void)state;
	begin(backend_of(TWO, true, 10000));
	for (int i = 0; i < HEALTH_FAILURES; i++)
		backend_note_failure(backend, backend_server(backend, 1), "refused");
	atomic_store(&is_over, false);
	assert_int_equal(
		pthread_create(&thread, NULL, flap, &backend_server(backend, 0)->state->health), 0);
	for (int i = 0; i < 300000; i++) {
		struct server *server = backend_choose(backend, NULL, 0, &is_full);

		assert_non_null(server);
		backend_leave(backend, server);
	}
	atomic_store(&is_over, true);
	pthread_join(thread, NULL);
	finish();
}

/* ---- probes ---- */

/* When the next ones are, as each fails at once.  A client may come half way. */
static void assert_probes(const uint64_t *pauses, size_t n, bool clients_come)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t half = pauses[i] / 2;

		simulated_advance(half);
		if (clients_come) {
			come();
			leave(--scene.n_clients);
			simulated_deliver();
		}
		scene.trace[0] = '\0';
		simulated_advance(pauses[i] - half - 1);
		assert_string_equal(scene.trace, "");
		simulated_advance(1);
		assert_string_equal(scene.trace, "dial1");
	}
}

static void take_down(void)
{
	play("refused=@1 come wait=0 come wait=0 come wait=0 deliver");
	for (size_t i = 0; i < 3; i++)
		leave(i);
	scene.n_clients = 0;
}

static void test_probes_while_nobody_comes(void **state)
{
	static const uint64_t pauses[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000 };

	(void)state;
	begin(backend_of(TWO, true, 10000));
	take_down();
	assert_probes(pauses, sizeof(pauses) / sizeof(pauses[0]), false);
	finish();
}

static void test_probes_while_clients_come(void **state)
{
	static const uint64_t pauses[] = { 1000, 2000, 2000, 2000, 2000 };

	(void)state;
	begin(backend_of(TWO, true, 10000));
	take_down();
	assert_probes(pauses, sizeof(pauses) / sizeof(pauses[0]), true);
	finish();
}

/* It was not asked for long: the first client has it asked at once. */
static void test_client_after_a_long_time(void **state)
{
	(void)state;
	begin(backend_of(TWO, true, 10000));
	take_down();
	simulated_advance(60000);
	play("wait=10000 up=@1 / come deliver wait=0");
	assert_string_equal(scene.trace, "dial2 0=2 dial1 close1 1-answer");
	play("/ come");
	assert_string_equal(scene.trace, "dial1 1=1");
	finish();
}

static void test_probes_end(void **state)
{
	(void)state;
	begin(backend_of(TWO, true, 10000));
	take_down();
	play("up=@1 wait=1000");
	assert_int_equal(simulated_until_next(), SIMULATED_NEVER);
	finish();

	/* a client that had nobody else has found out */
	begin(backend_of(TWO, true, 10000));
	take_down();
	play("refused=@2 come wait=30 deliver up=@1 wait=40 / wait=900");
	assert_null(strstr(scene.trace, "dial1"));
	finish();

	begin(backend_of(TWO, true, 10000));
	take_down();
	play("pending=@1 wait=1000 /");
	prober_stop(prober);
	assert_string_equal(scene.trace, "close1");
	play("come deliver wait=60000");
	assert_null(strstr(scene.trace, "dial1"));
	finish();
}

/* Each has two seconds, and a third that is silent is as good as one that refuses. */
static void test_silent_probes(void **state)
{
	(void)state;
	begin(backend_of(TWO, true, 10000));
	play("pending=@1 come wait=250 leave=0 deliver / wait=1000");
	assert_string_equal(scene.trace, "dial1");
	play("wait=2000");
	assert_string_equal(scene.trace, "dial1 close1 dial1");
	play("wait=1999");
	assert_string_equal(scene.trace, "dial1 close1 dial1");
	play("wait=1");
	assert_string_equal(scene.trace, "dial1 close1 dial1 close1");
	play("wait=4000");
	assert_string_equal(scene.trace, "dial1 close1 dial1 close1 dial1 1-down close1");
	finish();
}

/* ---- checks ---- */

static void expect_pong(bool expects, uint64_t interval_ms)
{
	static char text[] = "PONG";

	next_check.expect.bytes = (struct bytes){ expects ? text : NULL, expects ? 4 : 0 };
	next_check.interval_ms = interval_ms;
}

static void test_clients_are_held_for_a_check(void **state)
{
	static const struct row rows[] = {
		/* nobody is asked before one comes, and then at once */
		{ "wait=60000", "" },
		{ "come deliver", "" },
		{ "come wait=0 deliver wait=0", "dial1" },
		{ "come wait=0 deliver wait=0 pong=1 deliver", "dial1 1-answer close1 dial1 0=1" },
		{ "come wait=0 deliver wait=0 pong=1 deliver / come", "dial1 1=1" },
		/* several, in the order in which they came */
		{ "come come come wait=0 deliver wait=0 / pong=1 deliver",
		  "1-answer close1 dial1 0=1 dial1 1=1 dial1 2=1" },
		/* one that is silent has its time, and one that refuses is asked again soon */
		{ "come wait=0 deliver wait=1999", "dial1" },
		{ "come wait=0 deliver wait=2000", "dial1 close1 dial1" },
		{ "refused=@1 come wait=0 deliver wait=99", "dial1" },
		{ "refused=@1 come wait=0 deliver wait=100", "dial1 dial1" },
		{ "refused=@1 come wait=0 deliver wait=299", "dial1 dial1" },
		{ "refused=@1 come wait=0 deliver wait=300", "dial1 dial1 dial1 1-down" },
		{ "refused=@1 come wait=0 deliver wait=1500 / wait=1000 / wait=1000", "dial1" },
		{ "refused=@1 come wait=0 deliver wait=9999 / wait=1",
		  "0=[no server has passed a check]" },
		/* once nobody is held any more, less and less often */
		{ "refused=@1 come wait=0 deliver wait=10000 / wait=1000 / wait=60000",
		  "dial1 dial1 dial1 dial1 dial1" },
		/* one failure of a client, and the next ones are held */
		{ "come wait=0 deliver wait=0 pong=1 deliver refused=@1 come wait=0 come wait=0 "
		  "deliver / wait=99",
		  "" },
		{ "come wait=0 deliver wait=0 pong=1 deliver refused=@1 come wait=0 come wait=0 "
		  "deliver up=@1 / wait=100 pong=1 deliver",
		  "dial1 1-answer close1 dial1 1=1 dial1 2=1" },
		/* whoever leaves meanwhile leaves nothing behind */
		{ "come wait=0 deliver wait=0 leave=0 pong=1 deliver", "dial1 1-answer close1" },
	};

	(void)state;
	expect_pong(true, SFRONT_INFINITY_MS);
	CHECK("10.0.0.1:80", rows);
	expect_pong(false, SFRONT_INFINITY_MS);
}

/* One attempt alone is not held past its failure. */
static void test_no_retry_with_checks(void **state)
{
	(void)state;
	expect_pong(true, SFRONT_INFINITY_MS);
	begin(backend_of("10.0.0.1:80", false, 10000));
	play("come wait=0 deliver wait=0 pong=1 deliver / refused=@1 come wait=0");
	assert_string_equal(scene.trace, "dial1 1-suspec 1=[connect failed: Connection refused]");
	finish();
	expect_pong(false, SFRONT_INFINITY_MS);
}

static void test_interval(void **state)
{
	(void)state;
	expect_pong(false, 5000);
	begin(backend_of("10.0.0.1:80", true, 10000));
	prober_start(prober);
	assert_string_equal(scene.trace, "");
	play("wait=4999");
	assert_string_equal(scene.trace, "dial1 close1");
	play("wait=1");
	assert_string_equal(scene.trace, "dial1 close1 dial1 close1");
	play("/ refused=@1 wait=10000");
	assert_string_equal(scene.trace, "dial1 dial1");
	play("/ wait=5000"); /* the third; from then on as often as one that is down */
	assert_string_equal(scene.trace, "dial1 1-down");
	play("/ wait=2000");
	assert_string_equal(scene.trace, "dial1");
	play("/ up=@1 wait=30000"); /* within 5 s at any rate */
	assert_non_null(strstr(scene.trace, "1-answer"));
	play("/ wait=5000");
	assert_string_equal(scene.trace, "dial1 close1");
	finish();
	expect_pong(false, SFRONT_INFINITY_MS);
}

/* ---- what those who ask are told ---- */

static bool is_known_down_after(const char *script)
{
	play(script);
	return backend_is_known_down(backend);
}

/* Nobody tries it but its clients, and what they have found is out of date in the end. */
static void test_one_server_is_known_to_be_down_for_a_minute(void **state)
{
	(void)state;
	begin(backend_of("10.0.0.1:80", true, SFRONT_INFINITY_MS));
	prober_stop(prober);
	assert_false(is_known_down_after("refused=@1 come wait=9"));
	assert_true(is_known_down_after("wait=1000"));
	assert_true(is_known_down_after("wait=600000")); /* the client tries all the time */
	assert_true(is_known_down_after("leave=0 wait=58000"));
	assert_false(is_known_down_after("wait=2000"));
	assert_true(is_known_down_after("come wait=0"));
	assert_false(is_known_down_after("leave=1 up=@1 come"));
	finish();
}

static void test_several_are_known_to_be_down_as_long_as_they_are(void **state)
{
	(void)state;
	begin(backend_of(TWO, true, 10000));
	assert_false(is_known_down_after("refused=@1 pending=@2 come wait=9000"));
	assert_int_equal(health_state(&backend_server(backend, 1)->state->health), HEALTH_SUSPECT);
	assert_true(
		is_known_down_after("leave=0 deliver refused=@2 come wait=9000 leave=1 deliver"));
	for (int i = 0; i < 100; i++)
		assert_true(is_known_down_after("wait=10000"));
	assert_false(is_known_down_after("up=@1 wait=31000"));
	finish();
}

static void test_one_that_was_never_checked_is_not_known_to_be_down(void **state)
{
	(void)state;
	expect_pong(true, SFRONT_INFINITY_MS);
	begin(backend_of("10.0.0.1:80", true, 10000));
	assert_int_equal(health_state(&backend_server(backend, 0)->state->health), HEALTH_UNKNOWN);
	assert_false(backend_is_known_down(backend));
	assert_true(is_known_down_after("refused=@1 come wait=0 deliver wait=5000"));
	finish();
	expect_pong(false, SFRONT_INFINITY_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next_server),
		cmocka_unit_test(test_no_client_waits_for_one_that_is_down),
		cmocka_unit_test(test_backups),
		cmocka_unit_test(test_no_retry),
		cmocka_unit_test(test_nobody_answers_in_time),
		cmocka_unit_test(test_slow_look_up),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_one_server_with_a_limit),
		cmocka_unit_test(test_clients_of_servers_that_are_gone),
		cmocka_unit_test(test_client_that_no_newer_backend_takes),
		cmocka_unit_test(test_room_while_a_name_is_slow),
		cmocka_unit_test(test_generations_share_what_they_know),
		cmocka_unit_test(test_limit_that_a_reload_brings),
		cmocka_unit_test(test_limit_that_a_reload_raises),
		cmocka_unit_test(test_clients_follow),
		cmocka_unit_test(test_choice_while_servers_change),
		cmocka_unit_test(test_probes_while_nobody_comes),
		cmocka_unit_test(test_probes_while_clients_come),
		cmocka_unit_test(test_client_after_a_long_time),
		cmocka_unit_test(test_probes_end),
		cmocka_unit_test(test_silent_probes),
		cmocka_unit_test(test_clients_are_held_for_a_check),
		cmocka_unit_test(test_no_retry_with_checks),
		cmocka_unit_test(test_interval),
		cmocka_unit_test(test_one_server_is_known_to_be_down_for_a_minute),
		cmocka_unit_test(test_several_are_known_to_be_down_as_long_as_they_are),
		cmocka_unit_test(test_one_that_was_never_checked_is_not_known_to_be_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
