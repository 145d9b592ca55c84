/* SPDX-License-Identifier: MIT */
/*
 * Addresses with a range of ports, to data and back.
 */
#include "descriptors.h"

#include "conf/port_range.h"

static const struct {
	const char *text, *canonical, *last;
	unsigned int further;
} good[] = {
	{ "127.0.0.1:7000-7999", "127.0.0.1:7000-7999", "127.0.0.1:7999", 999 },
	{ "[::1]:1-65535", "[::1]:1-65535", "[::1]:65535", 65534 },
	{ "[fe80::1%eth0]:08-010", "[fe80::1%eth0]:8-10", "[fe80::1%eth0]:10", 2 },
	{ ":7000-7001", "*:7000-7001", "*:7001", 1 },
	{ "Host-1:7-8", "host-1:7-8", "host-1:8", 1 },
	{ "h:7-7", "h:7", "h:7", 0 },
	{ "h:7", "h:7", "h:7", 0 },
	{ "h:http", "h:http", "h:http", 0 },
	/* What only looks like one. */
	{ "/run/a:1-2", "/run/a:1-2", "/run/a:1-2", 0 },
	{ "./a:1-2", "./a:1-2", "./a:1-2", 0 },
	{ "@a:1-2", "@a:1-2", "@a:1-2", 0 },
	{ "sd-listen:1-2", "sd-listen:1-2", "sd-listen:1-2", 0 },
	{ "h:a-1-2", "h:a-1-2", "h:a-1-2", 0 },
};

static void test_good(void **state)
{
	char text[PORT_RANGE_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct sfront_address first, last;
		struct sfront_error err;
		unsigned int further;
		size_t length;

		if (port_range_parse(good[i].text, &first, &further, &err) < 0)
			fail_msg("%s: %s", good[i].text, err.message);
		assert_int_equal(further, good[i].further);
		length = port_range_format(&first, further, text, sizeof(text));
		assert_string_equal(text, good[i].canonical);
		assert_int_equal(length, strlen(text));
		last = port_range_at(&first, further);
		sfront_address_format(&last, text, sizeof(text));
		assert_string_equal(text, good[i].last);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = { "h:8-7", "h:0-7", "h:7-65536",
					   "h:7-99999999999999999999" };
	struct sfront_address first;
	struct sfront_error err;
	unsigned int further;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(port_range_parse(bad[i], &first, &further, &err) < 0);
		assert_contains(err.message, bad[i]);
		assert_contains(err.message, "a range of ports goes upwards");
	}
}

/* The text is cut off, and its length is that of the whole. */
static void test_short_buffer(void **state)
{
	struct sfront_address first;
	unsigned int further;
	char text[8];

	(void)state;
	assert_int_equal(port_range_parse("h:7000-7999", &first, &further, NULL), 0);
	assert_int_equal(port_range_format(&first, further, text, sizeof(text)), 11);
	assert_string_equal(text, "h:7000-");
	assert_int_equal(port_range_format(&first, further, text, 3), 11);
	assert_string_equal(text, "h:");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_good),
		counted(test_bad),
		counted(test_short_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
