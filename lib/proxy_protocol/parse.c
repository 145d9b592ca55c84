/* SPDX-License-Identifier: MIT */
/*
 * The beginning of a PROXY protocol header tells its version; the rest is for
 * v1.c or v2_parse.c.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/proxy_protocol/codec.h"

#define SHORTEST 15 /* "PROXY UNKNOWN\r\n" */

const char *sfront_proxy_show(const void *data, size_t len, char buf[SHOWN_SIZE])
{
	const unsigned char *bytes = data;
	size_t at = 0;

	for (size_t i = 0; i < len && i < SHOWN_MAX; i++) {
		bool plain =
			bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\';

		at += (size_t)snprintf(buf + at, SHOWN_SIZE - at, plain ? "%c" : "\\x%02x",
				       bytes[i]);
	}
	snprintf(buf + at, SHOWN_SIZE - at, "%s", len > SHOWN_MAX ? "..." : "");
	return buf;
}

int sfront_proxy_parse(const void *data, size_t len, struct sfront_proxy_header *ret_header,
		       size_t *ret_more, struct sfront_error *err)
{
	const unsigned char *bytes = data;
	char shown[SHOWN_SIZE];

	if (len == 0) {
		*ret_more = SHORTEST;
		return -EAGAIN;
	}
	switch (bytes[0]) {
	case 'P':
		return sfront_proxy_v1_parse(bytes, len, ret_header, ret_more, err);
	case '\r':
		return sfront_proxy_v2_parse(bytes, len, ret_header, ret_more, err);
	default:
		return sfront_fail(err, -EPROTO, "\"%s\" is no PROXY protocol header",
				   sfront_proxy_show(data, len, shown));
	}
}
