/* SPDX-License-Identifier: MIT */
/*
 * Headers of version 2 of the PROXY protocol, written: addresses, TLVs after them,
 * and in the end what depends on all of it, the length and the checksum.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "lib/proxy_protocol/v2.h"

static void format_in(const struct sfront_proxy_pair *pair, unsigned char *at)
{
	memcpy(at, &pair->source.sa.in.sin_addr, 4);
	memcpy(at + 4, &pair->destination.sa.in.sin_addr, 4);
	put16(at + 8, ntohs(pair->source.sa.in.sin_port));
	put16(at + 10, ntohs(pair->destination.sa.in.sin_port));
}

static void format_in6(const struct sfront_proxy_pair *pair, unsigned char *at)
{
	memcpy(at, &pair->source.sa.in6.sin6_addr, 16);
	memcpy(at + 16, &pair->destination.sa.in6.sin6_addr, 16);
	put16(at + 32, ntohs(pair->source.sa.in6.sin6_port));
	put16(at + 34, ntohs(pair->destination.sa.in6.sin6_port));
}

static void format_un(const struct sfront_sockaddr *addr, unsigned char *at)
{
	size_t start = offsetof(struct sockaddr_un, sun_path);
	size_t len = addr->len > start ? addr->len - start : 0;

	if (len > PATH_SIZE)
		len = PATH_SIZE;
	if (len > 0 && addr->sa.un.sun_path[0] != '\0')
		len = strnlen(addr->sa.un.sun_path, len);
	memset(at, 0, PATH_SIZE);
	memcpy(at, addr->sa.un.sun_path, len);
}

static unsigned char family_byte(int family)
{
	switch (family) {
	case AF_INET:
		return TCP4;
	case AF_INET6:
		return TCP6;
	case AF_UNIX:
		return UNIX_STREAM;
	default:
		return UNSPEC;
	}
}

int sfront_proxy_begin_v2(struct sfront_proxy_writer *writer, const struct sfront_sockaddr *source,
			  const struct sfront_sockaddr *destination)
{
	struct sfront_proxy_pair pair = sfront_proxy_pair(source, destination);
	unsigned char family = family_byte(pair.family), *at = writer->buf;
	size_t len = FIXED_SIZE + sfront_proxy_v2_addresses(family);

	writer->len = writer->crc = 0;
	if (len > writer->size)
		return -ENOBUFS;
	memcpy(at, sfront_proxy_v2_signature, SIGNATURE_SIZE);
	at[AT_COMMAND] = source ? COMMAND_PROXY : COMMAND_LOCAL;
	at[AT_FAMILY] = family;

	at += FIXED_SIZE;
	if (pair.family == AF_INET) {
		format_in(&pair, at);
	} else if (pair.family == AF_INET6) {
		format_in6(&pair, at);
	} else if (pair.family == AF_UNIX) {
		format_un(&pair.source, at);
		format_un(&pair.destination, at + PATH_SIZE);
	}
	writer->len = len;
	return 0;
}

int sfront_proxy_add(struct sfront_proxy_writer *writer, uint8_t type, const void *value,
		     size_t len)
{
	size_t room =
		writer->size < SFRONT_PROXY_HEADER_MAX ? writer->size : SFRONT_PROXY_HEADER_MAX;
	unsigned char *at = (unsigned char *)writer->buf + writer->len;
	bool is_crc = type == SFRONT_PROXY_TLV_CRC32C;

	if (writer->len == 0 ||
	    (type == SFRONT_PROXY_TLV_UNIQUE_ID && len > SFRONT_PROXY_UNIQUE_ID_MAX))
		return -EINVAL;
	if (is_crc && writer->crc)
		return 0;
	if (is_crc)
		len = CRC_SIZE;
	if (room - writer->len < TLV_FIXED_SIZE || len > room - writer->len - TLV_FIXED_SIZE)
		return -ENOBUFS;

	at[0] = type;
	put16(at + 1, len);
	if (is_crc)
		writer->crc = writer->len + TLV_FIXED_SIZE;
	else if (len > 0)
		memcpy(at + TLV_FIXED_SIZE, value, len);
	writer->len += TLV_FIXED_SIZE + len;
	return 0;
}

int sfront_proxy_finish(struct sfront_proxy_writer *writer)
{
	unsigned char *start = writer->buf;

	if (writer->len == 0)
		return -EINVAL;
	put16(start + AT_LENGTH, writer->len - FIXED_SIZE);
	if (writer->crc)
		put32(start + writer->crc, sfront_proxy_checksum(start, start + writer->crc));
	return (int)writer->len;
}

int sfront_proxy_add_credentials(struct sfront_proxy_writer *writer,
				 const struct sfront_credentials *credentials)
{
	unsigned char value[CREDENTIALS_SIZE];

	put32(value, (uint32_t)credentials->pid);
	put32(value + 4, credentials->uid);
	put32(value + 8, credentials->gid);
	return sfront_proxy_add(writer, SFRONT_PROXY_TLV_CREDENTIALS, value, sizeof(value));
}

int sfront_proxy_add_vsock(struct sfront_proxy_writer *writer,
			   const struct sfront_proxy_vsock *vsock)
{
	unsigned char value[VSOCK_SIZE];

	put32(value, vsock->cid);
	put32(value + 4, vsock->port);
	put32(value + 8, vsock->own_cid);
	put32(value + 12, vsock->own_port);
	return sfront_proxy_add(writer, SFRONT_PROXY_TLV_VSOCK, value, sizeof(value));
}
