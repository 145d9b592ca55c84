/* SPDX-License-Identifier: MIT */
/*
 * The command line, on getopt_long() with a table that is made from conf/'s.
 */
#include "conf/args.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/foreign.h"
#include "conf/suggest.h"

/* Keys get values from KEY_VALUE on: their index in conf's table. */
enum {
	CHECK_VALUE = 256,
	UNITS_VALUE,
	OUTPUT_VALUE,
	STATUS_VALUE,
	WATCH_VALUE,
	JSON_VALUE,
	KEY_VALUE = 512
};

struct command_line {
	int argc;
	char **argv;
	struct config *config;
	struct problems *problems;
	struct proxy_config *proxy; /* made of the words and the proxy options */
	struct place place;
	struct args args;
	const char **values;      /* by number of the key: its value; NULL: not given */
	bool misread;             /* what stands behind an unknown option may be its value */
	const char *proxy_option; /* one was given, for the complaint about -c */
	const char *option;       /* any key was given, for the complaint about --status */
	enum args_action mode;    /* ARGS_RUN, or what was asked for instead */
};

/*
 * The settings of the process and of [status] are read from the file first and then from here,
 * so that these win.
 */
struct late_option {
	const struct key *key;
	const char *value;
};

static size_t count_keys(void)
{
	size_t n = 0;

	while (key_at(n))
		n++;
	return n;
}

static struct option *make_options(void)
{
	static const struct option fixed[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, CHECK_VALUE },
		{ "units", no_argument, NULL, UNITS_VALUE },
		{ "output", required_argument, NULL, OUTPUT_VALUE },
		{ "status", no_argument, NULL, STATUS_VALUE },
		{ "watch", no_argument, NULL, WATCH_VALUE },
		{ "json", no_argument, NULL, JSON_VALUE },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
	};
	size_t n_fixed = sizeof(fixed) / sizeof(fixed[0]), n = count_keys();
	struct option *options = calloc(n_fixed + n + 1, sizeof(*options));

	if (!options)
		return NULL;
	memcpy(options, fixed, sizeof(fixed));
	for (size_t i = 0; i < n; i++) {
		const struct key *key = key_at(i);

		if (!key->option)
			continue;
		options[n_fixed++] = (struct option){
			.name = key->option,
			.has_arg = key->is_switch ? optional_argument : required_argument,
			.val = KEY_VALUE + (int)i,
		};
	}
	return options;
}

static void set_proxy_key(struct command_line *line, const struct key *key, const char *value)
{
	struct sfront_error err;

	line->proxy_option = key->option;
	if (key_set(key, line->config, line->proxy, value, &line->place, &err) < 0)
		problem(line->problems, &line->place, "--%s: %s", key->option, err.message);
}

/* Any that is of [status] takes the place of the whole section of the file. */
static bool prepare_status(struct command_line *line, const struct late_option *given, size_t n)
{
	bool is_given = false;

	for (size_t i = 0; i < n; i++)
		is_given |= given[i].key->scope == KEY_STATUS;
	if (!is_given)
		return true;
	config_drop_status(line->config);
	return config_add_status(line->config, &line->place);
}

