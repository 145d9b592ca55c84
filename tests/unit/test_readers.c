/* SPDX-License-Identifier: MIT */
/*
 * The readers of the option table: getopt.c, argp.c and inih.c of lib/adapter/, and
 * what is written so that it is read back.
 */
#include "descriptors.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <unistd.h>

#include <sockfront/argp.h>
#include <sockfront/getopt.h>
#include <sockfront/inih.h>

static struct sfront_error why;

/* A value that is given, and the one that it is written as; NULL: the same. */
static const struct {
	const char *name;
	const char *value;
	const char *written;
} settings[] = {
	{ "unix-listen-unlink", "1", "yes" },
	{ "unix-listen-chmod", "group", "0660" },
	{ "unix-listen-chmod", "7", "0007" },
	{ "unix-listen-uid", "root", "0" },
	{ "unix-listen-gid", "4294967294", NULL },
	{ "sd-accept-ignore-environment", "off", "no" },
	{ "tcp-keepalive", "no", NULL },
	{ "tcp-keepalive", "", "yes" },
	{ "tcp-keepalive", "60001", "61000::" },
	{ "tcp-keepalive", ":127", ":127:" },
	{ "tcp-keepalive", "32767000:1:1000", NULL },
	{ "tcp-reuse-port", "yes", NULL },
	{ "recv-buffer-size", "64K", "65536" },
	{ "send-buffer-size", "2147483647", NULL },
	{ "tcp-only-v6", "TRUE", "yes" },
	{ "tcp-listen-backlog", "7", NULL },
	{ "tcp-nodelay", "no", NULL },
	{ "tcp-user-timeout", "1.5s", "1500ms" },
	{ "tcp-user-timeout", "2147483647ms", NULL },
	{ "tcp-fast-open", "12", NULL },
	{ "tcp-defer-accept", "1ms", "1000ms" },
	{ "tcp-defer-accept", "32767s", "32767000ms" },
	{ "ip-freebind", "yes", NULL },
	{ "ip-transparent", "no", NULL },
	{ "bind-to-device", "br-0.7", NULL },
	{ "socket-mark", "4294967295", "0xffffffff" },
	{ "tcp-congestion", "cubic", NULL },
	{ "mptcp", "yes", NULL },
	{ "type-of-service", "255", NULL },
};

#define N_SETTINGS (sizeof(settings) / sizeof(settings[0]))

static const char *expected(size_t i)
{
	return settings[i].written ? settings[i].written : settings[i].value;
}

/* What is written of each value, and that this writes itself. */
static void test_values_are_written(void **state)
{
	char text[64];

	(void)state;
	for (size_t i = 0; i < N_SETTINGS; i++) {
		struct sfront_options *options = sfront_options_new();
		const char *name = settings[i].name;

		assert_int_equal(sfront_options_get(options, name, text, sizeof(text)), -ENOENT);
		assert_int_equal(sfront_options_set(options, name, settings[i].value, &why), 0);
		for (int again = 0; again < 2; again++) {
			assert_int_equal(sfront_options_get(options, name, text, sizeof(text)),
					 strlen(expected(i)));
			assert_string_equal(text, expected(i));
			assert_int_equal(sfront_options_set(options, name, text, &why), 0);
		}
		sfront_options_free(options);
	}
	assert_int_equal(sfront_options_get(NULL, "no-such-option", text, sizeof(text)), -ENOENT);
}

static void test_every_option_is_among_them(void **state)
{
	const struct sfront_option *option;

	(void)state;
	for (size_t i = 0; (option = sfront_option_at(i)) != NULL; i++) {
		size_t j = 0;

		while (j < N_SETTINGS && strcmp(settings[j].name, option->name) != 0)
			j++;
		assert_true(j < N_SETTINGS);
	}
}

static struct sfront_options *every_option(void)
{
	struct sfront_options *options = sfront_options_new();

	for (size_t i = 0; i < N_SETTINGS; i++)
		assert_int_equal(
			sfront_options_set(options, settings[i].name, settings[i].value, &why), 0);
	return options;
}

