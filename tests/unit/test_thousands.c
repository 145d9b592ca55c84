/* SPDX-License-Identifier: MIT */
/*
 * A configuration of thousands of proxies: the work grows as their number does, and not
 * as its square.  Counted in calls, so that it holds on any machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"

static size_t calls;

bool __real_sfront_address_equal(const struct sfront_address *a, const struct sfront_address *b);
bool __wrap_sfront_address_equal(const struct sfront_address *a, const struct sfront_address *b);
bool __wrap_sfront_address_equal(const struct sfront_address *a, const struct sfront_address *b)
{
	calls++;
	return __real_sfront_address_equal(a, b);
}

int __real_sfront_address_port(const struct sfront_address *address, uint16_t *ret,
			       struct sfront_error *err);
int __wrap_sfront_address_port(const struct sfront_address *address, uint16_t *ret,
			       struct sfront_error *err);
int __wrap_sfront_address_port(const struct sfront_address *address, uint16_t *ret,
			       struct sfront_error *err)
{
	calls++;
	return __real_sfront_address_port(address, ret, err);
}

size_t __real_sfront_address_format(const struct sfront_address *address, char *buf, size_t size);
size_t __wrap_sfront_address_format(const struct sfront_address *address, char *buf, size_t size);
size_t __wrap_sfront_address_format(const struct sfront_address *address, char *buf, size_t size)
{
	calls++;
	return __real_sfront_address_format(address, buf, size);
}

static void reported(void *data, const struct place *place, const char *message)
{
	(void)data;
	fail_msg("line %u: %s", place->line, message);
}

/* Each has another port, or, with "/24" at its end, another host of a network. */
static void write_address(FILE *file, const char *key, const char *address, unsigned int number)
{
	size_t length = strlen(address);

	if (length > 3 && strcmp(address + length - 3, "/24") == 0)
		fprintf(file, "%s = %.*s%u.%u:80\n", key, (int)length - 3, address, number / 250,
			1 + number % 250);
	else
		fprintf(file, "%s = %s%u\n", key, address, 10000 + number);
}

/* Loads and checks @n proxies with an address each.  Returns how many calls that took. */
static size_t calls_for(unsigned int n, const char *listen, const char *backend)
{
	struct problems problems = { .report = reported };
	char path[] = "/tmp/thousands-XXXXXX";
	struct config config;
	int fd = mkstemp(path);
	FILE *file;

	assert_true(fd >= 0);
	file = fdopen(fd, "w");
	assert_non_null(file);
	for (unsigned int i = 0; i < n; i++) {
		fprintf(file, "[proxy p%u]\n", i);
		write_address(file, "listen", listen, i);
		write_address(file, "backend", backend, i);
	}
	fclose(file);
	config_init(&config);
	calls = 0;
	config_load(path, &config, &problems);
	config_check(&config, &problems);
	assert_int_equal(problems.count, 0);
	assert_int_equal(config.n_proxies, n);
	config_clear(&config);
	unlink(path);
	return calls;
}

static void test_work_grows_with_their_number(void **state)
{
	static const char *const rows[][2] = {
		{ "127.0.0.1:", "127.0.0.2:" }, { ":", "192.0.2.1:" },
		{ "/run/a", "/run/b" },         { "@a", "@b" },
		{ "vsock:any:", "vsock:7:" },   { "127.1./24", "127.2./24" },
		{ "[::1]:", "127.2./24" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t few = calls_for(500, rows[i][0], rows[i][1]);
		size_t many = calls_for(2000, rows[i][0], rows[i][1]);

		assert_true(few > 0);
		if (many > 5 * few)
			fail_msg("%s: %zu calls for 500 proxies, %zu for 2,000", rows[i][0], few,
				 many);
	}
}

/* Thousands that take a free port each are alike, and numbered. */
static void test_free_ports(void **state)
{
	struct problems problems = { .report = reported };
	struct place place = { .file = "f", .line = 1 };
	const struct key *listen = key_find("listen", KEY_PROXY);
	struct proxy_config *proxy;
	struct config config;

	(void)state;
	config_init(&config);
	proxy = config_add_proxy(&config, "p", &place);
	assert_non_null(proxy);
	assert_int_equal(key_set(key_find("backend", KEY_PROXY), &config, proxy, "192.0.2.1:80",
				 &place, NULL),
			 0);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(key_set(listen, &config, proxy, "127.0.0.1:0", &place, NULL), 0);
	calls = 0;
	config_check(&config, &problems);
	assert_int_equal(problems.count, 0);
	for (unsigned int i = 0; i < 2000; i++)
		assert_int_equal(proxy->listen[i].nth, i);
	assert_in_range(calls, 1, 20 * 2000);
	config_clear(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_work_grows_with_their_number),
		cmocka_unit_test(test_free_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
