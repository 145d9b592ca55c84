/* SPDX-License-Identifier: MIT */
/*
 * The id of a connection: in the access log, and in the header that is sent to the backend.
 * One that comes with a header stays what it is through a chain of proxies.
 */
#ifndef DAEMON_SESSION_CONNECTION_ID_H
#define DAEMON_SESSION_CONNECTION_ID_H

#include <stddef.h>

#include <sockfront/proxy_protocol.h>

struct connection_id {
	size_t size;
	unsigned char bytes[SFRONT_PROXY_UNIQUE_ID_MAX]; /* any */
};

/* Room for each as text, where a byte may become \xNN. */
#define CONNECTION_ID_TEXT_SIZE (4 * SFRONT_PROXY_UNIQUE_ID_MAX + 1)

/* One that no other connection has, of this process or another: 16 hexadecimal digits. */
struct connection_id connection_id_next(void);

/* Reads the text of one of ours. */
struct connection_id connection_id_of(const char *text);

/* Without blanks, quotes and control characters. */
void connection_id_format(const struct connection_id *id, char buf[CONNECTION_ID_TEXT_SIZE]);

#endif
