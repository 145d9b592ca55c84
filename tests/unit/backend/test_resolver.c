/* SPDX-License-Identifier: MIT */
/*
 * Answers and what becomes of them, on simulated time: the resolver's thread runs when the
 * test lets it, and finds what the test says.
 */
#include "tests/unit/simulated.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "daemon/backend/resolver.h"
#include "daemon/base/loop.h"

/* As resolve-interval is by default. */
#define FRESH_MS 10000

static struct {
	void *(*thread_main)(void *arg); /* a look-up under way */
	void *arg;
	unsigned int n_lookups;
	bool no_thread;
	int result;         /* of the next look-up: how many addresses, or -errno */
	unsigned int first; /* 10.0.0.N, and so on */
	unsigned int scope;
	const char *families; /* of the addresses: "646"; NULL: all are IPv4 */
	char log[256];
} scene;

static struct resolver *resolver;
static struct loop_guard *guard;
static struct loop loop;

struct waiter {
	struct resolver_wait wait;
	unsigned int n_told;
};

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes,
			  void *(*thread_main)(void *arg), void *arg);
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes,
			  void *(*thread_main)(void *arg), void *arg)
{
	(void)attributes;
	*ret = pthread_self();
	assert_null(scene.thread_main);
	if (scene.no_thread)
		return EAGAIN;
	scene.thread_main = thread_main;
	scene.arg = arg;
	scene.n_lookups++;
	return 0;
}

static struct sfront_sockaddr nth(unsigned int i)
{
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa.in6) };

	if (scene.families && scene.families[i] == '6') {
		addr.sa.in6.sin6_family = AF_INET6;
		addr.sa.in6.sin6_port = htons(80);
		addr.sa.in6.sin6_addr.s6_addr[15] = (uint8_t)(scene.first + i);
		addr.sa.in6.sin6_scope_id = scene.scope;
		return addr;
	}
	addr.len = sizeof(addr.sa.in);
	addr.sa.in.sin_family = AF_INET;
	addr.sa.in.sin_port = htons(80);
	addr.sa.in.sin_addr.s_addr = htonl(0x0a000000 + scene.first + i);
	return addr;
}

int __wrap_sfront_address_resolve(const struct sfront_address *address, struct sfront_sockaddr *ret,
				  size_t max, struct sfront_error *err);
int __wrap_sfront_address_resolve(const struct sfront_address *address, struct sfront_sockaddr *ret,
				  size_t max, struct sfront_error *err)
{
	(void)address;
	if (scene.result < 0)
		snprintf(err->message, sizeof(err->message), "no");
	if (scene.result > 0 && (size_t)scene.result > max)
		scene.result = (int)max;
	for (int i = 0; i < scene.result; i++)
		ret[i] = nth((unsigned int)i);
	return scene.result;
}

void __wrap_log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void __wrap_log_line(int priority, const char *format, ...)
{
	va_list args;

	if (priority == LOG_DEBUG)
		return;
	va_start(args, format);
	vsnprintf(scene.log, sizeof(scene.log), format, args);
	va_end(args);
}

static void told(struct message *message)
{
	struct waiter *waiter = message_owner(message, struct waiter, wait.message);

	waiter->n_told++;
}

static struct waiter waiter_new(void)
{
	return (struct waiter){
		.wait = { .message.deliver = told, .mailbox = &loop.mailbox },
	};
}

/* The thread finds @result addresses from @first on, or -errno. */
static void find(int result, unsigned int first)
{
	void *(*thread_main)(void *arg) = scene.thread_main;

	assert_non_null(thread_main);
	assert_true(resolver_lookups_pending());
	scene.thread_main = NULL;
	scene.result = result;
	scene.first = first;
	thread_main(scene.arg);
}

static unsigned int last_byte(const struct sfront_sockaddr *addr)
{
	return ntohl(addr->sa.in.sin_addr.s_addr) & 0xff;
}

