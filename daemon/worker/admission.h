/* SPDX-License-Identifier: MIT */
/*
 * Whether a client that was just accepted may connect.  Asked on the accepting thread, before
 * a backend is touched; costs nothing where a proxy has no rules.
 */
#ifndef DAEMON_WORKER_ADMISSION_H
#define DAEMON_WORKER_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>

struct proxy;
struct sfront_connection;

/*
 * Whether it may.  One that may not has been reset (where the transport knows no reset:
 * closed), and the logs have it; its slot is the caller's to give back.
 */
bool admission_grant(const struct proxy *proxy, size_t socket,
		     struct sfront_connection *connection);

#endif
