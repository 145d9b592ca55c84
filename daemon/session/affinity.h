/* SPDX-License-Identifier: MIT */
/*
 * Who a client is to balance = source: its address without the port, its user, or its virtual
 * machine.
 */
#ifndef DAEMON_SESSION_AFFINITY_H
#define DAEMON_SESSION_AFFINITY_H

#include <stdint.h>

struct session;

/* 0 where the backend does not want to know. */
uint64_t affinity(const struct session *session);

/* That of the client with this text; see sfront_connection_format(). */
uint64_t affinity_of(const char *client);

#endif
