/* SPDX-License-Identifier: MIT */
/*
 * Addresses as text: lib/address.c and lib/resolve.c.
 */
#include "descriptors.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <stdlib.h>

#include <sockfront/address.h>

#define A10  "aaaaaaaaaa"
#define A50  A10 A10 A10 A10 A10
#define A100 A50 A50

/* What is accepted, and its canonical text. */
static const struct {
	const char *text;
	enum sfront_kind kind;
	const char *canonical;
} good[] = {
	{ "127.0.0.1:8080", SFRONT_TCP, "127.0.0.1:8080" },
	{ "0.0.0.0:0", SFRONT_TCP, "0.0.0.0:0" },
	{ "127.0.0.1:00080", SFRONT_TCP, "127.0.0.1:80" },
	{ "127.0.0.1:000", SFRONT_TCP, "127.0.0.1:0" },
	{ "127.0.0.1:65535", SFRONT_TCP, "127.0.0.1:65535" },
	{ "[::1]:80", SFRONT_TCP, "[::1]:80" },
	{ "[0:0:0:0:0:0:0:1]:80", SFRONT_TCP, "[::1]:80" },
	{ "[2001:DB8::00AB]:80", SFRONT_TCP, "[2001:db8::ab]:80" },
	{ "[::]:8080", SFRONT_TCP, "[::]:8080" },
	{ "[::ffff:1.2.3.4]:80", SFRONT_TCP, "[::ffff:1.2.3.4]:80" },
	{ "[fe80::1%eth0]:80", SFRONT_TCP, "[fe80::1%eth0]:80" },
	{ "[FE80::1%7]:http", SFRONT_TCP, "[fe80::1%7]:http" },
	{ ":8080", SFRONT_TCP, "*:8080" },
	{ "*:8080", SFRONT_TCP, "*:8080" },
	{ "*:http", SFRONT_TCP, "*:http" },
	{ "localhost:8080", SFRONT_TCP, "localhost:8080" },
	{ "LocalHost:8080", SFRONT_TCP, "localhost:8080" },
	{ "my_host-1.example.com:http", SFRONT_TCP, "my_host-1.example.com:http" },
	{ "example.com.:1", SFRONT_TCP, "example.com.:1" },
	{ "3com.example:80", SFRONT_TCP, "3com.example:80" },
	{ "a:z3950", SFRONT_TCP, "a:z3950" },
	{ "a:3com-tsmux", SFRONT_TCP, "a:3com-tsmux" },
	{ "a:0x50", SFRONT_TCP, "a:0x50" }, /* a name as far as text goes; check() knows better */
	{ "inetd:80", SFRONT_TCP, "inetd:80" },
	{ "/run/app.sock", SFRONT_UNIX, "/run/app.sock" },
	{ "./app.sock", SFRONT_UNIX, "./app.sock" },
	{ "../app.sock", SFRONT_UNIX, "../app.sock" },
	{ ".hidden", SFRONT_UNIX, ".hidden" },
	{ "/a:80", SFRONT_UNIX, "/a:80" },
	{ ".:80", SFRONT_UNIX, ".:80" },
	{ "/with space\n\x01\xff\xfe", SFRONT_UNIX, "/with space\n\x01\xff\xfe" },
	{ "/" A100 "123456", SFRONT_UNIX, "/" A100 "123456" },
	{ "@app", SFRONT_ABSTRACT, "@app" },
	{ "@@", SFRONT_ABSTRACT, "@@" },
	{ "@/a b:80\xff", SFRONT_ABSTRACT, "@/a b:80\xff" },
	{ "@" A100 "1234567", SFRONT_ABSTRACT, "@" A100 "1234567" },
	{ "vsock:3:5000", SFRONT_VSOCK, "vsock:3:5000" },
	{ "vsock:any:5000", SFRONT_VSOCK, "vsock:any:5000" },
	{ "VSOCK:ANY:0", SFRONT_VSOCK, "vsock:any:0" },
	{ "vsock::5000", SFRONT_VSOCK, "vsock:any:5000" },
	{ "vsock:4294967295:1", SFRONT_VSOCK, "vsock:any:1" },
	{ "vsock:host:1", SFRONT_VSOCK, "vsock:2:1" },
	{ "vsock:Local:1", SFRONT_VSOCK, "vsock:1:1" },
	{ "vsock:0:4294967294", SFRONT_VSOCK, "vsock:0:4294967294" },
	{ "sd-listen", SFRONT_SD_LISTEN, "sd-listen" },
	{ "sd_listen", SFRONT_SD_LISTEN, "sd-listen" },
	{ "SD-Listen-Unix", SFRONT_SD_LISTEN, "sd-listen" },
	{ "sd_listen_unix", SFRONT_SD_LISTEN, "sd-listen" },
	{ "sd-listen:web", SFRONT_SD_LISTEN, "sd-listen:web" },
	{ "SD_LISTEN:Web", SFRONT_SD_LISTEN, "sd-listen:Web" },
	{ "sd-listen:*", SFRONT_SD_LISTEN, "sd-listen:*" },
	{ "sd-listen:**", SFRONT_SD_LISTEN, "sd-listen:**" },
	{ "accept-from-fd:3", SFRONT_FD, "accept-from-fd:3" },
	{ "Accept-From-FD:0", SFRONT_FD, "accept-from-fd:0" },
	{ "accept-from-fd:2147483647", SFRONT_FD, "accept-from-fd:2147483647" },
	{ "-", SFRONT_INETD, "-" },
	{ "inetd", SFRONT_INETD, "-" },
	{ "STDIO", SFRONT_INETD, "-" },
};