static void set_late_keys(struct command_line *line, const struct late_option *given, size_t n)
{
	struct sfront_error err;

	if (!prepare_status(line, given, n)) {
		problem(line->problems, &line->place, "out of memory");
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (key_set(given[i].key, line->config, NULL, given[i].value, &line->place, &err) <
		    0)
			problem(line->problems, &line->place, "--%s: %s", given[i].key->option,
				err.message);
}

/* The name nearest to @name, of keys and of what the command line alone has; NULL: none is near. */
static const char *nearest_option(const char *name)
{
	static const char *const of_its_own[] = { "check",  "config", "help",    "json", "output",
						  "status", "units",  "version", "watch" };
	const char *nearest = NULL;
	unsigned int best = NOT_NEAR;
	const struct key *key;

	for (size_t i = 0; (key = key_at(i)); i++) {
		unsigned int rank = key->option ? suggest_rank(name, key->option) : NOT_NEAR;

		if (rank >= best)
			continue;
		best = rank;
		nearest = key->option;
	}
	for (size_t i = 0; i < sizeof(of_its_own) / sizeof(of_its_own[0]); i++) {
		unsigned int rank = suggest_rank(name, of_its_own[i]);

		if (rank >= best)
			continue;
		best = rank;
		nearest = of_its_own[i];
	}
	return nearest;
}

/* Whether it is another program's option, which is then explained. */
static bool explain_foreign(struct command_line *line, const char *name)
{
	const struct foreign_option *foreign = foreign_option_find(name);
	const struct key *key;
	char form[96], remark[FOREIGN_REMARK_SIZE];

	if (!foreign)
		return false;
	if (!foreign->key) {
		problem(line->problems, &line->place, "unknown option --%s: %s", name,
			foreign->remark);
		return true;
	}
	key = key_find_anywhere(foreign->key);
	if (foreign->value)
		snprintf(form, sizeof(form), "--%s=%s", key->option, foreign->value);
	else if (key->is_switch)
		snprintf(form, sizeof(form), "--%s[=no]", key->option);
	else
		snprintf(form, sizeof(form), "--%s %s", key->option, key->argument);
	foreign_option_remark(foreign, remark, sizeof(remark));
	problem(line->problems, &line->place, "unknown option --%s; here it is %s%s", name, form,
		remark);
	return true;
}

/* The name of a long option, without dashes and value. */
static void copy_name(const char *word, char *buf, size_t size)
{
	snprintf(buf, size, "%.*s", (int)strcspn(word + 2, "="), word + 2);
}

/* getopt says neither which word it choked on nor what it might have meant. */
static void unknown_option(struct command_line *line, const char *word)
{
	const char *nearest;
	char name[64];

	line->misread = true;
	/* Within a cluster, getopt is not past its word yet. */
	if (optopt > 0 && optopt <= UCHAR_MAX) {
		problem(line->problems, &line->place,
			"unknown option -%c (see sockfront --help); a word that is no option may "
			"follow \"--\"",
			optopt);
		return;
	}
	copy_name(word, name, sizeof(name));
	if (explain_foreign(line, name))
		return;
	nearest = nearest_option(name);
	problem(line->problems, &line->place, "unknown option --%s%s%s%s", name,
		nearest ? " (did you mean --" : " (see sockfront --help)", nearest ? nearest : "",
		nearest ? "?)" : "");
}

/* A new option must not change what such a name stands for. */
static void abbreviated_option(struct command_line *line, const char *word, const char *full)
{
	char name[64];

	copy_name(word, name, sizeof(name));
	if (!explain_foreign(line, name))
		problem(line->problems, &line->place,
			"--%s: the name of an option is written in full: --%s", name, full);
}

static void missing_value(struct command_line *line, const char *word)
{
	const struct key *key = optopt >= KEY_VALUE ? key_at((size_t)(optopt - KEY_VALUE)) : NULL;

	if (key)
		problem(line->problems, &line->place, "--%s wants a value: --%s %s", key->option,
			key->option, key->argument);
	else if (optopt == OUTPUT_VALUE)
		problem(line->problems, &line->place, "%s wants a value: --output DIR", word);
	else
		problem(line->problems, &line->place, "%s wants a value: -c FILE", word);
}

static void excess_value(struct command_line *line, const char *word)
{
	problem(line->problems, &line->place, "%.*s takes no value", (int)strcspn(word, "="), word);
}

/* Why getopt returned '?' for a long option that it does know. */
static bool is_excess_value(const struct option *options, const char *word)
{
	if (strncmp(word, "--", 2) != 0 || !strchr(word, '=') || optopt == 0)
		return false;
	for (; options->name; options++)
		if (options->val == optopt && options->has_arg == no_argument)
			return true;
	return false;
}

/* "--access-log no": the word is meant for the switch before it, of which one takes others too. */
static bool is_switch_value(const char *word)
{
	static const char *const others[] = { "logfmt", "json", "journal" };
	bool value;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(word, others[i]) == 0)
			return true;
	return sfront_parse_switch(word, &value, NULL) == 0;
}

