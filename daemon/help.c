/* SPDX-License-Identifier: MIT */
/*
 * --help, from conf/'s table of keys.
 */
#include "daemon/help.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"

#define COLUMNS     80
#define HELP_COLUMN 32 /* where what is said of an option begins */

static const char usage[] = "usage: sockfront [OPTIONS] LISTEN... BACKEND\n"
			    "       sockfront [OPTIONS] -c FILE\n"
			    "       sockfront --check -c FILE | LISTEN... BACKEND\n"
			    "       sockfront --units -c FILE [--output DIR]\n"
			    "       sockfront --status [--watch | --json] [ADDRESS | -c FILE]\n"
			    "       sockfront --version | --help\n";

void help_print_usage(void)
{
	fprintf(stderr, "%sTry sockfront --help, or man sockfront.\n", usage);
}

/* From HELP_COLUMN on, in as many lines as it takes. */
static void print_wrapped(const char *text)
{
	const int room = COLUMNS - 1 - HELP_COLUMN;
	int length = (int)strlen(text);

	while (length > room) {
		int end = room;

		while (end > 1 && text[end] != ' ')
			end--;
		printf("%.*s\n%*s", end, text, HELP_COLUMN, "");
		text += end + 1;
		length -= end + 1;
	}
	printf("%s\n", text);
}

static void print_option(const char *left, const char *help)
{
	if (strlen(left) < HELP_COLUMN)
		printf("%-*s", HELP_COLUMN, left);
	else
		printf("%s\n%*s", left, HELP_COLUMN, "");
	print_wrapped(help);
}

static void print_key(const struct key *key)
{
	char left[64];

	if (key->is_switch)
		snprintf(left, sizeof(left), "  --%s[=%s]", key->option,
			 key->argument + strlen("yes|"));
	else
		snprintf(left, sizeof(left), "  --%s %s", key->option, key->argument);
	print_option(left, key->help);
}

static bool is_of_library(const struct key *key)
{
	return sfront_option_find(key->name);
}

static void print_keys(const char *title, enum key_scope scope, bool of_library)
{
	const struct key *key;

	printf("\n%s:\n", title);
	for (size_t i = 0; (key = key_at(i)); i++)
		if (key->scope == scope && key->option && is_of_library(key) == of_library)
			print_key(key);
}

void help_print(void)
{
	printf("%s\n"
	       "Accepts connections on any kind of socket and passes them on to a service.\n\n"
	       "LISTEN    HOST:PORT, :PORT, [IPV6]:PORT, /path or ./path, @abstract,\n"
	       "          vsock:CID:PORT, sd-listen, sd-listen:NAME, sd-listen:*,\n"
	       "          accept-from-fd:N, or - (stdin and stdout)\n"
	       "BACKEND   HOST:PORT, /path or ./path, @abstract, vsock:CID:PORT,\n"
	       "          vsock-mux:PATH:PORT, srv:NAME\n\n",
	       usage);
	print_option("  -c, --config FILE", "read everything from an INI file");
	print_option("      --check", "say what is wrong, and touch nothing");
	print_option("      --units", "print the systemd units of the file");
	print_option("      --output DIR", "with --units: write them there instead");
	print_option("      --status", "ask a running process how it is, at its [status] address");
	print_option("      --watch", "with --status: again every second");
	print_option("      --json", "with --status: for programs");
	print_option("  -h, --help", "this text");
	print_option("  -V, --version", "the version");
	print_keys("The process", KEY_PROCESS, false);
	print_keys("The proxy (with -c: in the file alone)", KEY_PROXY, false);
	print_keys("Its listening sockets (with -c: in the file alone)", KEY_PROXY, true);
	print_keys("The status address (with -c: in place of the file's section)", KEY_STATUS,
		   false);
	printf("  and the options of listening sockets, each with status- in front of its name\n");
	printf("\nA TIME is \"10s\", \"5min 20s\", \"250ms\" or \"infinity\"; BYTES take K, M and G.\n"
	       "See sockfront(8) and sockfront.conf(5).\n");
}
