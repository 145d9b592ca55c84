/* SPDX-License-Identifier: MIT */
/*
 * SOURCE, as rules of access name clients: text into data and back, what is refused and in
 * which words, lists and files of them.
 */
#include <errno.h>
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

#include "conf/source.h"

/* @text NULL: it is refused, and the message has @said in it. */
static const struct {
	const char *word, *text, *said;
} table[] = {
	{ "any", "any", NULL },
	{ "loopback", "loopback", NULL },
	{ "unix", "unix", NULL },
	{ "vsock", "vsock", NULL },
	{ "vsock:3", "vsock:3", NULL },
	{ "10.0.0.0/8", "10.0.0.0/8", NULL },
	{ "10.1.2.3", "10.1.2.3", NULL },
	{ "10.1.2.3/32", "10.1.2.3", NULL },
	{ "0.0.0.0/0", "0.0.0.0/0", NULL },
	{ "192.168.4.0/23", "192.168.4.0/23", NULL },
	{ "2001:db8::/32", "2001:db8::/32", NULL },
	{ "2001:DB8:0::/33", "2001:db8::/33", NULL },
	{ "::1", "::1", NULL },
	{ "::/0", "::/0", NULL },
	{ "::ffff:10.0.0.0/104", "10.0.0.0/8", NULL },
	{ "::ffff:10.1.2.3", "10.1.2.3", NULL },
	{ "::ffff:0:0/96", "0.0.0.0/0", NULL },
	{ "uid:0", "uid:0", NULL },
	{ "uid:root", "uid:0", NULL },
	{ "gid:root", "gid:0", NULL },
	{ "uid:4294967294", "uid:4294967294", NULL },
	{ "10.1.2.3/8", NULL, "write 10.0.0.0/8" },
	{ "2001:db8::1/32", NULL, "write 2001:db8::/32" },
	{ "10.0.0.0/33", NULL, "from 0 to 32" },
	{ "::/129", NULL, "from 0 to 128" },
	{ "10.0.0.0/", NULL, "from 0 to 32" },
	{ "10.0.0.0/+8", NULL, "from 0 to 32" },
	{ "10.0.0/8", NULL, "is not a source" },
	{ "1.2.3.4.5", NULL, "is not a source" },
	{ "fe80::1%eth0", NULL, "without its interface" },
	{ "localhost", NULL, "loopback" },
	{ "Any", NULL, "is not a source" },
	{ "10.0.0.1:80", NULL, "is not a source" },
	{ "uid:", NULL, "no such user" },
	{ "uid:no-such-user-here", NULL, "no such user" },
	{ "gid:no-such-group-here", NULL, "no such group" },
	{ "uid:4294967295", NULL, "no such user" },
	{ "uid:65534", NULL, "matches none" },
	{ "gid:65534", NULL, "matches none" },
	{ "vsock:", NULL, "(CID)" },
	{ "vsock:any", NULL, "(CID)" },
	{ "", NULL, "is not a source" },
	{ "/8", NULL, "is not a source" },
	{ "10.0.0.0/8,10.1.0.0/16", NULL, "separated by blanks" },
};

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct source source, again;
		struct sfront_error err = { "" };
		char text[64];
		int r = source_parse(table[i].word, &source, &err);

		if (!table[i].text) {
			if (r == 0 || !strstr(err.message, table[i].said))
				fail_msg("%s: %d, \"%s\"", table[i].word, r, err.message);
			continue;
		}
		if (r < 0)
			fail_msg("%s: %s", table[i].word, err.message);
		source_format(&source, text, sizeof(text));
		assert_string_equal(text, table[i].text);
		assert_int_equal(source_parse(text, &again, NULL), 0);
		assert_memory_equal(&source, &again, sizeof(source));
	}
}

static void assert_list(const struct source_list *list, const char *wanted)
{
	char all[1024] = "", text[64];

	for (size_t i = 0; i < list->n; i++) {
		source_format(&list->rules[i].source, text, sizeof(text));
		strcat(all, list->rules[i].allows ? "+" : "-");
		strcat(strcat(all, text), " ");
	}
	assert_string_equal(all, wanted);
}

static void test_lists_keep_their_order(void **state)
{
	struct source_list list = { 0 };
	struct sfront_error err;

	(void)state;
	assert_int_equal(source_list_add(&list, "10.0.0.1", false, &err), 0);
	assert_int_equal(source_list_add(&list, "  10.0.0.0/8\t loopback ", true, &err), 0);
	assert_int_equal(source_list_add(&list, "any", false, &err), 0);
	assert_list(&list, "-10.0.0.1 +10.0.0.0/8 +loopback -any ");
	assert_int_equal(source_list_add(&list, "", true, &err), -EINVAL);
	assert_int_equal(source_list_add(&list, "unix none", true, &err), -EINVAL);
	assert_non_null(strstr(err.message, "\"none\""));
	source_list_clear(&list);
	assert_int_equal(list.n, 0);
}

static char path[] = "/tmp/sockfront-source-XXXXXX";

static void write_file(const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void test_files(void **state)
{
	struct source_list list = { 0 };
	struct sfront_error err;
	char word[64], where[64];

	(void)state;
	assert_true(close(mkstemp(path)) == 0);
	snprintf(word, sizeof(word), "unix file:%s any", path);
	write_file("# the office\n10.0.0.0/8   # all of it\n\n\t::1\r\nloopback");
	assert_int_equal(source_list_add(&list, word, true, &err), 0);
	assert_list(&list, "+unix +10.0.0.0/8 +::1 +loopback +any ");
	source_list_clear(&list);

	write_file("10.0.0.0/8\n10.0.0.0/8 unix\n");
	assert_int_equal(source_list_add(&list, word, true, &err), -EINVAL);
	snprintf(where, sizeof(where), "%s:2: ", path);
	assert_non_null(strstr(err.message, where));
	assert_non_null(strstr(err.message, "one source a line"));
	write_file("file:/etc/passwd\n");
	assert_int_equal(source_list_add(&list, word, true, &err), -EINVAL);
	assert_non_null(strstr(err.message, "another file"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(source_list_add(&list, word, true, &err), -ENOENT);
	assert_non_null(strstr(err.message, path));
	assert_int_equal(source_list_add(&list, "file:", true, &err), -EINVAL);
	source_list_clear(&list);
}

static void test_many(void **state)
{
	struct source_list list = { 0 };
	char word[32];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(word, sizeof(word), "10.0.%d.%d", i / 256, i % 256);
		assert_int_equal(source_list_add(&list, word, i % 2, NULL), 0);
	}
	assert_int_equal(list.n, 1000);
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(list.rules[i].source.prefix.bytes[3], i % 256);
		assert_int_equal(list.rules[i].allows, i % 2);
	}
	source_list_clear(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_lists_keep_their_order),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
