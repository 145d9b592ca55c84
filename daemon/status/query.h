/* SPDX-License-Identifier: MIT */
/*
 * The parameters of a request.
 */
#ifndef DAEMON_STATUS_QUERY_H
#define DAEMON_STATUS_QUERY_H

#include <stddef.h>

struct evkeyvalq;

/* A number: @max if it is larger, and @otherwise if it is none, or there is no such parameter. */
size_t query_number(const struct evkeyvalq *query, const char *name, size_t otherwise, size_t max);

#endif