static void take_words(struct command_line *line, char **words, int n)
{
	const struct key *listen = key_find("listen", KEY_PROXY),
			 *backend = key_find("backend", KEY_PROXY);
	bool last_is_backend = n > 0 && !line->proxy->backend_given;

	for (int i = 0; i < n; i++) {
		const struct key *key = last_is_backend && i == n - 1 ? backend : listen;
		struct sfront_error err;

		if (key_set(key, line->config, line->proxy, words[i], &line->place, &err) < 0)
			problem(line->problems, &line->place, "%s: %s%s",
				key == backend ? "the backend (the last word)"
					       : "listening address",
				err.message,
				is_switch_value(words[i])
					? " (a switch takes its value after \"=\": --access-log=no)"
					: "");
	}
}

/* The port of an example must not be that of @address. */
static const char *example_backend(const struct sfront_address *address)
{
	uint16_t port;

	if (sfront_address_port(address, &port, NULL) == 0 && port == 8080)
		return "127.0.0.1:80";
	return "127.0.0.1:8080";
}

/* The command as it was given.  Returns whether all of it has room. */
static bool format_command(const struct command_line *line, char *buf, size_t size)
{
	size_t length = 0;

	for (int i = 1; i < line->argc && length < size; i++)
		length += (size_t)snprintf(buf + length, size - length, " %s", line->argv[i]);
	return length < size;
}

static bool is_configuration(const char *word)
{
	const char *suffix = strrchr(word, '.');

	return suffix && (strcmp(suffix, ".conf") == 0 || strcmp(suffix, ".ini") == 0);
}

/* One word is most often a proxy whose backend was forgotten. */
static bool lacks_backend(struct command_line *line, char **words, int n)
{
	const struct proxy_config *proxy = line->proxy;
	struct sfront_address address;
	char command[256];

	if (n != 1 || proxy->n_listen > 0 || proxy->listen_given || proxy->backend_given)
		return false;
	if (is_configuration(words[0])) {
		problem(line->problems, &line->place,
			"\"%s\" is no address; a configuration file is read with: sockfront -c %s",
			words[0], words[0]);
		return true;
	}
	if (sfront_address_parse(words[0], &address, NULL) < 0 ||
	    !format_command(line, command, sizeof(command)))
		return false;
	problem(line->problems, &line->place,
		"only one address given (\"%s\"); the backend is missing, as in: sockfront%s %s",
		words[0], command, example_backend(&address));
	return true;
}

static void check_file_line(struct command_line *line, char **words, int n)
{
	if (n > 0 && !line->misread)
		problem(line->problems, &line->place,
			"\"%s\": with -c, addresses belong in the file", words[0]);
	if (line->proxy_option)
		problem(line->problems, &line->place,
			"--%s: with -c, only the options of the process and of [status] are taken "
			"from the command line; this one belongs in a [proxy NAME] section of %s",
			line->proxy_option, line->args.file);
}

/* systemd-socket-proxyd has a number there. */
static bool is_number_of_connections(struct command_line *line)
{
	const char *file = line->args.file;

	if (!*file || file[strspn(file, "0123456789")] || access(file, F_OK) == 0)
		return false;
	problem(line->problems, &line->place,
		"-c %s: -c is for a configuration file; the number of connections is "
		"--max-connections %s",
		file, file);
	return true;
}

static void load_file(struct command_line *line, char **words, int n)
{
	check_file_line(line, words, n);
	/* What stood on the command line beside the process's options was complained about. */
	config_drop_proxies(line->config);
	config_load(line->args.file, line->config, line->problems);
}

/* Whether it may be given: for the first time, or as one of a list. */
static bool may_be_given(struct command_line *line, size_t index)
{
	const struct key *key = key_at(index);
	const char *value = optarg ? optarg : "yes", *earlier = line->values[index];

	line->values[index] = value;
	if (!earlier || key->is_list)
		return true;
	problem(line->problems, &line->place,
		"--%s is given twice, \"%s\" and \"%s\"; it has one value", key->option, earlier,
		value);
	return false;
}

