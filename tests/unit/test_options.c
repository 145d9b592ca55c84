/* SPDX-License-Identifier: MIT */
/*
 * Listener options by name: lib/options.c.  What they do to a socket is in
 * test_listener.c and test_unix.c.
 */
#include "descriptors.h"

#include <ctype.h>
#include <errno.h>

#include <sockfront/options.h>

static const struct {
	const char *name;
	const char *value;
	int error;
	const char *message;
} cases[] = {
	{ "unix-listen-unlink", "yes", 0, "" },
	{ "unix-listen-unlink", "off", 0, "" },
	{ "unix-listen-unlink", NULL, 0, "" },
	{ "unix-listen-unlink", "maybe", -EINVAL, "yes nor no" },
	{ "unix-listen-chmod", "owner", 0, "" },
	{ "unix-listen-chmod", "group", 0, "" },
	{ "unix-listen-chmod", "everybody", 0, "" },
	{ "unix-listen-chmod", "Owner", 0, "" },
	{ "unix-listen-chmod", "0", 0, "" },
	{ "unix-listen-chmod", "0777", 0, "" },
	{ "unix-listen-chmod", NULL, -EINVAL, "value is missing" },
	{ "unix-listen-chmod", "", -EINVAL, "octal" },
	{ "unix-listen-chmod", "world", -EINVAL, "octal" },
	{ "unix-listen-chmod", "0688", -EINVAL, "octal" },
	{ "unix-listen-chmod", "-660", -EINVAL, "octal" },
	{ "unix-listen-chmod", " 660", -EINVAL, "octal" },
	{ "unix-listen-chmod", "000660", -EINVAL, "octal" },
	{ "unix-listen-chmod", "1777", -ERANGE, "777" },
	{ "unix-listen-uid", "0", 0, "" },
	{ "unix-listen-uid", "root", 0, "" },
	{ "unix-listen-uid", "4294967294", 0, "" },
	{ "unix-listen-uid", "4294967295", -ERANGE, "too large" },
	{ "unix-listen-uid", "99999999999999999999", -ERANGE, "too large" },
	{ "unix-listen-uid", "no such user", -EINVAL, "no user \"no such user\"" },
	{ "unix-listen-uid", "-1", -EINVAL, "no user" },
	{ "unix-listen-uid", "", -EINVAL, "no user" },
	{ "unix-listen-gid", "root", 0, "" },
	{ "unix-listen-gid", "1000", 0, "" },
	{ "unix-listen-gid", "no-such-group", -EINVAL, "no group \"no-such-group\"" },
	{ "unix-listen-gid", "4294967295", -ERANGE, "too large" },
	{ "sd-accept-ignore-environment", "1", 0, "" },
	{ "sd-accept-ignore-environment", "2", -EINVAL, "yes nor no" },
	{ "tcp-keepalive", "60000:3:1000", 0, "" },
	{ "tcp-keepalive", "60s : 3 : 1s", 0, "" },
	{ "tcp-keepalive", "", 0, "" },
	{ "tcp-keepalive", "no", 0, "" },
	{ "tcp-keepalive", "32767001", -ERANGE, "32767s" },
	{ "tcp-keepalive", ":128", -ERANGE, "127" },
	{ "tcp-keepalive", "1:2:3:4", -EINVAL, "60s:3:5s" },
	{ "tcp-keepalive", NULL, -EINVAL, "TIME:COUNT:INTERVAL" },
	{ "tcp-reuse-port", "yes", 0, "" },
	{ "tcp-reuse-port", "", -EINVAL, "yes nor no" },
	{ "recv-buffer-size", "64K", 0, "" },
	{ "recv-buffer-size", "2147483647", 0, "" },
	{ "recv-buffer-size", "2G", -ERANGE, "2147483647" },
	{ "recv-buffer-size", "0", -ERANGE, "from 1" },
	{ "recv-buffer-size", "lots", -EINVAL, "64K" },
	{ "send-buffer-size", "1M", 0, "" },
	{ "send-buffer-size", "99999999999999999999", -ERANGE, "too large" },
	{ "tcp-only-v6", NULL, 0, "" },
	{ "tcp-only-v6", "v6", -EINVAL, "yes nor no" },
	{ "tcp-listen-backlog", "1", 0, "" },
	{ "tcp-listen-backlog", "2147483647", 0, "" },
	{ "tcp-listen-backlog", "0", -ERANGE, "from 1 to" },
	{ "tcp-listen-backlog", "2147483648", -ERANGE, "2147483647" },
	{ "tcp-listen-backlog", "many", -EINVAL, "number" },
	{ "tcp-nodelay", "no", 0, "" },
	{ "tcp-nodelay", "nodelay", -EINVAL, "yes nor no" },
	{ "tcp-user-timeout", "30s", 0, "" },
	{ "tcp-user-timeout", "1ms", 0, "" },
	{ "tcp-user-timeout", "0", -ERANGE, "1ms" },
	{ "tcp-user-timeout", "infinity", -ERANGE, "1ms" },
	{ "tcp-user-timeout", "1y", -ERANGE, "2147483s" },
	{ "tcp-user-timeout", "soon", -EINVAL, "5min 20s" },
	{ "tcp-fast-open", "256", 0, "" },
	{ "tcp-fast-open", "0", -ERANGE, "from 1" },
	{ "tcp-fast-open", "yes", -EINVAL, "number" },
	{ "tcp-defer-accept", "500ms", 0, "" },
	{ "tcp-defer-accept", "32767s", 0, "" },
	{ "tcp-defer-accept", "32768s", -ERANGE, "32767s" },
	{ "tcp-defer-accept", "0", -ERANGE, "1ms" },
	{ "ip-freebind", NULL, 0, "" },
	{ "ip-freebind", "x", -EINVAL, "yes nor no" },
	{ "ip-transparent", "no", 0, "" },
	{ "ip-transparent", "x", -EINVAL, "yes nor no" },
	{ "bind-to-device", "lo", 0, "" },
	{ "bind-to-device", "", -EINVAL, "15" },
	{ "bind-to-device", "interface-too-long", -EINVAL, "15" },
	{ "bind-to-device", "a/b", -EINVAL, "slashes" },
	{ "socket-mark", "7", 0, "" },
	{ "socket-mark", "0xFFffFFff", 0, "" },
	{ "socket-mark", "4294967295", 0, "" },
	{ "socket-mark", "4294967296", -ERANGE, "0xffffffff" },
	{ "socket-mark", "0x", -EINVAL, "0x7" },
	{ "socket-mark", "-1", -EINVAL, "0x7" },
	{ "socket-mark", "7f", -EINVAL, "0x7" },
	{ "socket-mark", "", -EINVAL, "0x7" },
	{ "tcp-congestion", "cubic", 0, "" },
	{ "tcp-congestion", "much-too-long-a-name", -EINVAL, "15" },
	{ "mptcp", "yes", 0, "" },
	{ "mptcp", "2", -EINVAL, "yes nor no" },
	{ "type-of-service", "0", 0, "" },
	{ "type-of-service", "255", 0, "" },
	{ "type-of-service", "256", -ERANGE, "255" },
	{ "type-of-service", "low", -EINVAL, "255" },
	{ "no-such-option", "1", -ENOENT, "\"no-such-option\"" },
	{ "tcp_nodelay", "1", -ENOENT, "\"tcp_nodelay\"" },
	{ "", "1", -ENOENT, "no option" },
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static void test_set(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		struct sfront_options *options = sfront_options_new();
		struct sfront_error err = { "" };
		int r;

		assert_non_null(options);
		assert_false(sfront_options_is_set(options, cases[i].name));
		r = sfront_options_set(options, cases[i].name, cases[i].value, &err);
		if (r != cases[i].error)
			fail_msg("%s=%s gives %d: %s", cases[i].name,
				 cases[i].value ? cases[i].value : "", r, err.message);
		assert_contains(err.message, cases[i].message);
		if (r < 0)
			assert_contains(err.message, cases[i].name);
		assert_int_equal(sfront_options_is_set(options, cases[i].name), r == 0);
		assert_int_equal(sfront_options_set(options, cases[i].name, cases[i].value, NULL),
				 r);
		sfront_options_free(options);
	}
}