/* What is refused, and what the message must hold. */
static const struct {
	const char *text;
	int error;
	const char *message;
} bad[] = {
	{ "", -EINVAL, "HOST:PORT" },
	{ "8080", -EINVAL, "\":8080\"" },
	{ "localhost", -EINVAL, "port is missing" },
	{ "localhost:", -EINVAL, "port is missing" },
	{ ":", -EINVAL, "port is missing" },
	{ "localhost:99999", -EINVAL, "65535" },
	{ "localhost:65536", -EINVAL, "65535" },
	{ "localhost:99999999999999999999999", -EINVAL, "65535" },
	{ "localhost:+80", -EINVAL, "\"+80\" is not a port" },
	{ "localhost:-80", -EINVAL, "\"-80\" is not a port" },
	{ "localhost: 80", -EINVAL, "\" 80\" is not a port" },
	{ "localhost:80 ", -EINVAL, "is not a port" },
	{ "localhost:8 0", -EINVAL, "is not a port" },
	{ "localhost:8-0", -EINVAL, "is not a port" },
	{ "localhost:80\n", -EINVAL, "is not a port" },
	{ "localhost:" A50 A10 "abcd", -ENAMETOOLONG, "63" },
	{ "127.1:80", -EINVAL, "not an IPv4 address" },
	{ "0x7f.1:80", -EINVAL, "not an IPv4 address" },
	{ "0x7f000001:80", -EINVAL, "not an IPv4 address" },
	{ "1.2.3.4.5:80", -EINVAL, "not an IPv4 address" },
	{ "256.1.1.1:80", -EINVAL, "not an IPv4 address" },
	{ "127.0.0.01:80", -EINVAL, "not an IPv4 address" },
	{ "080:80", -EINVAL, "not an IPv4 address" },
	{ "1..2:80", -EINVAL, "not an IPv4 address" },
	{ "::1", -EINVAL, "[::1]:PORT" },
	{ "::1:80", -EINVAL, "brackets" },
	{ "fe80::1%eth0:80", -EINVAL, "brackets" },
	{ "::", -EINVAL, "brackets" },
	{ "a:b:80", -EINVAL, "brackets" },
	{ "[::1]", -EINVAL, "port is missing" },
	{ "[::1]80", -EINVAL, "port is missing" },
	{ "[::1", -EINVAL, "]" },
	{ "[]:80", -EINVAL, "IPv6" },
	{ "[[::1]]:80", -EINVAL, "port is missing" },
	{ "[[::1]:80", -EINVAL, "IPv6" },
	{ "[127.0.0.1]:80", -EINVAL, "IPv6" },
	{ "[localhost]:80", -EINVAL, "IPv6" },
	{ "[::1:80", -EINVAL, "] is missing" },
	{ "[fe80::1%]:80", -EINVAL, "interface" },
	{ "[fe80::1%e th]:80", -EINVAL, "interface" },
	{ "[fe80::1%interface-too-long]:80", -EINVAL, "15" },
	{ "[" A100 A100 A100 "]:80", -EINVAL, "IPv6" },
	{ "a b:80", -EINVAL, "is not a host" },
	{ "a..b:80", -EINVAL, "is not a host" },
	{ "a/b:80", -EINVAL, "is not a host" },
	{ "**:80", -EINVAL, "is not a host" },
	{ "caf\xc3\xa9:80", -EINVAL, "is not a host" },
	{ "\xff:80", -EINVAL, "is not a host" },
	{ "a[::1]:80", -EINVAL, "colons" },
	{ A100 A100 A50 "abcd:80", -ENAMETOOLONG, "253" },
	{ A100 A100 A100 A100 A100 A100 A100 ":80", -ENAMETOOLONG, "253" },
	{ "/" A100 "1234567", -ENAMETOOLONG, "107" },
	{ "@" A100 "12345678", -ENAMETOOLONG, "107" },
	{ "@", -EINVAL, "name" },
	{ "vsock", -EINVAL, "vsock:CID:PORT" },
	{ "vsock:80", -EINVAL, "vsock:CID:PORT" },
	{ "vsock:any:", -EINVAL, "vsock port" },
	{ "vsock:any:4294967295", -EINVAL, "4294967294" },
	{ "vsock:any:-1", -EINVAL, "vsock port" },
	{ "vsock:any:5000:1", -EINVAL, "vsock port" },
	{ "vsock:4294967296:1", -EINVAL, "CID" },
	{ "vsock:guest:1", -EINVAL, "\"guest\" is not a CID" },
	{ "vsock: 3:1", -EINVAL, "CID" },
	{ "sd-listen:", -EINVAL, "sd-listen:NAME" },
	{ "sd-listen:a:b", -EINVAL, "has no colon" },
	{ "sd-listen-unix:web", -EINVAL, "sd-listen:NAME" },
	{ "sd-listen:" A100 A100 A50 "123456", -ENAMETOOLONG, "255" },
	{ "accept-from-fd", -EINVAL, "accept-from-fd:N" },
	{ "accept-from-fd:", -EINVAL, "accept-from-fd:N" },
	{ "accept-from-fd:-1", -EINVAL, "accept-from-fd:N" },
	{ "accept-from-fd:+3", -EINVAL, "accept-from-fd:N" },
	{ "accept-from-fd:3x", -EINVAL, "accept-from-fd:N" },
	{ "accept-from-fd:2147483648", -EINVAL, "accept-from-fd:N" },
	{ "--", -EINVAL, "port is missing" },
};

