/* SPDX-License-Identifier: MIT */
/*
 * Opens the listeners of a section: see listeners.h.
 */
#include "daemon/proxy/listeners.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "daemon/proxy/listener.h"

static int out_of_memory(struct sfront_error *err)
{
	snprintf(err->message, sizeof(err->message), "out of memory");
	return -ENOMEM;
}

/* The lines of a section while they are being opened. */
struct opening {
	const struct listen_section *section;
	struct listener **listeners; /* the caller's */
	struct sfront_address *addresses;
	struct sfront_listener **open;
};

/* Lines that were open already keep their listener. */
static void find_open(struct opening *opening, listener_finder *find, void *data)
{
	const struct listen_section *section = opening->section;

	for (size_t i = 0; i < section->n; i++) {
		struct listener *found = find(data, &section->lines[i], section->options);

		opening->addresses[i] = section->lines[i].address;
		opening->listeners[i] = found;
		opening->open[i] = found ? found->open : NULL;
	}
}

static int note_opened(struct opening *opening, struct sfront_error *err)
{
	const struct listen_section *section = opening->section;
	int r = 0;

	for (size_t i = 0; i < section->n; i++) {
		if (opening->listeners[i])
			continue;
		opening->listeners[i] = listener_new(&opening->addresses[i], section->lines[i].nth,
						     section->options, opening->open[i]);
		if (!opening->listeners[i]) {
			sfront_listener_lend(opening->open[i]);
			sfront_listener_close(opening->open[i]);
			r = out_of_memory(err);
		}
	}
	return r;
}

int listeners_open(const struct listen_section *section, listener_finder *find, void *data,
		   struct listener **listeners, struct sfront_error *err)
{
	struct opening opening = {
		.section = section,
		.listeners = listeners,
		.addresses = calloc(section->n, sizeof(*opening.addresses)),
		.open = calloc(section->n, sizeof(struct sfront_listener *)),
	};
	int r;

	if (!opening.addresses || !opening.open) {
		r = out_of_memory(err);
	} else {
		find_open(&opening, find, data);
		r = sfront_listener_open_each(opening.addresses, section->n, section->options,
					      opening.open, err);
		if (r == 0)
			r = note_opened(&opening, err);
	}
	free(opening.addresses);
	free(opening.open);
	return r;
}

static void give_back(struct listener *listener)
{
	struct sfront_error ignored;

	if (listener_is_own(listener) || !listener->open)
		return;
	(void)sfront_listener_update(listener->open, listener->options, NULL, &ignored);
	sfront_listener_lend(listener->open);
}

void listeners_give_back(struct listener **listeners, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (listeners[i] && atomic_load(&listeners[i]->refs) == 1)
			give_back(listeners[i]);
}

void listeners_free(struct listener **listeners, size_t n)
{
	for (size_t i = 0; listeners && i < n; i++)
		listener_unref(listeners[i]);
	free(listeners);
}