/* Whether there is a case for the option that ends in @error or, for 0, well. */
static bool is_tried(const char *name, bool good)
{
	for (size_t i = 0; i < CASES; i++)
		if (strcmp(cases[i].name, name) == 0 && (cases[i].error == 0) == good)
			return true;
	return false;
}

static void test_table(void **state)
{
	const struct sfront_option *option;
	size_t n = 0;

	(void)state;
	for (; (option = sfront_option_at(n)); n++) {
		assert_ptr_equal(sfront_option_find(option->name), option);
		assert_string_not_equal(option->argument, "");
		assert_int_equal(option->is_switch, strcmp(option->argument, "yes|no") == 0);
		assert_true(islower((unsigned char)option->help[0]));
		assert_int_not_equal(option->help[strlen(option->help) - 1], '.');
		assert_null(strchr(option->help, '\n'));
		if (!is_tried(option->name, true) || !is_tried(option->name, false))
			fail_msg("no case for %s", option->name);
	}
	assert_int_equal(n, 22);
	assert_null(sfront_option_at(SIZE_MAX));
	assert_null(sfront_option_find("tcp"));
	assert_null(sfront_option_find(""));
}

static unsigned int told;

static void count_warning(void *data, const char *message)
{
	(void)message;
	*(unsigned int *)data += 1;
}