/* As other programs write it, and here; NULL: nothing can be suggested. */
static const struct {
	const char *text;
	const char *suggestion;
} foreign[] = {
	{ "unix:/run/x", "/run/x" },
	{ "unix:///run/x", "/run/x" },
	{ "UNIX-CONNECT:/run/x,a=b", "/run/x" },
	{ "unix:run/x", "./run/x" },
	{ "abstract:x", "@x" },
	{ "abns@@x", "@x" },
	{ "tcp:8080", ":8080" },
	{ "tcp://:80", ":80" },
	{ "tcp4:8080", "0.0.0.0:8080" },
	{ "tcp6://[::1]:80", "[::1]:80" },
	{ "http://localhost/a:b", "localhost:80" },
	{ "http://[::1]", "[::1]:80" },
	{ "https://u:p@[::1]:8443?x", "[::1]:8443" },
	{ "a+b-c://x:1", "x:1" },
	{ "vsock-listen:5", "vsock:any:5" },
	{ "fd@7", "accept-from-fd:7" },
	{ "fd://", "sd-listen" },
	{ "tcp:", NULL },
	{ "tcp://localhost", NULL },
	{ "tcp:tcp:80", NULL },
	{ "redis://x", NULL },
	{ "unix:/" A100 "1234567", NULL },
	{ "tcp:" A100 A100 A100 A100 A100 ":80", NULL },
	{ "udp://x:1", NULL },
	{ "127.0.0.1:80", NULL },
	{ "./a://b", NULL },
	{ "/a://b", NULL },
	{ "@a://b", NULL },
	{ "", NULL },
};

