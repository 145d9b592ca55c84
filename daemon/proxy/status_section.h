/* SPDX-License-Identifier: MIT */
/*
 * The [status] section of a generation: its settings, and what it listens on.  Whoever
 * answers there is in daemon/status/.  The main thread's.
 */
#ifndef DAEMON_PROXY_STATUS_SECTION_H
#define DAEMON_PROXY_STATUS_SECTION_H

#include <stddef.h>

#include "daemon/proxy/listeners.h"

struct status_config;

struct status_section {
	struct status_config *config; /* owned */
	struct listener **listeners;  /* owned array, one for each listen line; a reference each */
	size_t n_listeners;
};

/*
 * Opens every listen line that @find does not know.  A TCP socket that was inherited and that
 * other machines reach wants an allow, as the lines do that say so.
 *
 * @config: taken on success
 *
 * Returns it, or NULL with @err saying why.
 */
struct status_section *status_section_open(struct status_config *config, listener_finder *find,
					   void *data, struct sfront_error *err);

/* NULL is allowed in both. */
void status_section_give_back(struct status_section *section);
void status_section_free(struct status_section *section);

#endif