static void test_copy(void **state)
{
	struct sfront_options *options = sfront_options_new(), *copy;

	(void)state;
	assert_int_equal(sfront_options_set(options, "tcp-nodelay", "no", NULL), 0);
	sfront_options_on_warning(options, count_warning, &told);
	copy = sfront_options_copy(options);
	assert_non_null(copy);
	sfront_options_free(options);
	assert_true(sfront_options_is_set(copy, "tcp-nodelay"));
	assert_int_equal(sfront_options_set(copy, "tcp-only-v6", "yes", NULL), 0);
	assert_true(sfront_options_is_set(copy, "tcp-only-v6"));
	assert_false(sfront_options_is_set(copy, "mptcp"));
	sfront_options_free(copy);
	sfront_options_free(NULL);
}

static void test_equal(void **state)
{
	struct sfront_options *a = sfront_options_new(), *b = sfront_options_new();
	char value[32];

	(void)state;
	assert_true(sfront_options_equal(a, b));
	assert_true(sfront_options_equal(NULL, a) && sfront_options_equal(a, NULL));
	sfront_options_on_warning(a, count_warning, &told);
	assert_true(sfront_options_equal(a, b));

	/* Each option makes a difference, until the other has it too. */
	for (size_t i = 0; i < CASES; i++) {
		if (cases[i].error != 0)
			continue;
		assert_int_equal(sfront_options_set(a, cases[i].name, cases[i].value, NULL), 0);
		if (!sfront_options_is_set(b, cases[i].name))
			assert_false(sfront_options_equal(a, b));
		assert_int_equal(sfront_options_set(b, cases[i].name, cases[i].value, NULL), 0);
		assert_true(sfront_options_equal(a, b));
		assert_true(sfront_options_equal(b, a));
	}
	assert_false(sfront_options_equal(NULL, a));

	/* Nothing is left of a longer word. */
	assert_int_equal(sfront_options_set(a, "tcp-congestion", "something", NULL), 0);
	assert_false(sfront_options_equal(a, b));
	assert_int_equal(sfront_options_get(b, "tcp-congestion", value, sizeof(value)) > 0, 1);
	assert_int_equal(sfront_options_set(a, "tcp-congestion", value, NULL), 0);
	assert_true(sfront_options_equal(a, b));
	assert_int_equal(sfront_options_set(a, "tcp-keepalive", "1000::", NULL), 0);
	assert_int_equal(sfront_options_set(b, "tcp-keepalive", "2000::", NULL), 0);
	assert_false(sfront_options_equal(a, b));
	sfront_options_free(a);
	sfront_options_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_set),
		counted(test_table),
		counted(test_copy),
		counted(test_equal),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