/* Asks; what is known already, or else what the thread finds.  0: there is none. */
static unsigned int ask(uint64_t max_age_ms, int result, unsigned int first)
{
	struct waiter waiter = waiter_new();
	struct address_list *list = resolver_ask(resolver, max_age_ms, &waiter.wait);
	unsigned int found;

	if (!list) {
		if (scene.thread_main)
			find(result, first);
		simulated_deliver();
		assert_int_equal(waiter.n_told, 1);
		list = waiter.wait.list;
		if (result < 0 && !list)
			assert_int_equal(waiter.wait.error, result);
	}
	found = list ? last_byte(&list->addresses[0]) : 0;
	address_list_unref(list);
	return found;
}

static void open_resolver(const char *text)
{
	struct sfront_address address;
	struct sfront_error err;

	assert_int_equal(sfront_address_parse(text, &address, &err), 0);
	guard = loop_guard_new();
	resolver = resolver_new(&address, guard, &err);
	assert_non_null(resolver);
}

static int begin(void **state)
{
	(void)state;
	simulated_reset();
	scene = (typeof(scene)){ .result = 1, .first = 1 };
	return 0;
}

static int end(void **state)
{
	(void)state;
	assert_false(resolver_lookups_pending());
	resolver_unref(resolver);
	loop_guard_unref(guard);
	return 0;
}

static void test_answer_is_good_for_a_while(void **state)
{
	(void)state;
	open_resolver("name.test:80");
	assert_int_equal(ask(FRESH_MS, 1, 1), 1);
	simulated_advance(FRESH_MS - 1);
	assert_int_equal(ask(FRESH_MS, 1, 2), 1);
	assert_int_equal(scene.n_lookups, 1);
	simulated_advance(1);
	assert_int_equal(ask(FRESH_MS, 1, 2), 2);
	simulated_advance(1000); /* for who doubts it, less */
	assert_int_equal(ask(1000, 1, 3), 3);
	assert_int_equal(scene.n_lookups, 3);
}

static void test_one_look_up_at_a_time(void **state)
{
	struct waiter a = waiter_new(), b = waiter_new(), c = waiter_new();

	(void)state;
	open_resolver("name.test:80");
	assert_null(resolver_ask(resolver, FRESH_MS, &a.wait));
	assert_null(resolver_ask(resolver, FRESH_MS, &b.wait));
	assert_null(resolver_ask(resolver, FRESH_MS, &c.wait));
	assert_true(resolver_cancel(resolver, &b.wait));
	assert_false(resolver_cancel(resolver, &b.wait));
	find(1, 7);
	assert_false(resolver_cancel(resolver, &a.wait)); /* on its way */
	simulated_deliver();
	assert_int_equal(scene.n_lookups, 1);
	assert_int_equal(a.n_told + c.n_told, 2);
	assert_int_equal(b.n_told, 0);
	assert_ptr_equal(a.wait.list, c.wait.list);
	address_list_unref(a.wait.list);
	address_list_unref(c.wait.list);
}

static void test_no_thread(void **state)
{
	(void)state;
	open_resolver("name.test:80");
	scene.no_thread = true;
	assert_int_equal(ask(FRESH_MS, -EAGAIN, 0), 0);
	assert_false(resolver_lookups_pending());
	scene.no_thread = false;
	assert_int_equal(ask(FRESH_MS, 1, 1), 1);
	simulated_advance(FRESH_MS);
	scene.no_thread = true;
	assert_int_equal(ask(FRESH_MS, 1, 2), 1); /* the older answer */
}

static void test_failure_is_not_repeated_at_once(void **state)
{
	(void)state;
	open_resolver("name.test:80");
	assert_int_equal(ask(FRESH_MS, -ENOENT, 0), 0);
	simulated_advance(999);
	assert_int_equal(ask(FRESH_MS, -ENOENT, 0), 0);
	assert_int_equal(scene.n_lookups, 1);
	simulated_advance(1);
	assert_int_equal(ask(FRESH_MS, 1, 5), 5);
	assert_int_equal(scene.n_lookups, 2);
}

/* Whatever goes wrong with a name server, for however long. */
static void test_no_answer_keeps_the_last_one(void **state)
{
	static const int errors[] = { -EAGAIN, -EIO, -ENOMEM, -EMFILE };

	(void)state;
	open_resolver("name.test:80");
	assert_int_equal(ask(FRESH_MS, 1, 1), 1);
	for (unsigned int i = 0; i < 100; i++) {
		simulated_advance(FRESH_MS);
		assert_int_equal(ask(FRESH_MS, errors[i % 4], 0), 1);
	}
	assert_string_equal(scene.log, "");
}

