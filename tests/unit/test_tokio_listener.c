/* SPDX-License-Identifier: MIT */
/*
 * The grammar of tokio-listener, a library for the same purpose in Rust, whose
 * users bring their addresses and options along.  Each row says whether it takes
 * a text, and whether this library does; where the two differ, or mean
 * different things by it, the row says why that is intended.
 */
#include "descriptors.h"

#include <unistd.h>

#include <sockfront/address.h>
#include <sockfront/options.h>

static const struct address_row {
	const char *text;
	bool theirs;
	bool ours;
	const char *canonical;
	const char *intended; /* the difference */
} addresses[] = {
	{ "127.0.0.1:8087", true, true, "127.0.0.1:8087", NULL },
	{ "127.0.0.1:0080", true, true, "127.0.0.1:80", NULL },
	{ "[::1]:80", true, true, "[::1]:80", NULL },
	{ "[::]:80", true, true, "[::]:80", NULL },
	{ "[fe80::1%3]:80", true, true, "[fe80::1%3]:80", NULL },
	{ "127.0.0.01:80", false, false, NULL, NULL },
	{ "127.0.0.1:+80", false, false, NULL, NULL },
	{ "127.0.0.1:65536", false, false, NULL, NULL },
	{ "127.0.0.1", false, false, NULL, NULL },
	{ "::1:80", false, false, NULL, NULL },
	{ "", false, false, NULL, NULL },
	{ "localhost:80", false, true, "localhost:80", "host names are resolved" },
	{ "127.0.0.1:http", false, true, "127.0.0.1:http", "so are names of services" },
	{ ":80", false, true, "*:80", "every address has a short form" },
	{ "*:80", false, true, "*:80", "every address has a short form" },
	{ "[fe80::1%eth0]:80", false, true, "[fe80::1%eth0]:80", "interfaces have names" },
	{ "/path/to/socket", true, true, "/path/to/socket", NULL },
	{ "./socket", true, true, "./socket", NULL },
	{ "../socket", false, true, "../socket", "its manual says that a dot is enough" },
	{ ".socket", false, true, ".socket", "its manual says that a dot is enough" },
	{ "@name", true, true, "@name", NULL },
	{ "@", true, false, NULL, "without a name the kernel would choose one" },
	{ "inetd", true, true, "-", NULL },
	{ "Inetd", true, true, "-", NULL },
	{ "stdio", true, true, "-", NULL },
	{ "STDIO", true, true, "-", NULL },
	{ "-", true, true, "-", NULL },
	{ "sd-listen", true, true, "sd-listen", NULL },
	{ "SD_LISTEN", true, true, "sd-listen", NULL },
	{ "sd-listen-unix", true, true, "sd-listen", NULL },
	{ "Sd_Listen_Unix", true, true, "sd-listen", NULL },
	{ "sd-listen:web", true, true, "sd-listen:web", NULL },
	{ "sd_listen:web", true, true, "sd-listen:web", NULL },
	{ "sd-listen:*", true, true, "sd-listen:*", NULL },
	{ "sd-listen:a:b", false, false, NULL, NULL },
	{ "sd-listen:", true, false, NULL, "no descriptor has an empty name" },
	{ "SD-LISTEN:web", false, true, "sd-listen:web", "words have no case" },
	{ "accept-from-fd:4", false, true, "accept-from-fd:4", "what it prints is read as well" },
	{ "vsock:42:8080", true, true, "vsock:42:8080", NULL },
	{ "vsock:host:1", true, true, "vsock:2:1", NULL },
	{ "vsock:Local:1", true, true, "vsock:1:1", NULL },
	{ "vsock:any:1", true, true, "vsock:any:1", NULL },
	{ "vsock:4294967295:1", true, true, "vsock:any:1", NULL },
	{ "vsock:42", false, false, NULL, NULL },
	{ "vsock:guest:1", false, false, NULL, NULL },
	{ "vsock:any:0", true, true, "vsock:any:0", "0 is a free port, as with TCP" },
	{ "vsock:any:4294967295", true, false, NULL, "a free port is written 0, as with TCP" },
	{ "vsock:+42:1", true, false, NULL, "numbers have no sign" },
	{ "vsock::1", false, true, "vsock:any:1", "no CID stands for any" },
	{ "VSOCK:any:1", false, true, "vsock:any:1", "words have no case" },
};

