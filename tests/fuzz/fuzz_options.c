/* SPDX-License-Identifier: MIT */
/*
 * Lines of "NAME=VALUE", each an option to be set (lib/options.c), and each
 * value through every parser of lib/value.c.  A refusal has a reason and
 * changes nothing; what was taken is written as INI text that is read back as
 * the same.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdbool.h>

#include <sockfront/options.h>
#include <sockfront/value.h>

/* 0 and a result, or a reason and none. */
static void is_told(int r, bool touched, const struct sfront_error *err)
{
	PROMISE(r == 0 || r == -EINVAL || r == -ERANGE);
	PROMISE(r == 0 || !touched);
	if (r < 0)
		error_explains(err);
}

static void parse_as_everything(const char *value)
{
	const uint64_t unset = 0xa5a5a5a5a5a5a5a5;
	struct sfront_keepalive keepalive;
	struct sfront_error err;
	uint64_t number = unset;
	bool on = false;
	int r;

	error_clear(&err);
	is_told(sfront_parse_switch(value, &on, &err), false, &err);

	error_clear(&err);
	r = sfront_parse_size(value, &number, &err);
	is_told(r, number != unset, &err);

	error_clear(&err);
	number = unset;
	r = sfront_parse_duration(value, &number, &err);
	is_told(r, number != unset, &err);

	error_clear(&err);
	number = unset;
	r = sfront_parse_count(value, 1, 1000, &number, &err);
	is_told(r, number != unset, &err);
	PROMISE(r < 0 || (number >= 1 && number <= 1000));

	error_clear(&err);
	memset(&keepalive, 0xa5, sizeof(keepalive));
	r = sfront_parse_keepalive(value, &keepalive, &err);
	is_told(r, r < 0 && keepalive.time_s != (int)0xa5a5a5a5, &err);
	if (r == 0 && keepalive.on)
		PROMISE(keepalive.time_s >= 0 && keepalive.time_s <= 32767 &&
			keepalive.count >= 0 && keepalive.count <= 127 &&
			keepalive.interval_s >= 0 && keepalive.interval_s <= 32767);
}

static void set_one(struct sfront_options *options, char *line)
{
	char *value = strchr(line, '=');
	const struct sfront_option *option;
	struct sfront_error err;
	bool was_set;
	int r;

	if (value)
		*value++ = '\0';
	option = sfront_option_find(line);
	was_set = sfront_options_is_set(options, line);
	error_clear(&err);
	r = sfront_options_set(options, line, value, &err);
	PROMISE((r == -ENOENT) == !option);
	PROMISE(r == 0 || r == -ENOENT || r == -EINVAL || r == -ERANGE);
	PROMISE(sfront_options_is_set(options, line) == (was_set || r == 0));
	if (r < 0)
		error_explains(&err);
	if (!value && option)
		PROMISE((r == 0) == option->is_switch);
	if (value)
		parse_as_everything(value);
}

/* Reads "name = value" lines back, as an INI file would be. */
static struct sfront_options *read_back(const char *text)
{
	struct sfront_options *options = sfront_options_new();
	char *copy = strdup(text), *rest = copy, *line;

	PROMISE(options && copy);
	while ((line = strsep(&rest, "\n")) && *line) {
		char *value = strstr(line, " = ");

		PROMISE(value && rest);
		*value = '\0';
		PROMISE(sfront_options_set(options, line, value + 3, NULL) == 0);
	}
	free(copy);
	return options;
}

/* What is written is read back as the same, and the copy is written as the same. */
static void is_written_and_read(const struct sfront_options *options)
{
	size_t len = sfront_options_format(options, NULL, 0);
	struct sfront_options *copy = sfront_options_copy(options), *back;
	const struct sfront_option *option;
	char *text = malloc(len + 1), *again = malloc(len + 1), value[128];

	PROMISE(text && again && copy);
	PROMISE(sfront_options_format(options, text, len + 1) == len && strlen(text) == len);
	PROMISE(sfront_options_format(copy, again, len + 1) == len && strcmp(text, again) == 0);
	back = read_back(text);
	PROMISE(sfront_options_format(back, again, len + 1) == len && strcmp(text, again) == 0);
	for (size_t i = 0; (option = sfront_option_at(i)); i++) {
		bool set = sfront_options_is_set(options, option->name);

		PROMISE(set == sfront_options_is_set(back, option->name));
		PROMISE(set ==
			(sfront_options_get(options, option->name, value, sizeof(value)) >= 0));
	}
	sfront_options_free(back);
	sfront_options_free(copy);
	free(again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sfront_options *options = sfront_options_new();
	char *text = text_of(data, size), *rest = text, *line;

	PROMISE(options);
	while ((line = strsep(&rest, "\n")))
		set_one(options, line);
	is_written_and_read(options);
	sfront_options_free(options);
	free(text);
	return 0;
}
