/* SPDX-License-Identifier: MIT */
/*
 * Version 2 of the PROXY protocol as it is on the wire: 12 bytes of signature,
 * version and command, family and transport, two bytes of length; then
 * addresses, then TLVs.  Read by v2_parse.c, written by v2_format.c; what both
 * need of TLVs is in tlv.c.
 */
#ifndef SOCKFRONT_PROXY_V2_H
#define SOCKFRONT_PROXY_V2_H

#include "lib/proxy_protocol/codec.h"

#define SIGNATURE_SIZE 12

#define AT_COMMAND SIGNATURE_SIZE
#define AT_FAMILY  13
#define AT_LENGTH  14
#define FIXED_SIZE 16

#define COMMAND_LOCAL 0x20 /* with the version in the upper half */
#define COMMAND_PROXY 0x21

/* Family and transport. */
#define UNSPEC      0x00
#define TCP4        0x11
#define TCP6        0x21
#define UNIX_STREAM 0x31

#define INET_SIZE 12
#define IN6_SIZE  36
#define PATH_SIZE 108
#define UNIX_SIZE (2 * PATH_SIZE)

#define TLV_FIXED_SIZE 3 /* type and length */

/* Of the value of a TLV. */
#define CRC_SIZE         4
#define CREDENTIALS_SIZE 12
#define VSOCK_SIZE       16

static inline uint16_t get16(const unsigned char *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t get32(const unsigned char *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static inline void put16(unsigned char *at, size_t value)
{
	at[0] = (unsigned char)(value >> 8);
	at[1] = (unsigned char)value;
}

static inline void put32(unsigned char *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

/* Bytes of the whole header whose fixed part is at @data. */
static inline size_t size_of(const unsigned char *data)
{
	return FIXED_SIZE + (size_t)get16(data + AT_LENGTH);
}

/* v2_parse.c */

extern const unsigned char sfront_proxy_v2_signature[SIGNATURE_SIZE];

/* Bytes of both addresses; 0 where there are none that count. */
size_t sfront_proxy_v2_addresses(unsigned int family);

/* tlv.c */

/* Whether the TLVs end where the header does. */
bool sfront_proxy_is_all_tlvs(const struct sfront_proxy_header *header);

/* The checksum of a header whose own one, at @crc, counts as zero. */
uint32_t sfront_proxy_checksum(const unsigned char *data, const unsigned char *crc);

#endif
