/* SPDX-License-Identifier: MIT */
/*
 * Lines of backend, to data and back.
 */
#include "descriptors.h"

#include "conf/server.h"

static const struct {
	const char *text;
	const char *name; /* of a UNIX socket; else the text in canonical form */
	const char *canonical;
	enum sfront_kind kind;
	uint32_t mux_port;
} good[] = {
	{ "h:1", NULL, "h:1", SFRONT_TCP, 0 },
	{ "Host:080", NULL, "host:80", SFRONT_TCP, 0 },
	{ "[::1]:http", NULL, "[::1]:http", SFRONT_TCP, 0 },
	{ "/run/a.sock", "/run/a.sock", "/run/a.sock", SFRONT_UNIX, 0 },
	{ "./a", "./a", "./a", SFRONT_UNIX, 0 },
	{ "/a\\x20b", "/a b", "/a\\x20b", SFRONT_UNIX, 0 },
	{ "/a\\\\x20b", "/a\\x20b", "/a\\\\x20b", SFRONT_UNIX, 0 },
	{ "/\\x3B\\xfF", "/;\xff", "/;\xff", SFRONT_UNIX, 0 },
	{ "/a\\x09\\x0a\\x7f\\x01", "/a\t\n\x7f\x01", "/a\\x09\\x0a\\x7f\\x01", SFRONT_UNIX, 0 },
	{ "@a", "a", "@a", SFRONT_ABSTRACT, 0 },
	{ "@a\\x20b", "a b", "@a\\x20b", SFRONT_ABSTRACT, 0 },
	{ "vsock:3:80", NULL, "vsock:3:80", SFRONT_VSOCK, 0 },
	{ "vsock:host:80", NULL, "vsock:2:80", SFRONT_VSOCK, 0 },
	{ "vsock:local:80", NULL, "vsock:1:80", SFRONT_VSOCK, 0 },
	{ "vsock-mux:/vm.sock:52", "/vm.sock", "vsock-mux:/vm.sock:52", SFRONT_UNIX, 52 },
	{ "vsock-mux:./v:m:052", "./v:m", "vsock-mux:./v:m:52", SFRONT_UNIX, 52 },
	{ "vsock-mux:/a\\x20b:4294967294", "/a b", "vsock-mux:/a\\x20b:4294967294", SFRONT_UNIX,
	  4294967294 },
	{ "srv:_pg._tcp.a.test", NULL, "srv:_pg._tcp.a.test", SFRONT_TCP, 0 },
	{ "srv:80", NULL, "srv:80", SFRONT_TCP, 0 },
	{ "srv:http", NULL, "srv:http", SFRONT_TCP, 0 },
	{ "h:1 \t", NULL, "h:1", SFRONT_TCP, 0 },
	{ "h:07000-7999", NULL, "h:7000-7999", SFRONT_TCP, 0 },
	{ "/a:1-2", "/a:1-2", "/a:1-2", SFRONT_UNIX, 0 },
};

static void test_good_lines(void **state)
{
	char text[SERVER_TEXT_SIZE];
	struct server_config server;
	struct sfront_error err;
	size_t length;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (server_parse(good[i].text, &server, &err) < 0)
			fail_msg("%s: %s", good[i].text, err.message);
		assert_int_equal(server.address.kind, good[i].kind);
		if (good[i].name)
			assert_string_equal(server.address.u.local.name, good[i].name);
		assert_int_equal(server.mux_port, good[i].mux_port);
		length = server_format(&server, text, sizeof(text));
		assert_int_equal(length, strlen(text));
		assert_string_equal(text, good[i].canonical);
		assert_int_equal(server_parse(text, &server, &err), 0);
		server_format(&server, text, sizeof(text));
		assert_string_equal(text, good[i].canonical);
	}
}

