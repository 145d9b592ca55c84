/* SPDX-License-Identifier: MIT */
/*
 * What a shell has to know to complete a command line of sockfront: every option, with
 * what it takes.  generate.c writes it down for each shell.
 */
#ifndef CONF_COMPLETION_COMPLETION_H
#define CONF_COMPLETION_COMPLETION_H

#include <stdbool.h>
#include <stddef.h>

#define COMPLETION_WORDS_SIZE 256

struct option_text {
	const char *name;     /* without its dashes */
	const char *argument; /* NULL: it takes none */
	const char *help;
	char letter;    /* of its short form; 0: none */
	bool is_switch; /* its value is joined by "=", and may be left out */
	bool is_list;   /* may be given more than once */
};

/* How a value is completed. */
enum completion_kind {
	COMPLETION_NONE, /* it is for the user to say */
	COMPLETION_WORDS,
	COMPLETION_ADDRESS, /* a path, or one of the words */
	COMPLETION_FILE,
	COMPLETION_USER,
	COMPLETION_GROUP,
	COMPLETION_INTERFACE,
	COMPLETION_UNIT
};

struct completion {
	enum completion_kind kind;
	char words[COMPLETION_WORDS_SIZE]; /* separated by blanks; behind a colon more follows */
};

/* Option number @index: those that are no keys first, then as in conf's table.  False past the
 * last. */
bool option_text_at(size_t index, struct option_text *ret);

/* Of an option that takes a value. */
void completion_of_option(const struct option_text *option, struct completion *ret);

/* Of a word that is no option: an address to listen on, or the backend. */
void completion_of_word(struct completion *ret);

#endif