static const struct option_row {
	const char *name;
	const char *value; /* NULL: the option alone */
	bool theirs;
	bool ours;
	const char *read_back;
	const char *intended;
} options_rows[] = {
	{ "unix-listen-unlink", NULL, true, true, "yes", NULL },
	{ "sd-accept-ignore-environment", NULL, true, true, "yes", NULL },
	{ "tcp-reuse-port", NULL, true, true, "yes", NULL },
	{ "tcp-only-v6", NULL, true, true, "yes", NULL },
	{ "tcp-only-v6", "no", false, true, "no", "a file has to be able to say no" },
	{ "unix-listen-chmod", "owner", true, true, "0600", NULL },
	{ "unix-listen-chmod", "Owner", true, true, "0600", NULL },
	{ "unix-listen-chmod", "GROUP", true, true, "0660", NULL },
	{ "unix-listen-chmod", "everyBody", true, true, "0666", NULL },
	{ "unix-listen-chmod", "world", false, false, NULL, NULL },
	{ "unix-listen-chmod", "640", false, true, "0640", "any mode may be wanted" },
	{ "unix-listen-uid", "1000", true, true, "1000", NULL },
	{ "unix-listen-gid", "1000", true, true, "1000", NULL },
	{ "unix-listen-uid", "root", false, true, "0", "users have names" },
	{ "unix-listen-gid", "root", false, true, "0", "groups have names" },
	{ "unix-listen-uid", "+1", true, false, NULL, "numbers have no sign" },
	{ "unix-listen-uid", "-1", false, false, NULL, NULL },
	{ "tcp-keepalive", "60000:3:5000", true, true, "60000:3:5000", NULL },
	{ "tcp-keepalive", "60000 : 3 : 5000", true, true, "60000:3:5000", NULL },
	{ "tcp-keepalive", " 60000:", true, true, "60000::", NULL },
	{ "tcp-keepalive", "60000", true, true, "60000::", NULL },
	{ "tcp-keepalive", ":3", true, true, ":3:", NULL },
	{ "tcp-keepalive", "::5000", true, true, "::5000", NULL },
	{ "tcp-keepalive", "::", true, true, "yes", NULL },
	{ "tcp-keepalive", "", true, true, "yes", NULL },
	{ "tcp-keepalive", "1:2:3:4", false, false, NULL, NULL },
	{ "tcp-keepalive", "soon", false, false, NULL, NULL },
	{ "tcp-keepalive", "60s:3:5s", false, true, "60000:3:5000", "times have units" },
	{ "tcp-keepalive", "no", false, true, "no", "a file has to be able to say no" },
	{ "tcp-keepalive", "1", true, true, "yes", "a yes, as for every other switch" },
	{ "tcp-keepalive", "0", true, true, "no", "a no; the kernel refuses a time of 0" },
	{ "tcp-keepalive", "0:1", true, false, NULL, "the kernel refuses a time of 0" },
	{ "tcp-keepalive", ":300", true, false, NULL, "the kernel refuses more than 127" },
	{ "recv-buffer-size", "65536", true, true, "65536", NULL },
	{ "send-buffer-size", "65536", true, true, "65536", NULL },
	{ "send-buffer-size", "64K", false, true, "65536", "sizes have units" },
	{ "recv-buffer-size", "0", true, false, NULL, "the kernel makes it its least" },
	{ "tcp-listen-backlog", "128", true, true, "128", NULL },
	{ "tcp-listen-backlog", "0", true, false, NULL, "the kernel makes it 1" },
	{ "tcp-listen-backlog", "-1", false, false, NULL, NULL },
};

static void test_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		const struct address_row *row = &addresses[i];
		char text[SFRONT_ADDRESS_TEXT_SIZE] = "";
		struct sfront_address address;
		struct sfront_error err = { "" };
		int r = sfront_address_parse(row->text, &address, &err);

		if (row->theirs != row->ours && !row->intended)
			fail_msg("\"%s\": why do they differ?", row->text);
		if ((r == 0) != row->ours)
			fail_msg("\"%s\": %d %s", row->text, r, err.message);
		if (r < 0)
			continue;
		sfront_address_format(&address, text, sizeof(text));
		assert_string_equal(text, row->canonical);
	}
}

static void test_options(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(options_rows) / sizeof(options_rows[0]); i++) {
		const struct option_row *row = &options_rows[i];
		struct sfront_options *options = sfront_options_new();
		struct sfront_error err = { "" };
		char text[64] = "";
		int r = sfront_options_set(options, row->name, row->value, &err);

		if (row->theirs != row->ours && !row->intended)
			fail_msg("%s = %s: why do they differ?", row->name, row->value);
		if ((r == 0) != row->ours)
			fail_msg("%s = %s: %d %s", row->name, row->value, r, err.message);
		if (r == 0) {
			assert_true(sfront_options_get(options, row->name, text, sizeof(text)) > 0);
			assert_string_equal(text, row->read_back);
		}
		sfront_options_free(options);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_addresses),
		counted(test_options),
	};

	return cmocka_run_group_tests_name("tokio-listener", tests, NULL, NULL);
}