static void test_file_round_trip(void **state)
{
	struct sfront_options *options = every_option();
	struct sfront_ini ini = { .options = sfront_options_new() };
	char first[4096], second[4096], cut[10];
	size_t len = sfront_options_format(options, first, sizeof(first));

	(void)state;
	assert_int_equal(len, strlen(first));
	assert_contains(first, "unix-listen-unlink = yes\n");
	assert_int_equal(ini_parse_string(first, sfront_ini_handler, &ini), 0);
	assert_int_equal(sfront_options_format(ini.options, second, sizeof(second)), len);
	assert_string_equal(first, second);

	assert_int_equal(sfront_options_format(options, NULL, 0), len);
	assert_int_equal(sfront_options_format(options, cut, sizeof(cut)), len);
	assert_memory_equal(cut, first, sizeof(cut) - 1);
	assert_int_equal(cut[sizeof(cut) - 1], '\0');
	sfront_options_free(options);
	sfront_options_free(ini.options);

	options = sfront_options_new();
	assert_int_equal(sfront_options_format(options, first, sizeof(first)), 0);
	assert_string_equal(first, "");
	sfront_options_free(options);
}

/* ---- inih ------------------------------------------------------------------- */

static int own_keys;

static int own_key(void *data, const char *section, const char *name, const char *value)
{
	(void)section;
	(void)value;
	assert_ptr_equal(data, &own_keys);
	own_keys++;
	return strcmp(name, "bad") != 0;
}

static void test_ini_file(void **state)
{
	static const char text[] = "[other]\ncolour = blue\n"
				   "[server]\nlisten = 127.0.0.1:80\nlisten = ./a.sock\n"
				   "tcp-nodelay = no\n";
	struct sfront_address addresses[2];
	struct sfront_ini ini = { "server", addresses, 2,      0, sfront_options_new(),
				  NULL,     NULL,      { "" }, 0 };

	(void)state;
	assert_int_equal(ini_parse_string(text, sfront_ini_handler, &ini), 0);
	assert_int_equal(ini.n_addresses, 2);
	assert_int_equal(addresses[0].kind, SFRONT_TCP);
	assert_string_equal(addresses[1].u.local.name, "./a.sock");
	assert_true(sfront_options_is_set(ini.options, "tcp-nodelay"));
	sfront_options_free(ini.options);
}

static void test_ini_errors(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} cases[] = {
		{ "[s]\nlisten = 99999\n", "listen: \"99999\"" },
		{ "[s]\n\ntcp-nodelay = maybe\n", "tcp-nodelay: \"maybe\"" },
		{ "[s]\ncolour = blue\n", "\"colour\" is no key of [s]" },
		{ "[s]\nlisten = :1\nlisten = :2\n", "room for 1 address" },
		{ "[s]\ntcp-listen-backlog =\n", "tcp-listen-backlog: " },
	};
	struct sfront_address address;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sfront_ini ini = { "s",  &address, 1,      0, sfront_options_new(),
					  NULL, NULL,     { "" }, 0 };

		assert_true(ini_parse_string(cases[i].text, sfront_ini_handler, &ini) > 0);
		assert_contains(ini.error.message, cases[i].message);
		sfront_options_free(ini.options);
	}
}

/* The message is about the line that inih returns. */
static void test_ini_first_error(void **state)
{
	static const char text[] = "[s]\ncolour = blue\nlisten = 99999\ntcp-nodelay = no\nx = 1\n";
	struct sfront_address address;
	struct sfront_ini ini = {
		.section = "s",
		.addresses = &address,
		.max_addresses = 1,
		.options = sfront_options_new(),
	};

	(void)state;
	assert_int_equal(ini_parse_string(text, sfront_ini_handler, &ini), 2);
	assert_contains(ini.error.message, "\"colour\"");
	assert_int_equal(ini.n_errors, 3);
	assert_true(sfront_options_is_set(ini.options, "tcp-nodelay"));
	sfront_options_free(ini.options);
}

static void test_ini_of_a_program(void **state)
{
	struct sfront_ini ini = {
		.section = "s",
		.options = sfront_options_new(),
		.other = own_key,
		.data = &own_keys,
	};

	(void)state;
	own_keys = 0;
	assert_int_equal(ini_parse_string("[s]\ncolour = blue\n[t]\ntcp-nodelay = no\n",
					  sfront_ini_handler, &ini),
			 0);
	assert_int_equal(own_keys, 2);
	assert_false(sfront_options_is_set(ini.options, "tcp-nodelay"));
	assert_int_equal(ini_parse_string("[s]\nbad = 1\n", sfront_ini_handler, &ini), 2);
	/* As inih calls it when it was built to announce sections. */
	assert_int_equal(
		sfront_ini_handler(&(struct sfront_ini){ .section = "s" }, "s", NULL, NULL), 1);
	sfront_options_free(ini.options);
}

