/* SPDX-License-Identifier: MIT */
/*
 * Opens what [status] listens on: see status_section.h.
 */
#include "daemon/proxy/status_section.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "daemon/proxy/listener.h"

static int check_reach(const struct listener *listener, struct sfront_error *err)
{
	for (size_t i = 0; i < listener->n_sockets; i++) {
		if (!listener_is_open_to_others(listener, i))
			continue;
		snprintf(err->message, sizeof(err->message),
			 "%s can be reached from other machines: [status] wants an allow that says "
			 "who may ask (such as allow = 10.0.0.0/8)",
			 listener->sockets[i].text);
		return -EPERM;
	}
	return 0;
}

static int open_all(struct status_section *section, listener_finder *find, void *data,
		    struct sfront_error *err)
{
	const struct status_config *config = section->config;
	const struct listen_section lines = {
		.lines = config->listen,
		.n = config->n_listen,
		.options = config->options,
		.is_status = true,
	};
	/* Those who ask are nobody whom a process that has ended would have to serve. */
	int r = listeners_open(&lines, false, find, data, section->listeners, err);

	for (size_t i = 0; r == 0 && !config->access.allows_some && i < section->n_listeners; i++)
		r = check_reach(section->listeners[i], err);
	return r;
}

struct status_section *status_section_open(struct status_config *config, listener_finder *find,
					   void *data, struct sfront_error *err)
{
	struct status_section *section = calloc(1, sizeof(*section));

	if (section)
		section->listeners = calloc(config->n_listen, sizeof(struct listener *));
	if (!section || !section->listeners) {
		snprintf(err->message, sizeof(err->message), "out of memory");
		free(section);
		return NULL;
	}
	section->config = config;
	section->n_listeners = config->n_listen;
	if (open_all(section, find, data, err) == 0)
		return section;
	status_section_give_back(section);
	section->config = NULL; /* the caller's still */
	status_section_free(section);
	return NULL;
}

void status_section_give_back(struct status_section *section)
{
	if (section)
		listeners_give_back(section->listeners, section->n_listeners);
}

void status_section_free(struct status_section *section)
{
	if (!section)
		return;
	listeners_free(section->listeners, section->n_listeners);
	status_config_free(section->config);
	free(section);
}
