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

#include "conf/suggest.h"

/* Keys get values from KEY_VALUE on: their index in conf's table. */
enum { CHECK_VALUE = 256, UNITS_VALUE, OUTPUT_VALUE, KEY_VALUE = 512 };

struct command_line {
	struct config *config;
	struct problems *problems;
	struct proxy_config *proxy; /* made of the words and the proxy options */
	struct place place;
	struct args args;
	bool misread;             /* what stands behind an unknown option may be its value */
	const char *proxy_option; /* one was given, for the complaint about -c */
	enum args_action mode;    /* ARGS_RUN, or what was asked for instead */
};

/* The process's settings are read from the file first and then from here, so that these win. */
struct process_option {
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

static void set_process_keys(struct command_line *line, const struct process_option *given,
			     size_t n)
{
	struct sfront_error err;

	for (size_t i = 0; i < n; i++)
		if (key_set(given[i].key, line->config, NULL, given[i].value, &line->place, &err) <
		    0)
			problem(line->problems, &line->place, "--%s: %s", given[i].key->option,
				err.message);
}

/* The name nearest to @name, of keys and of what the command line alone has; NULL: none is near. */
static const char *nearest_option(const char *name)
{
	static const char *const of_its_own[] = { "check",  "config", "help",
						  "output", "units",  "version" };
	const char *nearest = key_nearest(name, KEY_PROXY);
	unsigned int best;

	if (!nearest)
		nearest = key_nearest(name, KEY_PROCESS);
	best = nearest ? suggest_rank(name, nearest) : NOT_NEAR;
	for (size_t i = 0; i < sizeof(of_its_own) / sizeof(of_its_own[0]); i++) {
		unsigned int rank = suggest_rank(name, of_its_own[i]);

		if (rank >= best)
			continue;
		best = rank;
		nearest = of_its_own[i];
	}
	return nearest;
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
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	nearest = nearest_option(name);
	problem(line->problems, &line->place, "unknown option --%s%s%s%s", name,
		nearest ? " (did you mean --" : " (see sockfront --help)", nearest ? nearest : "",
		nearest ? "?)" : "");
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

/* "--access-log no": the word is meant for the switch before it. */
static bool is_switch_value(const char *word)
{
	bool value;

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
					? " (a switch takes its value behind \"=\": --access-log=no)"
					: "");
	}
}

/* One word is most often a proxy whose backend was forgotten. */
static bool lacks_backend(struct command_line *line, char **words, int n)
{
	const struct proxy_config *proxy = line->proxy;

	if (n != 1 || proxy->n_listen > 0 || proxy->listen_given || proxy->backend_given)
		return false;
	problem(line->problems, &line->place,
		"\"%s\" stands alone; wanted: sockfront LISTEN... BACKEND, such as sockfront :8080 "
		"127.0.0.1:80, or sockfront -c FILE",
		words[0]);
	return true;
}

static void check_file_line(struct command_line *line, char **words, int n)
{
	if (n > 0 && !line->misread)
		problem(line->problems, &line->place,
			"\"%s\": with -c, addresses stand in the file alone", words[0]);
	if (line->proxy_option)
		problem(line->problems, &line->place,
			"--%s: with -c, only the process's options may stand on the command line; "
			"this one goes into a [proxy NAME] section of %s",
			line->proxy_option, line->args.file);
}

static void load_file(struct command_line *line, char **words, int n)
{
	check_file_line(line, words, n);
	/* What stood on the command line beside the process's options was complained about. */
	config_drop_proxies(line->config);
	config_load(line->args.file, line->config, line->problems);
}

static void note_option(struct command_line *line, int value, struct process_option *given,
			size_t *n_given)
{
	const struct key *key = key_at((size_t)(value - KEY_VALUE));

	if (key->scope == KEY_PROXY)
		set_proxy_key(line, key, optarg);
	else
		given[(*n_given)++] = (struct process_option){ key, optarg };
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
	return mode == ARGS_CHECK ? "--check" : "--units";
}

/* One that does something else than to serve. */
static void set_mode(struct command_line *line, enum args_action mode)
{
	if (line->mode != ARGS_RUN && line->mode != mode)
		problem(line->problems, &line->place, "%s and %s: one at a time",
			mode_name(line->mode), mode_name(mode));
	line->mode = mode;
}

static void check_mode(struct command_line *line)
{
	if (line->mode == ARGS_UNITS && !line->args.file)
		problem(line->problems, &line->place,
			"--units: the units are made of a configuration file: -c FILE is missing");
	if (line->args.output && line->mode != ARGS_UNITS)
		problem(line->problems, &line->place, "--output is for --units alone");
}

/* Reads all options.  Returns ARGS_HELP or ARGS_VERSION as soon as one asks for it. */
static enum args_action take_options(struct command_line *line, int argc, char **argv,
				     const struct option *options, struct process_option *given,
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
			problem(line->problems, &line->place,
				"%.*s: the name of an option is written in full: --%s",
				(int)strcspn(word, "="), word, options[which].name);
			continue;
		}
		switch (value) {
		case 'h':
			return ARGS_HELP;
		case 'V':
			return ARGS_VERSION;
		case 'c':
			line->args.file = optarg;
			break;
		case CHECK_VALUE:
			set_mode(line, ARGS_CHECK);
			break;
		case UNITS_VALUE:
			set_mode(line, ARGS_UNITS);
			break;
		case OUTPUT_VALUE:
			line->args.output = optarg;
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
			      const struct option *options, struct process_option *given)
{
	size_t n_given = 0;
	enum args_action action = take_options(line, argc, argv, options, given, &n_given);
	char **words = argv + optind;
	int n = argc - optind;

	if (action == ARGS_HELP || action == ARGS_VERSION)
		return action;
	check_mode(line);
	if (line->args.file)
		load_file(line, words, n);
	else if (line->mode != ARGS_UNITS && !line->misread && !lacks_backend(line, words, n))
		take_words(line, words, n);
	set_process_keys(line, given, n_given);
	/* What was said of single words would be said again of the whole. */
	if (line->args.file || line->problems->count == 0)
		config_check(line->config, line->problems);
	return action;
}

enum args_action args_parse(int argc, char **argv, struct config *config, struct problems *problems,
			    struct args *ret_args)
{
	struct command_line line = {
		.config = config,
		.problems = problems,
		.place = { .line = 1 },
		.mode = ARGS_RUN,
	};
	struct option *options = make_options();
	struct process_option *given = calloc((size_t)argc, sizeof(*given));
	enum args_action action = ARGS_RUN;

	config_init(config);
	line.proxy = config_add_proxy(config, "command line", &line.place);
	if (!options || !given || !line.proxy)
		problem(problems, &line.place, "out of memory");
	else if (argc < 2)
		action = ARGS_USAGE;
	else
		action = parse(&line, argc, argv, options, given);
	free(options);
	free(given);
	*ret_args = line.args;
	return action;
}
