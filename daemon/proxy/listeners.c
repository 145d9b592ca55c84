/* SPDX-License-Identifier: MIT */
/*
 * Opens the listeners of a section: see listeners.h.
 */
#include "daemon/proxy/listeners.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "conf/listen_stream.h"
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

static int refuse_idle_exit(const struct listen_config *listen, struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE], stream[LISTEN_STREAM_SIZE], line[32] = "";
	struct sfront_error why;
	bool can = listen_stream_format(&listen->address, stream, &why) == 0;

	sfront_address_format(&listen->address, text, sizeof(text));
	if (listen->place.file)
		snprintf(line, sizeof(line), " (line %u)", listen->place.line);
	snprintf(
		err->message, sizeof(err->message),
		"exit-idle-time: no .socket unit has passed a socket that listens on \"%.200s\"%s, "
		"and one of our own would be gone once we have ended; %s%.200s",
		text, line,
		can ? "it takes ListenStream=" : "none can: ", can ? stream : why.message);
	return -EINVAL;
}

/* What a process that ends when it is quiet listens on has to outlive it. */
static int check_idle_exit(const struct opening *opening, struct sfront_error *err)
{
	int r = 0;

	for (size_t i = 0; i < opening->section->n && r == 0; i++) {
		const struct listener *found = opening->listeners[i];
		const struct listen_config *listen = &opening->section->lines[i];

		if (found ? listener_is_own(found) : address_is_own(&listen->address))
			r = refuse_idle_exit(listen, err);
	}
	return r;
}

static int note_opened(struct opening *opening, struct sfront_error *err)
{
	const struct listen_section *section = opening->section;
	int r = 0;

	for (size_t i = 0; i < section->n; i++) {
		if (opening->listeners[i])
			continue;
		opening->listeners[i] =
			listener_new(&section->lines[i].address, section->lines[i].nth,
				     section->options, opening->open[i]);
		if (!opening->listeners[i]) {
			sfront_listener_lend(opening->open[i]);
			sfront_listener_close(opening->open[i]);
			r = out_of_memory(err);
		}
	}
	return r;
}

int listeners_open(const struct listen_section *section, bool exits_idle, listener_finder *find,
		   void *data, struct listener **listeners, struct sfront_error *err)
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
		r = exits_idle ? check_idle_exit(&opening, err) : 0;
		if (r == 0)
			r = sfront_listener_open_each(opening.addresses, section->n,
						      section->options, opening.open, err);
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
