/* SPDX-License-Identifier: MIT */
/*
 * CRC32c (Castagnoli), of which the PROXY protocol has the checksum of a
 * header.  Four bits at a time: headers are short, and the table fits a line of
 * the cache.
 */
#include "lib/proxy_protocol/codec.h"

static const uint32_t table[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t sfront_crc32c(uint32_t crc, const void *data, size_t len)
{
	const unsigned char *bytes = data;

	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc = crc >> 4 ^ table[(crc ^ bytes[i]) & 15];
		crc = crc >> 4 ^ table[(crc ^ (unsigned int)bytes[i] >> 4) & 15];
	}
	return ~crc;
}
