/* SPDX-License-Identifier: MIT */
/*
 * /metrics: what Prometheus scrapes.
 */
#ifndef DAEMON_STATUS_METRICS_H
#define DAEMON_STATUS_METRICS_H

#include "daemon/status/answer.h"

extern const struct answer_route metrics_route;

#endif