static void note_option(struct command_line *line, int value, struct late_option *given,
			size_t *n_given)
{
	size_t index = (size_t)(value - KEY_VALUE);
	const struct key *key = key_at(index);

	line->option = key->option;
	if (!may_be_given(line, index))
		return;
	if (key->scope == KEY_PROXY)
		set_proxy_key(line, key, optarg);
	else
		given[(*n_given)++] = (struct late_option){ key, optarg };
}

static void note_file(struct command_line *line)
{
	if (line->args.file)
		problem(line->problems, &line->place,
			"-c is given twice, \"%s\" and \"%s\"; one file can hold any number of "
			"proxies",
			line->args.file, optarg);
	line->args.file = optarg;
}

static void note_output(struct command_line *line)
{
	if (line->args.output)
		problem(line->problems, &line->place,
			"--output is given twice, \"%s\" and \"%s\"; it has one value",
			line->args.output, optarg);
	line->args.output = optarg;
}

/*
 * getopt takes the beginning of a name for the name: what a new option would change.
 *
 * @word: as it was written, with its dashes
 */
static bool is_abbreviated(const char *word, const struct option *option)
{
	size_t length = strlen(option->name);

	return strncmp(word + 2, option->name, length) != 0 ||
	       (word[2 + length] && word[2 + length] != '=');
}

static const char *mode_name(enum args_action mode)
{
	if (mode == ARGS_UNITS)
		return "--units";
	return mode == ARGS_CHECK ? "--check" : "--status";
}

/* One that does something else than to serve. */
static void set_mode(struct command_line *line, enum args_action mode)
{
	if (line->mode == ARGS_RUN)
		line->mode = mode;
	else if (line->mode != mode)
		problem(line->problems, &line->place, "%s and %s: one at a time",
			mode_name(line->mode), mode_name(mode));
}

/* ---- --units ---- */

static void check_units(struct command_line *line)
{
	if (line->mode == ARGS_UNITS && !line->args.file)
		problem(line->problems, &line->place,
			"--units: the units are made of a configuration file: -c FILE is missing");
	if (line->args.output && line->mode != ARGS_UNITS)
		problem(line->problems, &line->place, "--output is for --units alone");
}

/* ---- --status ---- */

/* Whether it says where to connect to. */
static bool is_somewhere(const struct sfront_address *address)
{
	return address->kind == SFRONT_TCP || address->kind == SFRONT_UNIX ||
	       address->kind == SFRONT_ABSTRACT || address->kind == SFRONT_VSOCK;
}

static void take_status_address(struct command_line *line, const char *word)
{
	struct status_args *status = &line->args.status;
	struct sfront_error err;

	if (line->args.file)
		problem(line->problems, &line->place,
			"--status: \"%s\", or an address of %s: one of them", word,
			line->args.file);
	else if (sfront_address_parse(word, &status->address, &err) < 0 ||
		 sfront_address_check(&status->address, &err) < 0)
		problem(line->problems, &line->place, "--status: %s", err.message);
	else if (!is_somewhere(&status->address))
		problem(line->problems, &line->place,
			"--status: \"%s\": wanted is HOST:PORT, a UNIX path, @NAME or "
			"vsock:CID:PORT",
			word);
	status->has_address = true;
}

static void check_status_words(struct command_line *line, char **words, int n)
{
	if (line->option)
		problem(line->problems, &line->place,
			"--%s: not with --status, which serves nobody", line->option);
	if (line->args.status.watch && line->args.status.json)
		problem(line->problems, &line->place, "--watch and --json: one at a time");
	if (n > 1)
		problem(line->problems, &line->place, "\"%s\": --status asks at one address",
			words[1]);
	else if (n == 1)
		take_status_address(line, words[0]);
}