static void test_suggest(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		const char *text = foreign[i].text, *suggestion = foreign[i].suggestion;
		char buf[SFRONT_ADDRESS_TEXT_SIZE] = "untouched";
		struct sfront_address address;
		struct sfront_error err;
		size_t length = sfront_address_suggest(text, buf, sizeof(buf));

		if (strcmp(buf, suggestion ? suggestion : "untouched") != 0)
			fail_msg("\"%s\": \"%s\"", text, buf);
		assert_int_equal(length, suggestion ? strlen(suggestion) : 0);
		if (!suggestion)
			continue;
		assert_int_equal(sfront_address_parse(text, &address, &err), -EINVAL);
		assert_contains(err.message, suggestion);
		assert_int_equal(sfront_address_parse(suggestion, &address, NULL), 0);
	}
}

static void test_suggestion_cut_off(void **state)
{
	char buf[4];

	(void)state;
	assert_int_equal(sfront_address_suggest("unix:/run/x", buf, sizeof(buf)), 6);
	assert_string_equal(buf, "/ru");
	assert_int_equal(sfront_address_suggest("unix:/run/x", NULL, 0), 6);
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct sfront_address address, again;
		struct sfront_error err = { "" };
		char text[SFRONT_ADDRESS_TEXT_SIZE];

		if (sfront_address_parse(good[i].text, &address, &err) != 0)
			fail_msg("%s: %s", good[i].text, err.message);
		assert_int_equal(address.kind, good[i].kind);
		assert_int_equal(sfront_address_format(&address, text, sizeof(text)),
				 strlen(good[i].canonical));
		assert_string_equal(text, good[i].canonical);

		assert_int_equal(sfront_address_parse(text, &again, NULL), 0);
		assert_true(sfront_address_equal(&address, &again));
		sfront_address_format(&again, text, sizeof(text));
		assert_string_equal(text, good[i].canonical);
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sfront_address address, before;
		struct sfront_error err = { "" };

		memset(&address, 0x5a, sizeof(address));
		before = address;
		if (sfront_address_parse(bad[i].text, &address, &err) != bad[i].error)
			fail_msg("\"%s\": not %d: %s", bad[i].text, bad[i].error, err.message);
		assert_contains(err.message, bad[i].message);
		assert_int_equal(sfront_address_parse(bad[i].text, &address, NULL), bad[i].error);
		assert_memory_equal(&address, &before, sizeof(address));
	}
}

/* The reason must survive whatever the user typed. */
static void test_message_of_long_text(void **state)
{
	struct sfront_address address;
	struct sfront_error err;
	char text[4096];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(sfront_address_parse(text, &address, &err), -EINVAL);
	assert_contains(err.message, "...");
	assert_contains(err.message, "a port is missing");
	text[0] = '/';
	assert_int_equal(sfront_address_parse(text, &address, &err), -ENAMETOOLONG);
	assert_contains(err.message, "this one has 4095");
}

/* Whatever the bytes: a verdict, a message, and a round trip where it is accepted. */
static void test_random_bytes(void **state)
{
	static const char alphabet[] = "[]:.%@/-*0129afsdvockliten \xff\x01";
	unsigned int seed = 20240607;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct sfront_address address, again;
		struct sfront_error err = { "" };
		char text[24], canonical[SFRONT_ADDRESS_TEXT_SIZE];
		size_t len = (size_t)rand_r(&seed) % (sizeof(text) - 1);

		for (size_t j = 0; j < len; j++)
			text[j] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		text[len] = '\0';
		if (sfront_address_parse(text, &address, &err) < 0) {
			assert_string_not_equal(err.message, "");
			continue;
		}
		sfront_address_format(&address, canonical, sizeof(canonical));
		assert_int_equal(sfront_address_parse(canonical, &again, NULL), 0);
		assert_true(sfront_address_equal(&address, &again));
	}
}

static struct sfront_address parsed(const char *text)
{
	struct sfront_address address;
	struct sfront_error err;

	if (sfront_address_parse(text, &address, &err) < 0)
		fail_msg("%s", err.message);
	return address;
}

static bool equal(const char *a, const char *b)
{
	struct sfront_address x = parsed(a), y = parsed(b);

	return sfront_address_equal(&x, &y);
}

static void test_equal(void **state)
{
	(void)state;
	assert_true(equal(":80", "*:0080"));
	assert_true(equal("[::1]:80", "[0::0:1]:80"));
	assert_true(equal("Localhost:80", "localhost:80"));
	assert_true(equal("vsock::1", "vsock:any:1"));
	assert_true(equal("inetd", "-"));
	assert_false(equal("*:80", "[::]:80"));
	assert_false(equal("127.0.0.1:80", "127.0.0.1:81"));
	assert_false(equal("sd-listen", "sd-listen:*"));
	assert_false(equal("sd-listen:a", "sd-listen:A"));
	assert_false(equal("./a", "/a"));
	assert_false(equal("[fe80::1%a]:1", "[fe80::1%b]:1"));
}

