/* SPDX-License-Identifier: MIT */
/*
 * Who a client is to balance = source: its address without the port, its user, or its virtual
 * machine.
 */
#ifndef DAEMON_SESSION_AFFINITY_H
#define DAEMON_SESSION_AFFINITY_H

#include <stdint.h>

struct backend;
struct session;

/* 0 where @backend does not want to know. */
uint64_t affinity(const struct session *session, const struct backend *backend);

/* That of the client with this text; see sfront_connection_format(). */
uint64_t affinity_of(const char *client);

#endif
