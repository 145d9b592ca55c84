/* SPDX-License-Identifier: MIT */
/*
 * Asking an HTTP server for something, once: for --status.  Everything blocks, until the
 * deadline at most.
 */
#ifndef DAEMON_HTTP_GET_H
#define DAEMON_HTTP_GET_H

#include <sockfront/address.h>
#include <stdint.h>

struct evbuffer;

/*
 * Connects.
 *
 * @until_ms: the deadline, by clock_exact_ms()
 *
 * Returns a descriptor, -ETIMEDOUT or another -errno.
 */
int http_connect(const struct sfront_sockaddr *addr, uint64_t until_ms);

/*
 * Asks for @path.
 *
 * @body: what the server answers is appended, without its headers
 *
 * Returns the status code of the answer, or
 *   -ETIMEDOUT   it is not complete
 *   -ECONNRESET  there is none: the server has ended the connection
 *   -EPROTO      what came is no HTTP
 *   -EMSGSIZE    it is longer than 64 MiB
 *   another -errno
 */
int http_get(int fd, const char *path, uint64_t until_ms, struct evbuffer *body);

#endif
