/* SPDX-License-Identifier: MIT */
/*
 * Socket addresses of what is no TCP: there is nothing to look up.
 */
#ifndef DAEMON_BACKEND_TARGET_H
#define DAEMON_BACKEND_TARGET_H

#include <sockfront/address.h>
#include <stdbool.h>

/* Fills in what a UNIX path, an abstract name or a vsock address is; false: it is TCP. */
bool target_fill(const struct sfront_address *address, struct sfront_sockaddr *ret);

#endif
