/* SPDX-License-Identifier: MIT */
/*
 * Clients against rules: addresses of each kind, prefixes at odd bits, IPv4 inside IPv6, what
 * a header claims, users and groups.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/source_index.h"
#include "daemon/proxy/access.h"
#include "tests/unit/descriptors.h"

static struct sfront_sockaddr address(const char *text)
{
	struct sfront_sockaddr addr = { .len = 0 };
	unsigned int cid;

	if (strcmp(text, "unix") == 0) {
		addr.sa.un.sun_family = AF_UNIX;
		addr.len = sizeof(sa_family_t);
	} else if (sscanf(text, "vsock:%u", &cid) == 1) {
		const struct sockaddr_vm vm = { .svm_family = AF_VSOCK, .svm_cid = cid };

		memcpy(&addr.sa, &vm, sizeof(vm));
		addr.len = sizeof(vm);
	} else if (inet_pton(AF_INET, text, &addr.sa.in.sin_addr) == 1) {
		addr.sa.in.sin_family = AF_INET;
		addr.len = sizeof(addr.sa.in);
	} else if (inet_pton(AF_INET6, text, &addr.sa.in6.sin6_addr) == 1) {
		addr.sa.in6.sin6_family = AF_INET6;
		addr.sa.in6.sin6_scope_id = 7; /* is not looked at */
		addr.len = sizeof(addr.sa.in6);
	} else {
		assert_string_equal(text, "pipe");
	}
	return addr;
}

static const struct {
	const char *rules; /* +SOURCE lets in, -SOURCE keeps out */
	const char *peer;
	const char *claimed; /* by a header; NULL: none */
	bool granted;
} table[] = {
	{ "", "10.0.0.1", NULL, true },
	{ "-10.0.0.0/8", "10.0.0.1", NULL, false },
	{ "-10.0.0.0/8", "11.0.0.1", NULL, true },
	{ "+10.0.0.0/8", "11.0.0.1", NULL, false },
	{ "+10.0.0.0/8", "10.255.0.1", NULL, true },
	{ "-10.0.0.1 +10.0.0.0/8", "10.0.0.1", NULL, false },
	{ "+10.0.0.0/8 -10.0.0.1", "10.0.0.1", NULL, true },
	{ "+any -any", "unix", NULL, true },
	{ "-any +any", "unix", NULL, false },
	{ "+192.168.4.0/23", "192.168.5.255", NULL, true },
	{ "+192.168.4.0/23", "192.168.6.0", NULL, false },
	{ "+0.0.0.0/0", "1.2.3.4", NULL, true },
	{ "+0.0.0.0/0", "2001:db8::1", NULL, false },
	{ "+::/0", "1.2.3.4", NULL, false },
	{ "+128.0.0.0/1", "128.0.0.1", NULL, true },
	{ "+128.0.0.0/1", "127.0.0.1", NULL, false },
	{ "+2001:db8::/33", "2001:db8:7fff::1", NULL, true },
	{ "+2001:db8::/33", "2001:db8:8000::1", NULL, false },
	{ "+2001:db8::1", "2001:db8::1", NULL, true },
	{ "+2001:db8::1", "2001:db8::2", NULL, false },
	{ "+fe80::/10", "fe80::1", NULL, true },
	{ "+10.0.0.0/8", "::ffff:10.1.1.1", NULL, true },
	{ "+::ffff:10.0.0.0/104", "10.1.1.1", NULL, true },
	{ "+::/0", "::ffff:10.1.1.1", NULL, false },
	{ "+loopback", "127.8.9.1", NULL, true },
	{ "+loopback", "::1", NULL, true },
	{ "+loopback", "::ffff:127.0.0.1", NULL, true },
	{ "+loopback", "128.0.0.1", NULL, false },
	{ "+loopback", "unix", NULL, false },
	{ "+unix", "unix", NULL, true },
	{ "+unix", "127.0.0.1", NULL, false },
	{ "+vsock", "vsock:3", NULL, true },
	{ "+vsock:3", "vsock:3", NULL, true },
	{ "+vsock:3", "vsock:4", NULL, false },
	{ "+vsock", "unix", NULL, false },
	{ "+any", "pipe", NULL, true },
	{ "+loopback +unix +vsock +0.0.0.0/0 +::/0", "pipe", NULL, false },
	/* A header decides prefixes, and nothing that only the kernel can say. */
	{ "+10.0.0.0/8", "127.0.0.1", "10.1.1.1", true },
	{ "+127.0.0.0/8", "127.0.0.1", "10.1.1.1", false },
	{ "-127.0.0.0/8", "127.0.0.1", "10.1.1.1", true },
	{ "+loopback", "127.0.0.1", "10.1.1.1", true },
	{ "+loopback", "10.1.1.1", "127.0.0.1", false },
	{ "+unix", "10.1.1.1", "unix", false },
	{ "+unix", "unix", "10.1.1.1", true },
	{ "+vsock", "10.1.1.1", "vsock:3", false },
	{ "+uid:0", "10.1.1.1", "unix", false },
	{ "+any", "10.1.1.1", "unix", true },
};

