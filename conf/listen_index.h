/* SPDX-License-Identifier: MIT */
/*
 * The listen lines of a configuration in groups: those with the same port, or the same
 * text where there is no port.  An address is compared with its group alone, so that ten
 * thousand lines are not compared each with each.
 */
#ifndef CONF_LISTEN_INDEX_H
#define CONF_LISTEN_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

/* Everything is borrowed from the configuration. */
struct listen_entry {
	const struct sfront_options *options;
	struct listen_config *listen;
	bool is_status; /* of [status], and not of a proxy */
	uint64_t key;
	size_t order; /* in the file */
};

struct listen_index {
	struct listen_entry *entries; /* owned; by key, then by order */
	size_t n;
};

/* One group, in the order of the file. */
struct listen_group {
	const struct listen_entry *entries; /* borrowed */
	size_t n;
};

/* For the caller to clear.  Returns 0 or -ENOMEM. */
int listen_index_make(struct listen_index *index, const struct config *config);
void listen_index_clear(struct listen_index *index);

/* Those among which everything is that is the same as @address, overlaps or is reached by it. */
struct listen_group listen_index_find(const struct listen_index *index,
				      const struct sfront_address *address);

#endif
