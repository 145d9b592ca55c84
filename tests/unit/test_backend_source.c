/* SPDX-License-Identifier: MIT */
/*
 * backend-source: which words are taken, what they become, and what is said of the others.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "conf/backend_source.h"

/* @said: NULL: it is taken, and @text is what it becomes; else in the message */
static const struct {
	const char *words, *text, *said;
} table[] = {
	{ "10.0.0.1", "10.0.0.1:0", NULL },
	{ " 10.0.0.1\t2001:db8::1 ", "10.0.0.1:0 [2001:db8::1]:0", NULL },
	{ "::ffff:10.0.0.1", "10.0.0.1:0", NULL },
	{ "127.0.0.2 127.0.0.2", "127.0.0.2:0 127.0.0.2:0", NULL },
	{ "client", "client", NULL },
	{ "", NULL, "is missing" },
	{ " ", NULL, "is missing" },
	{ "0.0.0.0", NULL, "leave the key out" },
	{ "::", NULL, "leave the key out" },
	{ "::ffff:0.0.0.0", NULL, "leave the key out" },
	{ "fe80::1%eth0", NULL, "leave out what follows" },
	{ "10.0.0.1:80", NULL, "without a port" },
	{ "[2001:db8::1]", NULL, "without a port" },
	{ "10.0.0", NULL, "neither an address" },
	{ "localhost", NULL, "neither an address" },
	{ "Client", NULL, "neither an address" },
	{ "client 10.0.0.1", NULL, "cannot be combined" },
	{ "10.0.0.1 client", NULL, "cannot be combined" },
	{ "client client", NULL, "cannot be combined" },
};

static void format(const struct backend_source *source, char *buf, size_t size)
{
	size_t used = 0;

	snprintf(buf, size, "%s", source->is_client ? "client" : "");
	for (size_t i = 0; i < source->n; i++) {
		if (i > 0)
			buf[used++] = ' ';
		used += sfront_sockaddr_format(&source->addresses[i], buf + used, size - used);
	}
}

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct backend_source source = { 0 };
		struct sfront_error err = { "" };
		char text[256];
		int r = backend_source_add(&source, table[i].words, &err);

		format(&source, text, sizeof(text));
		if (table[i].said ? r != -EINVAL || !strstr(err.message, table[i].said)
				  : r != 0 || strcmp(text, table[i].text) != 0)
			fail_msg("\"%s\": %d \"%s\" (%s)", table[i].words, r, text, err.message);
		assert_int_equal(backend_source_add(&source, "never", NULL), -EINVAL);
		backend_source_clear(&source);
		assert_int_equal(source.n, 0);
	}
}

/* Lines add up. */
static void test_lines(void **state)
{
	struct backend_source source = { 0 };
	struct sfront_error err;
	char text[256];

	(void)state;
	assert_int_equal(backend_source_add(&source, "10.0.0.1", &err), 0);
	assert_int_equal(backend_source_add(&source, "10.0.0.2 10.0.0.3", &err), 0);
	assert_int_equal(backend_source_add(&source, "client", &err), -EINVAL);
	format(&source, text, sizeof(text));
	assert_string_equal(text, "10.0.0.1:0 10.0.0.2:0 10.0.0.3:0");
	backend_source_clear(&source);
}

static void test_families(void **state)
{
	struct backend_source source = { 0 };
	struct sfront_error err;

	(void)state;
	assert_true(backend_source_serves(&source, AF_INET6)); /* the system chooses */
	assert_int_equal(backend_source_add(&source, "10.0.0.1", &err), 0);
	assert_true(backend_source_serves(&source, AF_INET));
	assert_false(backend_source_serves(&source, AF_INET6));
	assert_int_equal(backend_source_add(&source, "2001:db8::1", &err), 0);
	assert_true(backend_source_serves(&source, AF_INET6));
	backend_source_clear(&source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