static struct source_list rules_of(const char *text)
{
	struct source_list list = { 0 };
	char *copy = strdup(text), *rest = copy, *word;

	while ((word = strsep(&rest, " ")))
		if (*word)
			assert_int_equal(source_list_add(&list, word + 1, *word == '+', NULL), 0);
	free(copy);
	return list;
}

static void test_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct source_list list = rules_of(table[i].rules);
		struct sfront_sockaddr claimed;
		struct access_client client = { .peer = address(table[i].peer), .fd = -1 };
		const struct source_rule *rule;

		if (table[i].claimed) {
			claimed = address(table[i].claimed);
			client.claimed = &claimed;
		}
		if (access_is_granted(&list, &client, &rule) != table[i].granted)
			fail_msg("%s, peer %s, claimed %s", table[i].rules, table[i].peer,
				 table[i].claimed ? table[i].claimed : "nothing");
		source_list_clear(&list);
	}
}

/* ---- long lists ---- */

static uint32_t seed = 12345;

static uint32_t any_below(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)seed * n) >> 32);
}

/* Close together, so that prefixes lie in one another; up to both ends of all addresses. */
static void any_bytes(unsigned char bytes[16])
{
	static const unsigned char some[] = { 0, 0xff, 0x7f, 0x80 };

	for (size_t i = 0; i < 16; i++)
		bytes[i] = i > 4 ? bytes[4] : some[any_below(i < 2 ? 2 : sizeof(some))];
}

static void any_rule(char *word, size_t size)
{
	static const char *const others[] = { "loopback", "unix", "uid:33", "vsock:3" };
	struct source source = { .kind = SOURCE_PREFIX };
	unsigned int most;

	if (any_below(50) == 0) {
		snprintf(word, size, "%s", others[any_below(4)]);
		return;
	}
	source.prefix.is_ipv6 = any_below(2);
	most = source.prefix.is_ipv6 ? 128 : 32;
	source.prefix.bits = any_below(2) ? most : any_below(most);
	/* Few are so wide, or nothing would be left to the rules behind them. */
	if (source.prefix.bits < 4 && any_below(20) != 0)
		source.prefix.bits += 10;
	any_bytes(source.prefix.bytes);
	for (unsigned int i = source.prefix.bits; i < 128; i++)
		source.prefix.bytes[i / 8] &= (unsigned char)~(0x80 >> (i % 8));
	source_format(&source, word, size);
}

static struct access_client any_client(struct sfront_sockaddr *claimed)
{
	static const char *const others[] = { "unix", "vsock:3", "pipe", "127.0.0.1", "::1" };
	struct access_client client = { .fd = -1, .has_uid = true, .uid = 33 };
	unsigned char bytes[16];