static void test_name_that_is_gone_for_good(void **state)
{
	(void)state;
	open_resolver("name.test:80");
	assert_int_equal(ask(FRESH_MS, 1, 1), 1);
	simulated_advance(FRESH_MS);
	assert_int_equal(ask(FRESH_MS, -ENOENT, 0), 1); /* from here on it is counted */
	for (unsigned int i = 1; i < 30; i++) {
		simulated_advance(1000);
		assert_int_equal(ask(FRESH_MS, -ENOENT, 0), 1);
	}
	assert_string_equal(scene.log, "");
	simulated_advance(1000);
	assert_int_equal(ask(FRESH_MS, -ENOENT, 0), 0);
	assert_non_null(strstr(scene.log, "name.test"));
	assert_non_null(strstr(scene.log, "30 s"));
	assert_null(resolver_last(resolver));

	scene.log[0] = '\0'; /* it is said once */
	simulated_advance(60000);
	assert_int_equal(ask(FRESH_MS, -ENOENT, 0), 0);
	assert_string_equal(scene.log, "");
	simulated_advance(1000);
	assert_int_equal(ask(FRESH_MS, 1, 9), 9);
}

/* A reload takes the last answer along, and asks again all the same. */
static void test_last_answer_over_a_reload(void **state)
{
	const struct sfront_address address = { .kind = SFRONT_TCP,
						.u.tcp = { .host = "name.test", .service = "80" } };
	struct waiter waiter = waiter_new();
	struct resolver *before;
	struct address_list *last;
	struct sfront_error err;

	(void)state;
	open_resolver("name.test:80");
	before = resolver;
	assert_int_equal(ask(FRESH_MS, 1, 7), 7);
	resolver = resolver_new(&address, guard, &err);
	assert_non_null(resolver);
	resolver_share(resolver, before);
	resolver_unref(before);
	assert_null(resolver_ask(resolver, FRESH_MS, &waiter.wait));
	last = resolver_last(resolver);
	assert_int_equal(ntohl(last->addresses[0].sa.in.sin_addr.s_addr) & 0xff, 7);
	address_list_unref(last);
	find(-EAGAIN, 0);
	simulated_deliver();
	assert_int_equal(waiter.n_told, 1);
	assert_int_equal(ntohl(waiter.wait.list->addresses[0].sa.in.sin_addr.s_addr) & 0xff, 7);
	address_list_unref(waiter.wait.list);
}

/* Only what is said clearly, and again and again. */
static void test_name_that_is_gone_for_a_moment(void **state)
{
	static const int between[] = { 1, -EAGAIN };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		begin(NULL);
		open_resolver("name.test:80");
		assert_int_equal(ask(FRESH_MS, 1, 1), 1);
		simulated_advance(FRESH_MS);
		assert_int_equal(ask(FRESH_MS, -ENOENT, 0), 1);
		simulated_advance(20000);
		assert_int_equal(ask(FRESH_MS, between[i], 1), 1);
		simulated_advance(20000);
		assert_int_equal(ask(FRESH_MS, -ENOENT, 0), 1);
		if (i == 0)
			end(NULL);
	}
}

static void test_families_take_turns(void **state)
{
	static const struct {
		const char *found;
		unsigned int order[6]; /* of what was found, from 1 on */
	} rows[] = {
		{ "444", { 1, 2, 3 } },
		{ "6644", { 1, 3, 2, 4 } },
		{ "4466", { 1, 3, 2, 4 } },
		{ "666644", { 1, 5, 2, 6, 3, 4 } },
		{ "644444", { 1, 2, 3, 4, 5, 6 } },
		{ "6", { 1 } },
	};

	(void)state;
	open_resolver("name.test:80");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct address_list *list;

		simulated_advance(FRESH_MS);
		scene.families = rows[i].found;
		ask(FRESH_MS, (int)strlen(rows[i].found), 1);
		list = resolver_last(resolver);
		assert_int_equal(list->n, strlen(rows[i].found));
		for (unsigned int j = 0; j < list->n; j++) {
			struct sfront_sockaddr wanted = nth(rows[i].order[j] - 1);

			assert_true(sfront_sockaddr_equal(&list->addresses[j], &wanted));
			assert_int_equal(address_list_find(list, &wanted), j);
		}
		address_list_unref(list);
	}
}