static void test_format_cut_off(void **state)
{
	struct sfront_address address = parsed("127.0.0.1:80");
	char text[8] = "zzzzzzz";

	(void)state;
	assert_int_equal(sfront_address_format(&address, text, sizeof(text)), 12);
	assert_string_equal(text, "127.0.0");
	assert_int_equal(sfront_address_format(&address, NULL, 0), 12);
}

static void test_literal(void **state)
{
	static const struct {
		const char *text;
		bool literal;
	} cases[] = {
		{ "127.0.0.1:80", true }, { "[::1]:http", true },    { "*:80", true },
		{ ":80", true },          { "localhost:80", false }, { "/a", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sfront_address address = parsed(cases[i].text);

		assert_int_equal(sfront_address_is_literal(&address), cases[i].literal);
	}
}

static void test_check(void **state)
{
	struct sfront_address address = parsed("localhost:http");
	struct sfront_error err;

	(void)state;
	assert_int_equal(sfront_address_check(&address, &err), 0);
	address = parsed("nowhere.invalid:80");
	assert_int_equal(sfront_address_check(&address, &err), 0);
	address = parsed("localhost:no-such-service");
	assert_int_equal(sfront_address_check(&address, &err), -ENOENT);
	assert_contains(err.message, "\"no-such-service\"");
	address = parsed("localhost:0x50");
	assert_int_equal(sfront_address_check(&address, &err), -ENOENT);
	address = parsed("/tmp/x");
	assert_int_equal(sfront_address_check(&address, &err), 0);
}

static void test_port(void **state)
{
	struct sfront_address address = parsed("localhost:http");
	struct sfront_error err;
	uint16_t port = 0;

	(void)state;
	assert_int_equal(sfront_address_port(&address, &port, &err), 0);
	assert_int_equal(port, 80);
	address = parsed(":0081");
	assert_int_equal(sfront_address_port(&address, &port, NULL), 0);
	assert_int_equal(port, 81);
	address = parsed("localhost:no-such-service");
	assert_int_equal(sfront_address_port(&address, &port, &err), -ENOENT);
	assert_contains(err.message, "\"no-such-service\"");
	address = parsed("/tmp/x");
	assert_int_equal(sfront_address_port(&address, &port, &err), -EINVAL);
	assert_int_equal(port, 81);
}

static void assert_resolves(const char *text, const char *expected)
{
	struct sfront_address address = parsed(text);
	struct sfront_sockaddr addr;
	struct sfront_error err;
	char shown[SFRONT_ADDRESS_TEXT_SIZE];

	if (sfront_address_resolve(&address, &addr, 1, &err) != 1)
		fail_msg("%s: %s", text, err.message);
	sfront_sockaddr_format(&addr, shown, sizeof(shown));
	assert_string_equal(shown, expected);
}

static void test_resolve_literals(void **state)
{
	(void)state;
	assert_resolves("127.0.0.1:80", "127.0.0.1:80");
	assert_resolves("127.0.0.1:http", "127.0.0.1:80");
	assert_resolves("[2001:db8::1]:443", "[2001:db8::1]:443");
	assert_resolves("*:8080", "[::]:8080");
	assert_resolves("[fe80::1%lo]:1", "[fe80::1%lo]:1");
	assert_resolves("[fe80::1%999999]:1", "[fe80::1%999999]:1");
}

static void assert_unresolved(const char *text, int error, const char *message)
{
	struct sfront_address address = parsed(text);
	struct sfront_sockaddr addr[4];
	struct sfront_error err = { "" };

	assert_int_equal(sfront_address_resolve(&address, addr, 4, &err), error);
	assert_contains(err.message, message);
}

static void test_resolve_names(void **state)
{
	struct sfront_address address = parsed("localhost:8080");
	struct sfront_sockaddr addr[16];
	int n;

	(void)state;
	n = sfront_address_resolve(&address, addr, 16, NULL);
	assert_in_range(n, 1, 16);
	for (int i = 0; i < n; i++) {
		char text[SFRONT_ADDRESS_TEXT_SIZE];

		sfront_sockaddr_format(&addr[i], text, sizeof(text));
		assert_contains(text, ":8080");
		for (int j = 0; j < i; j++)
			assert_false(sfront_sockaddr_equal(&addr[i], &addr[j]));
	}
	assert_unresolved("localhost:no-such-service", -ENOENT, "no-such-service");
	assert_unresolved("127.0.0.1:no-such-service", -ENOENT, "no-such-service");
	assert_unresolved("[fe80::1%nowhere]:80", -ENODEV, "\"nowhere\"");
	assert_unresolved("/tmp/x", -EINVAL, "TCP");
}

static struct sfront_sockaddr unix_addr(const char *path, size_t len)
{
	struct sfront_sockaddr addr = {
		.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len),
	};

	addr.sa.un.sun_family = AF_UNIX;
	memcpy(addr.sa.un.sun_path, path, len);
	return addr;
}

