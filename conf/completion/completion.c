/* SPDX-License-Identifier: MIT */
/*
 * The options are those of conf/'s table and the few that are no keys.  How a value is
 * completed follows from what the table calls it: NAMES stand below, and words in lower
 * case, as in "no|v1|v2", are meant as they are written.
 */
#include "conf/completion/completion.h"

#include <stdio.h>
#include <string.h>

#include "conf/conf.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define LISTEN_WORDS                                                               \
	"sd-listen sd-listen: accept-from-fd: inetd vsock: vsock:any: localhost: " \
	"127.0.0.1:"
#define BACKEND_WORDS "localhost: 127.0.0.1: vsock: vsock-mux: srv:"

static const struct option_text no_keys[] = {
	{ "config", "FILE", "read everything from an INI file", 'c', false, false },
	{ "check", NULL, "say what is wrong, and touch nothing", 0, false, false },
	{ "units", NULL, "print the systemd units of the file", 0, false, false },
	{ "output", "DIR", "with --units: write them there instead", 0, false, false },
	{ "status", NULL, "ask a running process how it is, at its [status] address", 0, false,
	  false },
	{ "watch", NULL, "with --status: again every second", 0, false, false },
	{ "json", NULL, "with --status: for programs", 0, false, false },
	{ "help", NULL, "this text", 'h', false, false },
	{ "version", NULL, "the version", 'V', false, false },
};

static const struct {
	const char *name; /* of the option, or of what it takes */
	enum completion_kind kind;
	const char *words;
} names[] = {
	{ "listen", COMPLETION_ADDRESS, LISTEN_WORDS },
	{ "status-listen", COMPLETION_ADDRESS, LISTEN_WORDS },
	{ "backend", COMPLETION_ADDRESS, BACKEND_WORDS },
	{ "FILE", COMPLETION_FILE, "" },
	{ "PATH", COMPLETION_FILE, "" },
	{ "DIR", COMPLETION_FILE, "" },
	{ "USER", COMPLETION_USER, "" },
	{ "GROUP", COMPLETION_GROUP, "" },
	{ "INTERFACE", COMPLETION_INTERFACE, "" },
	{ "NAME.service", COMPLETION_UNIT, "" },
	{ "SOURCE...", COMPLETION_WORDS, "any loopback unix uid: gid: vsock vsock: file:" },
	{ "LEVEL", COMPLETION_WORDS, "error warning notice info debug" },
	{ "POLICY", COMPLETION_WORDS, "first round-robin least-connections random source" },
	{ "MODE", COMPLETION_WORDS, "owner group everybody" },
};

bool option_text_at(size_t index, struct option_text *ret)
{
	size_t i = 0;
	const struct key *key;

	if (index < ARRAY_SIZE(no_keys)) {
		*ret = no_keys[index];
		return true;
	}
	index -= ARRAY_SIZE(no_keys);
	while ((key = key_at(i++)))
		if (key->option && index-- == 0) {
			*ret = (struct option_text){
				.name = key->option,
				.argument = key->argument,
				.help = key->help,
				.is_switch = key->is_switch,
				.is_list = key->is_list,
			};
			return true;
		}
	return false;
}

static void set(struct completion *completion, enum completion_kind kind, const char *words)
{
	completion->kind = kind;
	snprintf(completion->words, sizeof(completion->words), "%s", words);
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

/* "N|auto": the word is auto. */
static void take_words(const char *argument, struct completion *ret)
{
	set(ret, COMPLETION_NONE, "");
	for (const char *part = argument; *part;) {
		size_t length = strcspn(part, "|"), at = strlen(ret->words);

		if (is_lower(*part)) {
			ret->kind = COMPLETION_WORDS;
			snprintf(ret->words + at, sizeof(ret->words) - at, "%s%.*s", at ? " " : "",
				 (int)length, part);
		}
		part += length + (part[length] == '|');
	}
}

void completion_of_option(const struct option_text *option, struct completion *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i].name, option->name) == 0 ||
		    strcmp(names[i].name, option->argument) == 0) {
			set(ret, names[i].kind, names[i].words);
			return;
		}
	take_words(option->argument, ret);
}

void completion_of_word(struct completion *ret)
{
	set(ret, COMPLETION_ADDRESS, LISTEN_WORDS " vsock-mux: srv:");
}
