/* SPDX-License-Identifier: MIT */
/*
 * /status.json: the process and its proxies, as they are.  Events have the same object.
 */
#ifndef DAEMON_STATUS_OVERVIEW_H
#define DAEMON_STATUS_OVERVIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/status/answer.h"

extern const struct answer_route overview_route;

struct overview;
struct status;

/*
 * @hashes: one of each proxy of the current generation, as it was last told, which is set;
 *          borrowed until overview_end(), or NULL
 * @is_whole: or else the proxies that have not changed since are left out
 *
 * Returns NULL when out of memory.
 */
struct overview *overview_begin(struct status *status, uint64_t *hashes, bool is_whole);

/* Appends a piece.  Returns whether there is more. */
bool overview_more(void *data, struct evbuffer *out);

void overview_end(void *data);

/* The time of the wall clock, in seconds of the epoch. */
double overview_now(void);

#endif
