/* SPDX-License-Identifier: MIT */
/*
 * States in the words of the page and of the JSON.
 */
#ifndef DAEMON_STATUS_WORD_H
#define DAEMON_STATUS_WORD_H

#include "daemon/backend/health.h"
#include "daemon/backend/unit.h"

/* "up", "suspect", "down", "unknown" */
const char *word_of_health(enum health_state state);

/* "stopped", "starting", "up", "stopping", "failed" */
const char *word_of_unit(enum unit_state state);

#endif
