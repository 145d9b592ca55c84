/* SPDX-License-Identifier: MIT */
/*
 * A request whose echo can be told from every other: it carries the caller's
 * number and its own.  Used by request.c and connect.c.
 */
#ifndef BENCH_REQUEST_H
#define BENCH_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a request needs room for, and the largest one. */
#define REQUEST_MIN ((size_t)24)
#define REQUEST_MAX ((size_t)65536)

/* Sends request @number of @caller in one piece.  Ends the program when that cannot be. */
void request_send(int fd, size_t size, uint64_t caller, uint64_t number);

/* Whether @reply is that request. */
bool request_matches(const unsigned char *reply, size_t size, uint64_t caller, uint64_t number);

#endif
