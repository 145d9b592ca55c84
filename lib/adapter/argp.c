/* SPDX-License-Identifier: MIT */
/*
 * The option table as groups of GNU argp: a reader of options.h like any other.
 * Left out of the build for a C library without argp (make ARGP=0).
 */
#include <errno.h>
#include <pthread.h>

#include <sockfront/argp.h>

#include "lib/internal.h"

/* Keys of this group, which no letter has; argp keeps those of other groups apart. */
#define KEY_OPTION 0x1000

/* -l, the options, and the row of zeros. */
static struct argp_option rows[1 + OPTIONS_COUNT + 1] = {
	{ .name = "listen-address",
	  .key = 'l',
	  .arg = "ADDRESS",
	  .doc = "HOST:PORT, :PORT, /path, ./path, @name, vsock:CID:PORT, sd-listen, "
		 "sd-listen:NAME, accept-from-fd:N, or - for stdin and stdout" },
};

static void fill_rows(void)
{
	const struct sfront_option *option;

	for (size_t i = 0; (option = sfront_option_at(i)); i++)
		rows[1 + i] = (struct argp_option){
			.name = option->name,
			.key = KEY_OPTION + (int)i,
			.arg = option->is_switch ? "no" : option->argument,
			.flags = option->is_switch ? OPTION_ARG_OPTIONAL : 0,
			.doc = option->help,
		};
}

static error_t add_address(struct sfront_argp *input, const char *text, struct argp_state *state)
{
	struct sfront_error err;

	if (input->n_addresses == input->max_addresses) {
		argp_error(state, "\"%s\": there is room for %zu address(es) to listen on", text,
			   input->max_addresses);
		return EINVAL;
	}
	if (sfront_address_parse(text, &input->addresses[input->n_addresses], &err) < 0) {
		argp_error(state, "%s", err.message);
		return EINVAL;
	}
	input->n_addresses++;
	return 0;
}

/* @hint: how to give one */
static error_t check_addresses(const struct sfront_argp *input, const char *hint,
			       struct argp_state *state)
{
	if (input->n_addresses > 0)
		return 0;
	argp_error(state, "an address to listen on is missing%s", hint);
	return EINVAL;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct sfront_argp *input = state->input;
	const struct sfront_option *option = NULL;
	struct sfront_error err;

	if (key >= KEY_OPTION && key < KEY_OPTION + OPTIONS_COUNT)
		option = sfront_option_at((size_t)(key - KEY_OPTION));
	if (!option)
		return ARGP_ERR_UNKNOWN;
	if (sfront_options_set(input->options, option->name, argument, &err) < 0) {
		argp_error(state, "--%s", err.message);
		return EINVAL;
	}
	return 0;
}

static error_t parse_word(int key, char *argument, struct argp_state *state)
{
	struct sfront_argp *input = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		return add_address(input, argument, state);
	case ARGP_KEY_END:
		return check_addresses(input, "", state);
	default:
		return parse_option(key, argument, state);
	}
}

static error_t parse_listen(int key, char *argument, struct argp_state *state)
{
	struct sfront_argp *input = state->input;

	switch (key) {
	case 'l':
		return add_address(input, argument, state);
	case ARGP_KEY_END:
		return check_addresses(input, ": -l ADDRESS", state);
	default:
		return parse_option(key, argument, state);
	}
}

const struct argp *sfront_argp(enum sfront_argp_shape shape)
{
	static const struct argp groups[] = {
		[SFRONT_ARGP_WORD] = { .options = rows + 1, .parser = parse_word },
		[SFRONT_ARGP_LISTEN] = { .options = rows, .parser = parse_listen },
		[SFRONT_ARGP_OPTIONS] = { .options = rows + 1, .parser = parse_option },
	};
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fill_rows);
	return &groups[shape];
}
