/* SPDX-License-Identifier: MIT */
/*
 * /healthz: whether clients can be served, for those who send them here.
 */
#ifndef DAEMON_STATUS_HEALTHZ_H
#define DAEMON_STATUS_HEALTHZ_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/status/answer.h"

extern const struct answer_route healthz_route;

/* Whether they can.  @reason: filled with a sentence, without a full stop, if not. */
bool healthz_is_healthy(const struct status *status, char *reason, size_t size);

#endif