	if (any_below(10) == 0) {
		client.peer = address(others[any_below(5)]);
		return client;
	}
	any_bytes(bytes);
	client.has_uid = false;
	client.peer = address(any_below(2) ? "1.1.1.1" : "1::1");
	if (client.peer.sa.any.sa_family == AF_INET)
		memcpy(&client.peer.sa.in.sin_addr, bytes, 4);
	else
		memcpy(&client.peer.sa.in6.sin6_addr, bytes, 16);
	if (any_below(4) == 0) {
		*claimed = client.peer;
		client.peer = address(others[any_below(5)]);
		client.claimed = claimed;
	}
	return client;
}

/* The rule by the index of the list is the one that going through it finds. */
static void test_long_lists(void **state)
{
	size_t n_found = 0, n_none = 0;

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct source_list list = { 0 }, plain;

		for (uint32_t n = 17 + any_below(300); n > 0; n--) {
			char word[64];

			any_rule(word, sizeof(word));
			assert_int_equal(source_list_add(&list, word, any_below(2), NULL), 0);
		}
		source_list_prepare(&list);
		assert_non_null(list.index);
		plain = list;
		plain.index = NULL;
		for (int i = 0; i < 500; i++) {
			struct sfront_sockaddr claimed;
			struct access_client client = any_client(&claimed);
			const struct source_rule *rule = source_list_find(&plain, &client);

			assert_ptr_equal(source_list_find(&list, &client), rule);
			n_found += rule != NULL;
			n_none += rule == NULL;
		}
		source_list_clear(&list);
	}
	assert_true(n_found > 5000 && n_none > 5000);
}

static void test_list_that_grows_again(void **state)
{
	const struct access_client client = { .peer = address("10.0.0.1"), .fd = -1 };
	struct source_list list = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++) /* all the same: none lies in another */
		assert_int_equal(source_list_add(&list, "192.0.2.0/24", false, NULL), 0);
	source_list_prepare(&list);
	assert_null(source_list_find(&list, &client));
	assert_int_equal(source_list_add(&list, "10.0.0.1", true, NULL), 0);
	assert_ptr_equal(source_list_find(&list, &client), &list.rules[1000]);
	source_list_prepare(&list);
	assert_ptr_equal(source_list_find(&list, &client), &list.rules[1000]);
	source_list_clear(&list);
}

/* ---- users ---- */

static bool grants(const char *text, const struct access_client *client)
{
	struct source_list list = rules_of(text);
	const struct source_rule *rule;
	bool granted = access_is_granted(&list, client, &rule);

	source_list_clear(&list);
	return granted;
}

static void test_users(void **state)
{
	struct access_client client = {
		.peer = address("unix"), .fd = -1, .has_uid = true, .uid = 33, .gid = 44
	};

	(void)state;
	assert_true(grants("+uid:33", &client));
	assert_false(grants("+uid:34", &client));
	assert_true(grants("+gid:44", &client));
	assert_false(grants("+gid:33", &client));
	client.has_uid = false;
	assert_false(grants("+uid:33", &client));
	assert_false(grants("+gid:44", &client));
	/* Somebody of another user namespace: of every rule about users, none is about that one. */
	client.has_uid = true;
	client.uid = client.gid = 65534;
	assert_true(grants("-uid:33 -gid:44", &client));
	assert_false(grants("+uid:33 +gid:44", &client));
}

/* In a child: a peer with supplementary groups, and the rules asked of its socket. */
static int check_groups(void)
{
	static const gid_t groups[] = { 5, 77, 300 };
	struct access_client client = { .peer = address("unix"), .has_uid = true };
	int pair[2];

	if (setgroups(3, groups) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return 77;
	client.fd = pair[0];
	return grants("+gid:77", &client) && grants("+gid:300", &client) &&
			       !grants("+gid:78", &client) && !grants("-gid:5", &client)
		       ? 0
		       : 1;
}

static void test_supplementary_groups(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	skip_unless(geteuid() == 0, "root, who alone may change its groups");
	pid = fork();
	if (pid == 0)
		_exit(check_groups());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_long_lists),
		cmocka_unit_test(test_list_that_grows_again),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_supplementary_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
