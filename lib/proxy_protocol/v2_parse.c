/* SPDX-License-Identifier: MIT */
/*
 * Headers of version 2 of the PROXY protocol, read.  What each byte means is in
 * v2.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "lib/proxy_protocol/v2.h"

const unsigned char sfront_proxy_v2_signature[SIGNATURE_SIZE] = {
	0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
};

size_t sfront_proxy_v2_addresses(unsigned int family)
{
	static const size_t sizes[] = { 0, INET_SIZE, IN6_SIZE, UNIX_SIZE };

	return (family & 0x0f) ? sizes[family >> 4 & 3] : 0;
}

static bool is_local(const unsigned char *data)
{
	return data[AT_COMMAND] == COMMAND_LOCAL;
}

/* Checks the fixed part as far as it is there. */
static int check_fixed(const unsigned char *data, size_t len, struct sfront_error *err)
{
	char shown[SHOWN_SIZE];

	if (memcmp(data, sfront_proxy_v2_signature, len < SIGNATURE_SIZE ? len : SIGNATURE_SIZE) !=
	    0)
		return sfront_fail(err, -EPROTO, "\"%s\" is no PROXY protocol header",
				   sfront_proxy_show(data, len, shown));
	if (len > AT_COMMAND && data[AT_COMMAND] >> 4 != 2)
		return sfront_fail(err, -EPROTO,
				   "a PROXY protocol header has version %d; 1 and 2 are known",
				   data[AT_COMMAND] >> 4);
	if (len > AT_COMMAND && data[AT_COMMAND] > COMMAND_PROXY)
		return sfront_fail(err, -EPROTO,
				   "a PROXY protocol header has command %d; there are 0 (LOCAL) "
				   "and 1 (PROXY)",
				   data[AT_COMMAND] & 15);
	/* "must be rejected as invalid by receivers"; the family of LOCAL "is ignored" */
	if (len > AT_FAMILY && !is_local(data) &&
	    (data[AT_FAMILY] >> 4 > 3 || (data[AT_FAMILY] & 15) > 2))
		return sfront_fail(err, -EPROTO,
				   "a PROXY protocol header has family and transport 0x%02x, "
				   "which the protocol does not have",
				   data[AT_FAMILY]);
	return 0;
}

static int check_size(const unsigned char *data, struct sfront_error *err)
{
	size_t size = size_of(data), wanted = sfront_proxy_v2_addresses(data[AT_FAMILY]);

	if (size > SFRONT_PROXY_HEADER_MAX)
		return sfront_fail(err, -EMSGSIZE,
				   "a PROXY protocol header of %zu bytes is too long; at most %d "
				   "are taken",
				   size, SFRONT_PROXY_HEADER_MAX);
	if (!is_local(data) && size - FIXED_SIZE < wanted)
		return sfront_fail(err, -EPROTO,
				   "a PROXY protocol header has %zu bytes of addresses; those of "
				   "its family (0x%02x) have %zu",
				   size - FIXED_SIZE, data[AT_FAMILY], wanted);
	return 0;
}

static void parse_in(const unsigned char *ip, const unsigned char *port,
		     struct sfront_sockaddr *ret)
{
	ret->len = sizeof(ret->sa.in);
	ret->sa.in.sin_family = AF_INET;
	ret->sa.in.sin_port = htons(get16(port));
	memcpy(&ret->sa.in.sin_addr, ip, 4);
}

static void parse_in6(const unsigned char *ip, const unsigned char *port,
		      struct sfront_sockaddr *ret)
{
	ret->len = sizeof(ret->sa.in6);
	ret->sa.in6.sin6_family = AF_INET6;
	ret->sa.in6.sin6_port = htons(get16(port));
	memcpy(&ret->sa.in6.sin6_addr, ip, 16);
}

/*
 * A path ends with the first NUL, if it has any.  An abstract name begins with
 * one, and the wire does not say where it ends: with the last byte that is none.
 */
static void parse_un(const unsigned char *path, struct sfront_sockaddr *ret)
{
	size_t len = PATH_SIZE;

	_Static_assert(sizeof(ret->sa.un.sun_path) == PATH_SIZE, "as on the wire");
	if (path[0] != '\0')
		len = strnlen((const char *)path, PATH_SIZE);
	else
		while (len > 0 && path[len - 1] == '\0')
			len--;
	ret->sa.un.sun_family = AF_UNIX;
	memcpy(ret->sa.un.sun_path, path, len);
	/* The NUL after a path is counted, as the kernel does. */
	ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
			       (path[0] != '\0' && len < PATH_SIZE));
}

