/* SPDX-License-Identifier: MIT */
/*
 * The listen lines of a configuration in groups: those with the same port, or the same
 * text where there is no port; and of one port, those with the same host.  An address is
 * compared with a group alone, so that ten thousand lines are not compared each with each.
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
	uint64_t key;   /* of the port, or of the text */
	uint64_t host;  /* a hash of the address; 0 for every one, and where there is no port */
	size_t order;   /* in the file */
};

struct listen_index {
	struct listen_entry *entries; /* owned; by key, host and order */
	size_t n;
};

/* One group; those of one host are in the order of the file. */
struct listen_group {
	const struct listen_entry *entries; /* borrowed */
	size_t n;
};

/* For the caller to clear.  Returns 0 or -ENOMEM. */
int listen_index_make(struct listen_index *index, const struct config *config);
void listen_index_clear(struct listen_index *index);

/* Whether a TCP address is every one of this machine, or every one of a family. */
bool listen_is_every(const struct sfront_address *address);

/* Those among which everything is that is the same as @address, or overlaps. */
struct listen_group listen_index_find(const struct listen_index *index,
				      const struct sfront_address *address);

/* Of these, the ones among which everything is that is the same. */
struct listen_group listen_index_find_same(const struct listen_index *index,
					   const struct sfront_address *address);

/* Of these, those that have every address. */
struct listen_group listen_index_find_every(const struct listen_index *index,
					    const struct sfront_address *address);

#endif
