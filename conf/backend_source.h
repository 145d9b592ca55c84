/* SPDX-License-Identifier: MIT */
/*
 * Where connections to a backend come from: addresses of this machine, or the client's own.
 */
#ifndef CONF_BACKEND_SOURCE_H
#define CONF_BACKEND_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include <sockfront/address.h>
#include <sockfront/error.h>

#include "conf/place.h"

/* All 0: the system chooses. */
struct backend_source {
	struct sfront_sockaddr *addresses; /* owned array; without ports */
	size_t n;
	bool is_client; /* and there are no addresses */
	struct place place;
};

/*
 * Adds the words of @text, separated by blanks: addresses, or "client" alone.
 *
 * Returns 0, or a negative errno with @err saying which word is wrong, and what is taken.
 */
int backend_source_add(struct backend_source *source, const char *text, struct sfront_error *err);

/* Whether there is an address of @family, or none at all. */
bool backend_source_serves(const struct backend_source *source, int family);

/* Returns 0 with a copy, or -ENOMEM. */
int backend_source_copy(const struct backend_source *source, struct backend_source *ret);

void backend_source_clear(struct backend_source *source);

#endif