static void parse_addresses(const unsigned char *data, struct sfront_proxy_header *ret)
{
	const unsigned char *at = data + FIXED_SIZE;

	switch (sfront_proxy_v2_addresses(data[AT_FAMILY])) {
	case INET_SIZE:
		parse_in(at, at + 8, &ret->source);
		parse_in(at + 4, at + 10, &ret->destination);
		break;
	case IN6_SIZE:
		parse_in6(at, at + 32, &ret->source);
		parse_in6(at + 16, at + 34, &ret->destination);
		break;
	case UNIX_SIZE:
		parse_un(at, &ret->source);
		parse_un(at + PATH_SIZE, &ret->destination);
		break;
	default:
		break;
	}
}

/* @n_crcs: how many checksums came before, each of which costs a walk over the header */
static int check_tlv(const unsigned char *data, const struct sfront_proxy_tlv *tlv,
		     unsigned int *n_crcs, struct sfront_error *err)
{
	if (tlv->type == SFRONT_PROXY_TLV_UNIQUE_ID && tlv->size > SFRONT_PROXY_UNIQUE_ID_MAX)
		return sfront_fail(err, -EPROTO,
				   "a PROXY protocol header has a unique id of %zu bytes; it has "
				   "at most %d",
				   tlv->size, SFRONT_PROXY_UNIQUE_ID_MAX);
	if (tlv->type != SFRONT_PROXY_TLV_CRC32C)
		return 0;
	if ((*n_crcs)++ > 0)
		return sfront_fail(err, -EPROTO, "a PROXY protocol header has two checksums");
	if (tlv->size != CRC_SIZE)
		return sfront_fail(err, -EPROTO,
				   "a PROXY protocol header has a checksum of %zu bytes; it has %d",
				   tlv->size, CRC_SIZE);
	if (sfront_proxy_checksum(data, tlv->value) != get32(tlv->value))
		return sfront_fail(err, -EPROTO,
				   "a PROXY protocol header has checksum 0x%08x, and should have "
				   "0x%08x: it was changed on its way",
				   get32(tlv->value), sfront_proxy_checksum(data, tlv->value));
	return 0;
}

static int parse_tlvs(const unsigned char *data, struct sfront_proxy_header *ret,
		      struct sfront_error *err)
{
	struct sfront_proxy_tlv tlv = { 0 };
	unsigned int family = data[AT_FAMILY];
	size_t skipped = FIXED_SIZE + sfront_proxy_v2_addresses(family);
	unsigned int n_crcs = 0;
	int r = 0;

	/* Half of it is unspecified: nobody knows where addresses would end. */
	if (family != UNSPEC && sfront_proxy_v2_addresses(family) == 0)
		return 0;
	ret->tlvs = data + skipped;
	ret->tlvs_size = size_of(data) - skipped;
	if (!sfront_proxy_is_all_tlvs(ret)) {
		ret->tlvs_size = 0;
		/* Addresses of an unspecified family are ignored. */
		if (family == UNSPEC)
			return 0;
		return sfront_fail(err, -EPROTO,
				   "the TLVs of a PROXY protocol header do not end where it ends");
	}
	while (r == 0 && sfront_proxy_next_tlv(ret, &tlv))
		r = check_tlv(data, &tlv, &n_crcs, err);
	return r;
}

int sfront_proxy_v2_parse(const unsigned char *data, size_t len, struct sfront_proxy_header *ret,
			  size_t *ret_more, struct sfront_error *err)
{
	struct sfront_proxy_header header = { .version = 2 };
	size_t size = FIXED_SIZE;
	int r;

	r = check_fixed(data, len, err);
	if (r == 0 && len >= FIXED_SIZE) {
		size = size_of(data);
		r = check_size(data, err);
	}
	if (r < 0)
		return r;
	if (len < size) {
		*ret_more = size - len;
		return -EAGAIN;
	}

	header.tlvs = data + size;
	header.is_local = is_local(data);
	if (!header.is_local) {
		parse_addresses(data, &header);
		r = parse_tlvs(data, &header, err);
		if (r < 0)
			return r;
	}
	*ret = header;
	return (int)size;
}