/* A command line of words with one space between them. */
struct words {
	char text[128];
	char *argv[16];
	int argc;
};

static void words_of(const char *text, struct words *ret)
{
	char *rest = ret->text;

	snprintf(ret->text, sizeof(ret->text), "%s", text);
	for (ret->argc = 0; (ret->argv[ret->argc] = strsep(&rest, " ")) != NULL;)
		ret->argc++;
}

/* ---- getopt_long ------------------------------------------------------------ */

#define FIRST 1000

/* Words of a command line, up to the first that is no option; -1 in the end. */
static int getopt_all(struct words *words, struct sfront_options *options)
{
	struct option rows[64] = { { "verbose", no_argument, NULL, 'v' } };
	int value, r = -ENOENT;

	assert_in_range(sfront_getopt_fill(rows + 1, 63, FIRST), 20, 63);
	optind = 0;
	opterr = 0;
	while ((value = getopt_long(words->argc, words->argv, "+v", rows, NULL)) != -1) {
		r = sfront_getopt_set(options, value, optarg, FIRST, &why);
		if (r < 0)
			return r;
	}
	return 0;
}

static void test_getopt(void **state)
{
	static const struct {
		const char *words;
		int result;
		const char *set;
	} cases[] = {
		{ "x --tcp-nodelay word", 0, "tcp-nodelay = yes\n" },
		{ "x --tcp-nodelay=no", 0, "tcp-nodelay = no\n" },
		{ "x --recv-buffer-size 64K", 0, "recv-buffer-size = 65536\n" },
		{ "x --recv-buffer-size=1 --mptcp", 0, "recv-buffer-size = 1\nmptcp = yes\n" },
		{ "x --verbose", -ENOENT, "" },
		{ "x -v", -ENOENT, "" },
		{ "x --no-such", -ENOENT, "" },
		{ "x --recv-buffer-size", -ENOENT, "" },
		{ "x --tcp-nodelay=maybe", -EINVAL, "" },
		{ "x --tcp-listen-backlog=0", -ERANGE, "" },
		{ "x", 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sfront_options *options = sfront_options_new();
		struct words words;
		char text[256];

		words_of(cases[i].words, &words);
		assert_int_equal(getopt_all(&words, options), cases[i].result);
		sfront_options_format(options, text, sizeof(text));
		assert_string_equal(text, cases[i].set);
		sfront_options_free(options);
	}
}

static void test_getopt_rows(void **state)
{
	struct option rows[64];
	size_t n = sfront_getopt_fill(rows, 64, FIRST);
	char help[8192];

	(void)state;
	assert_null(rows[n - 1].name);
	for (size_t i = 0; i + 1 < n; i++) {
		assert_string_equal(rows[i].name, sfront_option_at(i)->name);
		assert_int_equal(rows[i].val, FIRST + (int)i);
	}
	memset(rows, 0xff, sizeof(rows));
	assert_int_equal(sfront_getopt_fill(rows, 3, FIRST), n);
	assert_null(rows[2].name);
	assert_int_equal(rows[3].val, -1);
	assert_int_equal(sfront_getopt_fill(rows, 1, FIRST), n);
	assert_null(rows[0].name);
	assert_int_equal(sfront_getopt_fill(NULL, 0, FIRST), n);

	n = sfront_getopt_help(help, sizeof(help));
	assert_int_equal(n, strlen(help));
	assert_int_equal(sfront_getopt_help(NULL, 0), n);
	assert_contains(help, "  --tcp-nodelay[=no] ");
	assert_contains(help, "  --unix-listen-chmod MODE ");
}

/* ---- argp ------------------------------------------------------------------- */

static char said[4096];

/* Parses; returns what argp_parse() does, and keeps what it said. */
static error_t argp_all(const struct argp *argp, struct words *words, void *input)
{
	FILE *real = stderr, *file = fmemopen(said, sizeof(said), "w");
	error_t r;

	said[0] = '\0';
	stderr = file;
	r = argp_parse(argp, words->argc, words->argv, ARGP_NO_EXIT | ARGP_IN_ORDER, NULL, input);
	stderr = real;
	fclose(file);
	return r;
}

static void test_argp_shapes(void **state)
{
	static const struct {
		enum sfront_argp_shape shape;
		const char *words;
		size_t n_addresses;
		const char *says; /* NULL: all is well */
	} cases[] = {
		{ SFRONT_ARGP_WORD, "x :80", 1, NULL },
		{ SFRONT_ARGP_WORD, "x --tcp-nodelay=no :80 @a", 2, NULL },
		{ SFRONT_ARGP_WORD, "x", 0, "address to listen on is missing" },
		{ SFRONT_ARGP_WORD, "x 99999", 0, "\"99999\": an address is missing" },
		{ SFRONT_ARGP_WORD, "x :1 :2 :3", 2, "room for 2 address" },
		{ SFRONT_ARGP_LISTEN, "x -l :80", 1, NULL },
		{ SFRONT_ARGP_LISTEN, "x --listen-address=:80 -l@a", 2, NULL },
		{ SFRONT_ARGP_LISTEN, "x", 0, "-l ADDRESS" },
		{ SFRONT_ARGP_LISTEN, "x -l vsock:", 0, "vsock:CID:PORT" },
		{ SFRONT_ARGP_LISTEN, "x -l :1 word", 1, "Too many arguments" },
		{ SFRONT_ARGP_OPTIONS, "x --mptcp", 0, NULL },
		{ SFRONT_ARGP_OPTIONS, "x --mptcp=perhaps", 0, "--mptcp: \"perhaps\"" },
		{ SFRONT_ARGP_OPTIONS, "x -l :80", 0, "invalid option" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sfront_address addresses[2];
		struct sfront_argp input = { addresses, 2, 0, sfront_options_new() };
		struct words words;
		error_t r;

		words_of(cases[i].words, &words);
		r = argp_all(sfront_argp(cases[i].shape), &words, &input);
		assert_int_equal(input.n_addresses, cases[i].n_addresses);
		if (cases[i].says) {
			assert_int_not_equal(r, 0);
			assert_contains(said, cases[i].says);
		} else {
			assert_int_equal(r, 0);
			assert_string_equal(said, "");
		}
		sfront_options_free(input.options);
	}
}

struct own {
	struct sfront_argp listen;
	int verbose;
	char *word;
};

static error_t own_parse(int key, char *word, struct argp_state *state)
{
	struct own *own = state->input;

	if (key == ARGP_KEY_INIT)
		state->child_inputs[0] = &own->listen;
	else if (key == ARGP_KEY_ARG)
		own->word = word;
	else if (key == 'v')
		own->verbose++;
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

static void test_argp_within_a_program(void **state)
{
	const struct argp_child children[2] = { { sfront_argp(SFRONT_ARGP_LISTEN), 0,
						  "Listening:", 1 } };
	const struct argp_option rows[2] = { { .name = "verbose", .key = 'v', .doc = "say more" } };
	const struct argp argp = { .options = rows, .parser = own_parse, .children = children };
	struct sfront_address address;
	struct own own = { .listen = { &address, 1, 0, sfront_options_new() } };
	struct words words;
	char text[64], name[] = "x", *help = NULL;
	size_t len;
	FILE *file;

	(void)state;
	words_of("x -v -l [::1]:80 --send-buffer-size 1M word -v", &words);
	assert_int_equal(argp_all(&argp, &words, &own), 0);
	assert_int_equal(own.verbose, 2);
	assert_string_equal(own.word, "word");
	assert_int_equal(own.listen.n_addresses, 1);
	sfront_options_format(own.listen.options, text, sizeof(text));
	assert_string_equal(text, "send-buffer-size = 1048576\n");

	file = open_memstream(&help, &len);
	argp_help(&argp, file, ARGP_HELP_LONG, name);
	fclose(file);
	assert_contains(help, " Listening:\n");
	assert_contains(help, "-l, --listen-address=ADDRESS");
	assert_contains(help, "--tcp-nodelay[=no]");
	assert_contains(help, "-v, --verbose");
	free(help);
	sfront_options_free(own.listen.options);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_values_are_written),
		counted(test_every_option_is_among_them),
		counted(test_file_round_trip),
		counted(test_ini_file),
		counted(test_ini_errors),
		counted(test_ini_first_error),
		counted(test_ini_of_a_program),
		counted(test_getopt),
		counted(test_getopt_rows),
		counted(test_argp_shapes),
		counted(test_argp_within_a_program),
	};

	return cmocka_run_group_tests_name("readers", tests, NULL, NULL);
}