static void test_hundreds_of_addresses(void **state)
{
	struct address_list *list;

	(void)state;
	open_resolver("name.test:80");
	assert_int_equal(ask(FRESH_MS, 500, 1), 1);
	list = resolver_last(resolver);
	assert_int_equal(list->n, 500);
	address_list_unref(list);
}

/* One of them stays, and with none left the reason is told. */
static void test_own_listeners_are_left_out(void **state)
{
	struct sfront_sockaddr own;

	(void)state;
	open_resolver("name.test:80");
	scene.first = 1;
	own = nth(0);
	assert_int_equal(loop_guard_add(guard, &own, false, "10.0.0.1:80"), 0);
	assert_int_equal(ask(FRESH_MS, 2, 1), 2);
	simulated_advance(FRESH_MS);
	assert_int_equal(ask(FRESH_MS, 1, 1), 2); /* the last good answer */
	resolver_unref(resolver);
	loop_guard_unref(guard);
	open_resolver("name.test:80");
	scene.first = 1;
	own = nth(0);
	assert_int_equal(loop_guard_add(guard, &own, false, "10.0.0.1:80"), 0);
	assert_null(resolver_last(resolver));
	{
		struct waiter waiter = waiter_new();

		assert_null(resolver_ask(resolver, FRESH_MS, &waiter.wait));
		find(1, 1);
		simulated_deliver();
		assert_null(waiter.wait.list);
		assert_int_equal(waiter.wait.error, -ELOOP);
	}
}

static void test_literal(void **state)
{
	(void)state;
	open_resolver("10.0.0.1:80");
	assert_int_equal(last_byte(&resolver_literal(resolver)->addresses[0]), 1);
	assert_int_equal(ask(0, -EIO, 0), 1);
	assert_int_equal(scene.n_lookups, 0);
}

/* An interface that was made anew has another number. */
static void test_interface_is_looked_up_each_time(void **state)
{
	struct waiter waiter = waiter_new();
	struct address_list *list;

	(void)state;
	scene.families = "6";
	scene.scope = 7;
	open_resolver("[fe80::1%eth0]:80");
	assert_null(resolver_literal(resolver));
	assert_int_equal(resolver_first(resolver)->sa.in6.sin6_scope_id, 7);
	scene.scope = 8;
	list = resolver_ask(resolver, FRESH_MS, &waiter.wait);
	assert_int_equal(list->addresses[0].sa.in6.sin6_scope_id, 8);
	address_list_unref(list);
	scene.result = -ENODEV;
	assert_null(resolver_ask(resolver, FRESH_MS, &waiter.wait));
	simulated_deliver();
	assert_int_equal(waiter.n_told, 1);
	assert_null(waiter.wait.list);
	assert_int_equal(waiter.wait.error, -ENODEV);
	assert_int_equal(scene.n_lookups, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answer_is_good_for_a_while, begin, end),
		cmocka_unit_test_setup_teardown(test_one_look_up_at_a_time, begin, end),
		cmocka_unit_test_setup_teardown(test_no_thread, begin, end),
		cmocka_unit_test_setup_teardown(test_failure_is_not_repeated_at_once, begin, end),
		cmocka_unit_test_setup_teardown(test_no_answer_keeps_the_last_one, begin, end),
		cmocka_unit_test_setup_teardown(test_name_that_is_gone_for_good, begin, end),
		cmocka_unit_test_setup_teardown(test_last_answer_over_a_reload, begin, end),
		cmocka_unit_test_setup_teardown(test_name_that_is_gone_for_a_moment, begin, end),
		cmocka_unit_test_setup_teardown(test_families_take_turns, begin, end),
		cmocka_unit_test_setup_teardown(test_hundreds_of_addresses, begin, end),
		cmocka_unit_test_setup_teardown(test_own_listeners_are_left_out, begin, end),
		cmocka_unit_test_setup_teardown(test_literal, begin, end),
		cmocka_unit_test_setup_teardown(test_interface_is_looked_up_each_time, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
