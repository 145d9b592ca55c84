/* SPDX-License-Identifier: MIT */
/*
 * --help, from conf/'s table of keys.
 */
#include "daemon/help.h"

#include <stdbool.h>
#include <stdio.h>

#include "conf/conf.h"

static const char usage[] = "usage: sockfront [OPTIONS] LISTEN... BACKEND\n"
			    "       sockfront [OPTIONS] -c FILE\n"
			    "       sockfront --check -c FILE | LISTEN... BACKEND\n"
			    "       sockfront --version | --help\n";

void help_print_usage(void)
{
	fprintf(stderr, "%sTry sockfront --help, or man sockfront.\n", usage);
}

static void print_key(const struct key *key)
{
	char left[64];
	int width;

	if (key->is_switch)
		width = snprintf(left, sizeof(left), "  --%s[=no]", key->option);
	else
		width = snprintf(left, sizeof(left), "  --%s %s", key->option, key->argument);
	if (width < 40)
		printf("%-39s %s\n", left, key->help);
	else
		printf("%s\n%40s%s\n", left, "", key->help);
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
	       "          vsock-mux:PATH:PORT, srv:NAME\n\n"
	       "  -c, --config FILE                     read everything from an INI file\n"
	       "      --check                           say what is wrong, and touch nothing\n"
	       "  -h, --help                            this text\n"
	       "  -V, --version                         the version\n",
	       usage);
	print_keys("The process", KEY_PROCESS, false);
	print_keys("The proxy (with -c: in the file alone)", KEY_PROXY, false);
	print_keys("Its listening sockets (with -c: in the file alone)", KEY_PROXY, true);
	printf("\nA TIME is \"10s\", \"5min 20s\", \"250ms\" or \"infinity\"; BYTES take K, M and G.\n"
	       "See sockfront(8) and sockfront.conf(5).\n");
}
