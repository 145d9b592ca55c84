/* SPDX-License-Identifier: MIT */
/*
 * Addresses with a range of ports: 127.0.0.1:7000-7999 stands for a thousand of them.
 */
#ifndef CONF_PORT_RANGE_H
#define CONF_PORT_RANGE_H

#include <stddef.h>

#include <sockfront/address.h>
#include <sockfront/error.h>

/* Room for the text of any, with the final NUL. */
#define PORT_RANGE_TEXT_SIZE (SFRONT_ADDRESS_TEXT_SIZE + sizeof("-65535"))

/*
 * Reads an address, of which TCP may have a range of ports.
 *
 * @ret_first:   the address with the first port
 * @ret_further: how many ports come after that
 *
 * Returns 0, or a negative errno with @err saying what is taken.
 */
int port_range_parse(const char *text, struct sfront_address *ret_first, unsigned int *ret_further,
		     struct sfront_error *err);

/* The address with the port that comes @step after the one of @first. */
struct sfront_address port_range_at(const struct sfront_address *first, unsigned int step);

/* "127.0.0.1:7000-7999".  Returns the length of the whole text, as snprintf does. */
size_t port_range_format(const struct sfront_address *first, unsigned int further, char *buf,
			 size_t size);

#endif