/* What is for --status alone, or not for it.  False: there is a problem with that. */
static bool check_status(struct command_line *line, char **words, int n)
{
	const struct status_args *status = &line->args.status;
	unsigned int before = line->problems->count;

	if (line->mode == ARGS_STATUS)
		check_status_words(line, words, n);
	else if (status->watch || status->json)
		problem(line->problems, &line->place, "%s is for --status alone",
			status->watch ? "--watch" : "--json");
	return line->problems->count == before;
}

/* Reads all options.  Returns ARGS_HELP or ARGS_VERSION as soon as one asks for it. */
static enum args_action take_options(struct command_line *line, int argc, char **argv,
				     const struct option *options, struct late_option *given,
				     size_t *n_given)
{
	int value, which = -1;

	opterr = 0;
	optind = 0; /* a reload reads the same command line again */
	for (; (value = getopt_long(argc, argv, ":c:hV", options, &which)) != -1; which = -1) {
		/* The value may be a word of its own. */
		const char *word = argv[optind - 1 - (optarg == argv[optind - 1])];

		if (which >= 0 && value != '?' && value != ':' &&
		    is_abbreviated(word, &options[which])) {
			abbreviated_option(line, word, options[which].name);
			continue;
		}
		switch (value) {
		case 'h':
			return ARGS_HELP;
		case 'V':
			return ARGS_VERSION;
		case 'c':
			note_file(line);
			break;
		case CHECK_VALUE:
			set_mode(line, ARGS_CHECK);
			break;
		case UNITS_VALUE:
			set_mode(line, ARGS_UNITS);
			break;
		case OUTPUT_VALUE:
			note_output(line);
			break;
		case STATUS_VALUE:
			set_mode(line, ARGS_STATUS);
			break;
		case WATCH_VALUE:
			line->args.status.watch = true;
			break;
		case JSON_VALUE:
			line->args.status.json = true;
			break;
		case ':':
			missing_value(line, word);
			break;
		case '?':
			if (is_excess_value(options, word))
				excess_value(line, word);
			else
				unknown_option(line, word);
			break;
		default:
			note_option(line, value, given, n_given);
		}
	}
	return line->mode;
}

static enum args_action parse(struct command_line *line, int argc, char **argv,
			      const struct option *options, struct late_option *given)
{
	size_t n_given = 0;
	enum args_action action = take_options(line, argc, argv, options, given, &n_given);
	char **words = argv + optind;
	int n = argc - optind;

	if (action == ARGS_HELP || action == ARGS_VERSION)
		return action;
	check_units(line);
	if (!check_status(line, words, line->misread ? 0 : n))
		return action;
	if (line->mode == ARGS_STATUS && !line->args.file)
		return action;
	if (line->args.file && is_number_of_connections(line))
		return action;
	if (line->args.file)
		load_file(line, words, n);
	else if (line->mode != ARGS_UNITS && !line->misread && !lacks_backend(line, words, n))
		take_words(line, words, n);
	set_late_keys(line, given, n_given);
	/* What was said of single words would be said again of the whole. */
	if (line->args.file || line->problems->count == 0)
		config_check(line->config, line->problems);
	return action;
}

enum args_action args_parse(int argc, char **argv, struct config *config, struct problems *problems,
			    struct args *ret_args)
{
	struct command_line line = {
		.argc = argc,
		.argv = argv,
		.config = config,
		.problems = problems,
		.place = { .line = 1 },
		.values = calloc(count_keys(), sizeof(*line.values)),
		.mode = ARGS_RUN,
	};
	struct option *options = make_options();
	struct late_option *given = calloc((size_t)argc, sizeof(*given));
	enum args_action action = ARGS_RUN;

	config_init(config);
	line.proxy = config_add_proxy(config, "command line", &line.place);
	if (!options || !given || !line.values || !line.proxy)
		problem(problems, &line.place, "out of memory");
	else if (argc < 2)
		action = ARGS_USAGE;
	else
		action = parse(&line, argc, argv, options, given);
	free(options);
	free(given);
	free(line.values);
	*ret_args = line.args;
	return action;
}
