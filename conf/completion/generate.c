/* SPDX-License-Identifier: MIT */
/*
 * Writes the options down for bash, zsh or fish.  The Makefile puts what comes out in
 * front of the functions for that shell, which lie beside this file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/completion/completion.h"

static const char made[] = "# Made from the table of options by conf/completion/generate.c.\n";

/* bash: a list of the options, and a function that says what one takes. */

static const char *bash_kind(const struct option_text *option, const struct completion *completion)
{
	static const char *const kinds[] = {
		[COMPLETION_NONE] = "none",           [COMPLETION_WORDS] = "words",
		[COMPLETION_ADDRESS] = "address",     [COMPLETION_FILE] = "file",
		[COMPLETION_USER] = "user",           [COMPLETION_GROUP] = "group",
		[COMPLETION_INTERFACE] = "interface", [COMPLETION_UNIT] = "unit",
	};

	return option->is_switch ? "switch" : kinds[completion->kind];
}

static void bash_option(const struct option_text *option)
{
	struct completion completion;

	if (!option->argument)
		return;
	completion_of_option(option, &completion);
	printf("\t--%s", option->name);
	if (option->letter)
		printf(" | -%c", option->letter);
	printf(") echo '%s %s' ;;\n", bash_kind(option, &completion), completion.words);
}

static void bash_name(const struct option_text *option)
{
	printf(" --%s", option->name);
	if (option->letter)
		printf(" -%c", option->letter);
}

static void for_each_option(void (*print)(const struct option_text *option))
{
	struct option_text option;

	for (size_t i = 0; option_text_at(i, &option); i++)
		print(&option);
}

static void print_bash(void)
{
	struct completion word;

	printf("%s# shellcheck shell=bash\n_sockfront_options='", made);
	for_each_option(bash_name);
	printf("'\n_sockfront_takes()\n{\n\tcase $1 in\n");
	for_each_option(bash_option);
	completion_of_word(&word);
	printf("\tWORD) echo 'address %s' ;;\n\tesac\n}\n\n", word.words);
}

/* zsh: an array of specifications for _arguments. */

/* Within single quotes, which end for a quote that is meant. */
static void zsh_text(const char *text, const char *special)
{
	for (; *text; text++)
		printf("%s%c", *text == '\'' ? "'\\'" : strchr(special, *text) ? "\\" : "", *text);
}

static void zsh_action(const struct completion *completion)
{
	static const char *const actions[] = {
		[COMPLETION_NONE] = " ",
		[COMPLETION_WORDS] = " _sockfront_words",
		[COMPLETION_ADDRESS] = " _sockfront_address",
		[COMPLETION_FILE] = "_files",
		[COMPLETION_USER] = "_users",
		[COMPLETION_GROUP] = "_groups",
		[COMPLETION_INTERFACE] = "_net_interfaces",
		[COMPLETION_UNIT] = "_sockfront_unit",
	};

	printf("%s ", actions[completion->kind]);
	zsh_text(completion->words, ":\\");
}

static void zsh_form(const struct option_text *option, const char *form)
{
	struct completion completion;

	if (option->letter)
		printf("\t'(-%c --%s)%s", option->letter, option->name, form);
	else
		printf("\t'%s%s", option->is_list ? "*" : "", form);
	printf("[");
	zsh_text(option->help, "[]:\\");
	printf("]");
	if (option->argument) {
		completion_of_option(option, &completion);
		printf("%s", option->is_switch ? "::" : ":");
		zsh_text(option->argument, ":");
		printf(":");
		zsh_action(&completion);
	}
	printf("'\n");
}

static void zsh_option(const struct option_text *option)
{
	char form[64];

	snprintf(form, sizeof(form), "--%s%s", option->name,
		 option->is_switch  ? "=-"
		 : option->argument ? "="
				    : "");
	zsh_form(option, form);
	if (!option->letter)
		return;
	snprintf(form, sizeof(form), "-%c%s", option->letter, option->argument ? "+" : "");
	zsh_form(option, form);
}

static void print_zsh(void)
{
	struct completion word;

	printf("#compdef sockfront\n%slocal -a options=(\n", made);
	for_each_option(zsh_option);
	completion_of_word(&word);
	printf("\t'*:address:");
	zsh_action(&word);
	printf("'\n)\n\n");
}

/* fish: a call of complete for each. */

/* Within single quotes. */
static void fish_text(const char *text)
{
	for (; *text; text++)
		printf("%s%c", strchr("\\'", *text) ? "\\" : "", *text);
}

static void fish_argument(const struct completion *completion)
{
	static const char *const functions[] = {
		[COMPLETION_ADDRESS] = "__sockfront_address",
		[COMPLETION_USER] = "__fish_complete_users",
		[COMPLETION_GROUP] = "__fish_complete_groups",
		[COMPLETION_INTERFACE] = "__fish_print_interfaces",
		[COMPLETION_UNIT] = "__sockfront_unit",
	};

	if (completion->kind == COMPLETION_WORDS)
		printf(" -a '%s'", completion->words);
	else if (completion->kind == COMPLETION_ADDRESS)
		printf(" -a '(%s \"%s\")'", functions[completion->kind], completion->words);
	else if (completion->kind > COMPLETION_FILE)
		printf(" -a '(%s)'", functions[completion->kind]);
}

static void fish_option(const struct option_text *option)
{
	struct completion completion;

	printf("complete -c sockfront -l %s", option->name);
	if (option->letter)
		printf(" -s %c", option->letter);
	if (option->argument) {
		completion_of_option(option, &completion);
		printf("%s", option->is_switch ? "" : " -r");
		printf(" -%c", completion.kind == COMPLETION_FILE ? 'F' : 'f');
		fish_argument(&completion);
	}
	printf(" -d '");
	fish_text(option->help);
	printf("'\n");
}

static void print_fish(void)
{
	struct completion word;

	printf("%s", made);
	for_each_option(fish_option);
	completion_of_word(&word);
	printf("complete -c sockfront -f");
	fish_argument(&word);
	printf("\n\n");
}

int main(int argc, char **argv)
{
	const char *shell = argc == 2 ? argv[1] : "";

	if (strcmp(shell, "bash") == 0)
		print_bash();
	else if (strcmp(shell, "zsh") == 0)
		print_zsh();
	else if (strcmp(shell, "fish") == 0)
		print_fish();
	else
		return EXIT_FAILURE;
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