static void assert_shown(const struct sfront_sockaddr *addr, const char *expected)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	assert_int_equal(sfront_sockaddr_format(addr, text, sizeof(text)), strlen(expected));
	assert_string_equal(text, expected);
}

static void test_sockaddr_format(void **state)
{
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa.in6) };
	struct sockaddr_vm vm = { .svm_family = AF_VSOCK, .svm_cid = 3, .svm_port = 5000 };
	char full[109];

	(void)state;
	addr.sa.in6.sin6_family = AF_INET6;
	addr.sa.in6.sin6_port = htons(80);
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &addr.sa.in6.sin6_addr);
	assert_shown(&addr, "192.0.2.1:80");
	inet_pton(AF_INET6, "2001:db8::1", &addr.sa.in6.sin6_addr);
	assert_shown(&addr, "[2001:db8::1]:80");

	addr = unix_addr("/run/x", 7);
	assert_shown(&addr, "/run/x");
	addr = unix_addr("", 0);
	assert_shown(&addr, "unix");
	addr = unix_addr("\0a\0b", 4);
	assert_shown(&addr, "@a@b");
	memset(full, 'p', sizeof(full));
	full[108] = '\0';
	addr = unix_addr(full, 108); /* without a NUL, as the kernel allows */
	assert_shown(&addr, full);

	memset(&addr, 0, sizeof(addr));
	addr.len = sizeof(vm);
	memcpy(&addr.sa, &vm, sizeof(vm));
	assert_shown(&addr, "vsock:3:5000");
	vm.svm_cid = VMADDR_CID_ANY;
	memcpy(&addr.sa, &vm, sizeof(vm));
	assert_shown(&addr, "vsock:any:5000");
	addr.len = 0;
	assert_shown(&addr, "unknown");
}

static void test_sockaddr_equal(void **state)
{
	struct sfront_sockaddr in = { .len = sizeof(in.sa.in) },
			       in6 = { .len = sizeof(in6.sa.in6) };
	struct sfront_sockaddr a, b;

	(void)state;
	in.sa.in.sin_family = AF_INET;
	in.sa.in.sin_port = htons(80);
	inet_pton(AF_INET, "192.0.2.1", &in.sa.in.sin_addr);
	in6.sa.in6.sin6_family = AF_INET6;
	in6.sa.in6.sin6_port = htons(80);
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sa.in6.sin6_addr);
	assert_true(sfront_sockaddr_equal(&in, &in6));
	in6.sa.in6.sin6_port = htons(81);
	assert_false(sfront_sockaddr_equal(&in, &in6));

	a = unix_addr("/x\0garbage", 10);
	b = unix_addr("/x", 3);
	assert_true(sfront_sockaddr_equal(&a, &b));
	a = unix_addr("\0x\0y", 4);
	b = unix_addr("\0x\0z", 4);
	assert_false(sfront_sockaddr_equal(&a, &b));
	assert_false(sfront_sockaddr_equal(&a, &in));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_good),
		counted(test_bad),
		counted(test_message_of_long_text),
		counted(test_random_bytes),
		counted(test_equal),
		counted(test_suggest),
		counted(test_suggestion_cut_off),
		counted(test_format_cut_off),
		counted(test_literal),
		counted(test_check),
		counted(test_port),
		counted(test_resolve_literals),
		counted(test_resolve_names),
		counted(test_sockaddr_format),
		counted(test_sockaddr_equal),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
