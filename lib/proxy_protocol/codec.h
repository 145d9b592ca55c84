/* SPDX-License-Identifier: MIT */
/*
 * What the files of the PROXY protocol share: parse.c picks the version, v1.c
 * and v2_*.c know one each, pair.c tells which family two addresses have.
 */
#ifndef SOCKFRONT_PROXY_CODEC_H
#define SOCKFRONT_PROXY_CODEC_H

#include <sockfront/proxy_protocol.h>

#include "lib/internal.h"

/* v1.c, v2_parse.c: as sfront_proxy_parse(), of @len bytes, one at least. */
int sfront_proxy_v1_parse(const unsigned char *data, size_t len, struct sfront_proxy_header *ret,
			  size_t *ret_more, struct sfront_error *err);
int sfront_proxy_v2_parse(const unsigned char *data, size_t len, struct sfront_proxy_header *ret,
			  size_t *ret_more, struct sfront_error *err);

/* Room for bytes of the wire as text, each of up to SHOWN_MAX as it is or as \xNN. */
#define SHOWN_MAX  32
#define SHOWN_SIZE (4 * SHOWN_MAX + 4)

/* parse.c: writes @len bytes for a message, "..." for those past SHOWN_MAX.  Returns @buf. */
const char *sfront_proxy_show(const void *data, size_t len, char buf[SHOWN_SIZE]);

/* Two addresses of one family. */
struct sfront_proxy_pair {
	int family; /* AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC: there are none */
	struct sfront_sockaddr source;
	struct sfront_sockaddr destination;
};

/* pair.c: the family that both can be written in.  NULL: no address. */
struct sfront_proxy_pair sfront_proxy_pair(const struct sfront_sockaddr *source,
					   const struct sfront_sockaddr *destination);

/* pair.c: the port of an address of TCP, in network byte order. */
uint16_t *sfront_proxy_port(struct sfront_sockaddr *addr);

/* crc32c.c: the checksum of what had @crc (0: nothing) and of @len bytes after it. */
uint32_t sfront_crc32c(uint32_t crc, const void *data, size_t len);

#endif