static const struct {
	const char *text, *reason;
} bad[] = {
	{ "", "the address is missing" },
	{ " h:1", "the address is missing" }, /* whoever reads lines has taken that off */
	{ "h", "no address with a port" },
	{ "http://h:1/", "write \"h:1\"" },
	{ "tcp:80", "write \"127.0.0.1:80\"" },
	{ "vsock-listen:80", "is no backend" },
	{ "redis://h", "HOST:PORT" },
	{ "h:0", "port 0" },
	{ "*:80", "names no host" },
	{ "@", "needs a name" },
	{ "/a\\", "backslash" },
	{ "/a\\n", "backslash" },
	{ "/a\\x", "backslash" },
	{ "/a\\x2", "backslash" },
	{ "/a\\xg0", "backslash" },
	{ "/a\\x0g", "backslash" },
	{ "/a\\x00", "backslash" },
	{ "/a b",
	  "\"/a b\": unknown word \"b\"; after the address there may be weight=N, max=N and backup" },
	{ "/a b", "(a blank in a path is \\x20)" },
	{ "h:1 weight=0", "\"weight=0\": a weight is a number from 1 to 256" },
	{ "h:1 weight=257", "a number from 1 to 256" },
	{ "h:1 weight=", "a number from 1 to 256" },
	{ "h:1 weight", "unknown word \"weight\"" },
	{ "h:1 max=0", "\"max=0\": how many" },
	{ "h:1 max=x", "\"max=x\": how many" },
	{ "h:1 backup=yes", "unknown word \"backup=yes\"" },
	{ "h:1 Backup", "unknown word \"Backup\"" },
	{ "vsock::80", "names no machine" },
	{ "vsock:any:80", "names no machine" },
	{ "vsock:3:0", "port 0" },
	{ "vsock:80", "vsock:CID:PORT" },
	{ "vsock-mux:80", "vsock-mux:PATH:PORT" },
	{ "vsock-mux:/a", "vsock-mux:PATH:PORT" },
	{ "vsock-mux:a:80", "vsock-mux:PATH:PORT" },
	{ "vsock-mux:@a:80", "vsock-mux:PATH:PORT" },
	{ "vsock-mux:/a:", "\"\" is not a vsock port" },
	{ "vsock-mux:/a:0", "\"0\" is not a vsock port" },
	{ "vsock-mux:/a:4294967295", "\"4294967295\" is not a vsock port" },
	{ "srv:_a._tcp.b:80", "without a port" },
	{ "srv:a.b/", "without a port" },
	{ "srv:_a._tcp.b weight=2", "the records say what the weights are" },
	{ "h:0-9", "a range of ports goes upwards" },
	{ "*:7-9", "names no host" },
	{ "-", "stdin and stdout" },
	{ "accept-from-fd:3", "an inherited descriptor" },
};

static void test_bad_lines(void **state)
{
	struct server_config server = { .mux_port = 7 };
	struct sfront_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(server_parse(bad[i].text, &server, &err) < 0);
		if (!strstr(err.message, bad[i].reason))
			fail_msg("%s: %s", bad[i].text, err.message);
		assert_int_equal(server.mux_port, 7);
	}
}

static void test_words(void **state)
{
	struct server_config server;
	struct sfront_error err;

	(void)state;
	assert_int_equal(server_parse("h:1", &server, &err), 0);
	assert_int_equal(server.weight, 1);
	assert_int_equal(server.max, 0);
	assert_false(server.is_backup);
	assert_int_equal(server_parse("h:1 weight=256\tmax=2147483647  backup ", &server, &err), 0);
	assert_int_equal(server.weight, 256);
	assert_int_equal(server.max, 2147483647);
	assert_true(server.is_backup);
}

static void test_policies(void **state)
{
	(void)state;
	assert_string_equal(balance_name(0), "least-connections");
	for (enum balance balance = 0; balance < BALANCE_POLICIES; balance++)
		assert_non_null(balance_name(balance));
}

/* 107 bytes, each of which is written as four. */
static void test_longest_path(void **state)
{
	char text[SERVER_TEXT_SIZE + 1] = "vsock-mux:/", canonical[SERVER_TEXT_SIZE];
	struct server_config server;
	struct sfront_error err;

	(void)state;
	for (int i = 1; i < SFRONT_PATH_MAX; i++)
		strcat(text, "\\x20");
	strcat(text, ":4294967294");
	assert_int_equal(server_parse(text, &server, &err), 0);
	assert_int_equal(strlen(server.address.u.local.name), SFRONT_PATH_MAX);
	assert_int_equal(server_format(&server, canonical, sizeof(canonical)), strlen(text));
	assert_string_equal(canonical, text);
	memset(text, 'x', SERVER_TEXT_SIZE);
	text[0] = '/';
	assert_true(server_parse(text, &server, &err) < 0);
	assert_non_null(strstr(err.message, "too long"));
	assert_int_equal(server_format(&server, canonical, 8), 446);
	assert_string_equal(canonical, "vsock-m");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_lines),   cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_words),        cmocka_unit_test(test_policies),
		cmocka_unit_test(test_longest_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
