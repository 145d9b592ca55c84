/* SPDX-License-Identifier: MIT */
/*
 * From one port to another: see port_range.h.
 */
#include "conf/port_range.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <sockfront/value.h>

#include "conf/refuse.h"

#define PORT_MAX 65535
#define DIGITS   "0123456789"

/* The "-7999" at the end of an address that has two numbers after its last colon; or NULL. */
static const char *find_last(const char *text)
{
	const char *colon = strrchr(text, ':'), *dash;
	size_t first = colon ? strspn(colon + 1, DIGITS) : 0, last;

	if (first == 0)
		return NULL;
	dash = colon + 1 + first;
	last = *dash == '-' ? strspn(dash + 1, DIGITS) : 0;
	return last > 0 && dash[1 + last] == '\0' ? dash : NULL;
}

/* Whether the address is one of TCP without its "-7999". */
static bool parse_first(const char *text, const char *dash, struct sfront_address *ret)
{
	char first[SFRONT_ADDRESS_TEXT_SIZE];

	if ((size_t)(dash - text) >= sizeof(first))
		return false;
	memcpy(first, text, (size_t)(dash - text));
	first[dash - text] = '\0';
	return sfront_address_parse(first, ret, NULL) == 0 && ret->kind == SFRONT_TCP;
}

/* 0: it has none that counts. */
static unsigned int port_of(const struct sfront_address *address)
{
	uint16_t port;

	return sfront_address_port(address, &port, NULL) == 0 ? port : 0;
}

int port_range_parse(const char *text, struct sfront_address *ret_first, unsigned int *ret_further,
		     struct sfront_error *err)
{
	const char *dash = find_last(text);
	struct sfront_address first;
	uint64_t last;

	/* The name of a path or of a descriptor may look like that, too. */
	if (!dash || !parse_first(text, dash, &first)) {
		*ret_further = 0;
		return sfront_address_parse(text, ret_first, err);
	}
	if (port_of(&first) == 0 || sfront_parse_count(dash + 1, 0, PORT_MAX, &last, NULL) < 0 ||
	    last < port_of(&first))
		return refuse(err, -ERANGE,
			      "\"%.200s\": a range of ports goes upwards, from 1 on and to %d at "
			      "most (such as 7000-7999)",
			      text, PORT_MAX);
	*ret_first = first;
	*ret_further = (unsigned int)last - port_of(&first);
	return 0;
}

struct sfront_address port_range_at(const struct sfront_address *first, unsigned int step)
{
	struct sfront_address address = *first;

	if (step > 0)
		snprintf(address.u.tcp.service, sizeof(address.u.tcp.service), "%u",
			 port_of(first) + step);
	return address;
}

size_t port_range_format(const struct sfront_address *first, unsigned int further, char *buf,
			 size_t size)
{
	size_t length = sfront_address_format(first, buf, size);

	if (further == 0)
		return length;
	return length + (size_t)snprintf(length < size ? buf + length : NULL,
					 length < size ? size - length : 0, "-%u",
					 port_of(first) + further);
}
