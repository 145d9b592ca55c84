/* SPDX-License-Identifier: MIT */
/*
 * What ListenStream= of a .socket unit says for an address of our own, so that systemd
 * binds what this process would.
 */
#ifndef CONF_LISTEN_STREAM_H
#define CONF_LISTEN_STREAM_H

#include <stddef.h>

#include <sockfront/address.h>
#include <sockfront/error.h>

/* Room for any of them, with each percent sign doubled. */
#define LISTEN_STREAM_SIZE (2 * SFRONT_ADDRESS_TEXT_SIZE)

/*
 * Writes the value.  Looks up services, resolves no host.
 *
 * @buf: LISTEN_STREAM_SIZE bytes
 *
 * Returns 0, or -EINVAL with @err saying why systemd cannot bind that.
 */
int listen_stream_format(const struct sfront_address *address, char *buf, struct sfront_error *err);

#endif
