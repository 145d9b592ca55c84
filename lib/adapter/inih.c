/* SPDX-License-Identifier: MIT */
/*
 * Options and addresses from the keys of an INI file: a handler for inih, which
 * is called by it and calls nothing of it.
 */
#include <errno.h>
#include <string.h>

#include <sockfront/inih.h>

#include "lib/internal.h"

static int add_address(struct sfront_ini *ini, const char *text)
{
	struct sfront_error why = { "" };

	if (ini->n_addresses == ini->max_addresses)
		return sfront_fail(&ini->error, 0,
				   "listen: there is room for %zu address(es) to listen on",
				   ini->max_addresses);
	if (sfront_address_parse(text, &ini->addresses[ini->n_addresses], &why) < 0)
		return sfront_fail(&ini->error, 0, "listen: %.600s", why.message);
	ini->n_addresses++;
	return 1;
}

static int take(struct sfront_ini *self, const char *section, const char *name, const char *value)
{
	bool mine = !self->section || strcmp(self->section, section) == 0;

	if (mine && name && strcmp(name, "listen") == 0)
		return add_address(self, value ? value : "");
	if (mine && name && sfront_option_find(name))
		return sfront_options_set(self->options, name, value, &self->error) == 0;
	if (self->other)
		return self->other(self->data, section, name, value);
	/* inih may be built to announce sections, without a name. */
	if (!mine || !name)
		return 1;
	return sfront_fail(
		&self->error, 0,
		"\"%.64s\" is no key of [%.64s]: \"listen\" and the listener options are", name,
		section);
}

int sfront_ini_handler(void *ini, const char *section, const char *name, const char *value)
{
	struct sfront_ini *self = ini;
	struct sfront_error before = self->error;

	if (take(self, section, name, value) != 0)
		return 1;
	/* inih tells the line of the first one. */
	if (self->n_errors++ > 0)
		self->error = before;
	return 0;
}
