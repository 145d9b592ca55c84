/* SPDX-License-Identifier: MIT */
/*
 * Carries bytes between a connection of any kind and a socket: how event_http.c
 * serves what is no socket, or has to be given back as it was.
 */
#ifndef SOCKFRONT_EVENT_BRIDGE_H
#define SOCKFRONT_EVENT_BRIDGE_H

#include <event2/event.h>

#include <sockfront/listener.h>

struct bridge;

/*
 * Starts to carry.
 *
 * @socket:     non-blocking; taken on success
 * @connection: taken on success
 * @ended:      told from the loop when the socket's other end has closed and
 *              everything that it sent is out, or the connection broke; the
 *              program frees the bridge then
 *
 * Returns NULL when out of memory.
 */
struct bridge *sfront_bridge_new(struct event_base *base, int socket,
				 const struct sfront_connection *connection,
				 void (*ended)(void *data, struct bridge *bridge), void *data);

const struct sfront_connection *sfront_bridge_connection(const struct bridge *bridge);

/* Closes both.  NULL is allowed. */
void sfront_bridge_free(struct bridge *bridge);

#endif
