/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a header of the PROXY protocol (lib/proxy_protocol/).  What parses
 * is the same once it was written and parsed again, checksum and all; what does
 * not, is refused with a reason or wants more, and leaves the result alone.
 */
#include "fuzz.h"

#include <errno.h>

#include "lib/proxy_protocol/codec.h"

#define UNTOUCHED     0xa5
#define ROOM          SFRONT_PROXY_HEADER_MAX
#define CHECKSUM_SIZE 7 /* of the TLV */

static void is_untouched(const struct sfront_proxy_header *header)
{
	const unsigned char *bytes = (const unsigned char *)header;

	for (size_t i = 0; i < sizeof(*header); i++)
		PROMISE(bytes[i] == UNTOUCHED);
}

/* As sfront_proxy_parse(), whose manual each result has to be in. */
static int parse(const void *data, size_t len, struct sfront_proxy_header *ret, size_t *ret_more)
{
	struct sfront_error err;
	int r;

	error_clear(&err);
	memset(ret, UNTOUCHED, sizeof(*ret));
	*ret_more = 0;
	r = sfront_proxy_parse(data, len, ret, ret_more, &err);
	PROMISE((r == -EAGAIN) == (*ret_more > 0));
	if (r == -EPROTO || r == -EMSGSIZE) {
		error_explains(&err);
		is_untouched(ret);
	} else if (r == -EAGAIN) {
		PROMISE(err.message[0] == '\n');
		PROMISE(len + *ret_more <= SFRONT_PROXY_HEADER_MAX);
		is_untouched(ret);
	} else {
		PROMISE(r >= 15 && (size_t)r <= len);
		PROMISE(err.message[0] == '\n');
	}
	return r;
}

/* Every part of a header wants more, and no more than there is. */
static void is_cut_anywhere(const uint8_t *data, size_t len)
{
	struct sfront_proxy_header header;
	size_t more;

	for (size_t n = 0; n < len; n += 1 + n / 8) {
		PROMISE(parse(data, n, &header, &more) == -EAGAIN);
		PROMISE(more <= len - n);
	}
	PROMISE(parse(data, len - 1, &header, &more) == -EAGAIN && more == 1);
}

/* The TLVs are within the header, one after the other up to its end. */
static void is_in_bounds(const struct sfront_proxy_header *header, const uint8_t *data, size_t len)
{
	const unsigned char *at = header->tlvs;
	struct sfront_proxy_tlv tlv = { 0 };

	PROMISE(at > data && at + header->tlvs_size <= data + len);
	while (sfront_proxy_next_tlv(header, &tlv)) {
		PROMISE(tlv.type == at[0] && tlv.value == at + 3);
		at = tlv.value + tlv.size;
		PROMISE(at <= data + len);
	}
	PROMISE(at == header->tlvs + header->tlvs_size);
}

static bool is_same(const struct sfront_sockaddr *a, const struct sfront_sockaddr *b)
{
	return a->len == 0 ? b->len == 0 : sfront_sockaddr_equal(a, b);
}

static void writes_line(const struct sfront_proxy_header *header)
{
	struct sfront_proxy_header back;
	char line[SFRONT_PROXY_V1_MAX];
	size_t more;
	int len = sfront_proxy_format_v1(&header->source, &header->destination, line, sizeof(line));

	PROMISE(len > 0 && parse(line, (size_t)len, &back, &more) == len);
	if (header->source.len == 0 || header->source.sa.any.sa_family == AF_UNIX)
		PROMISE(len == 15 && back.source.len == 0 && back.destination.len == 0);
	else
		PROMISE(is_same(&header->source, &back.source) &&
			is_same(&header->destination, &back.destination));
}

/* The longest headers have no room for one. */
static void add_checksum(struct sfront_proxy_writer *writer)
{
	int r = sfront_proxy_add(writer, SFRONT_PROXY_TLV_CRC32C, NULL, 0);

	PROMISE(r == 0 || (r == -ENOBUFS && writer->len + CHECKSUM_SIZE > ROOM));
}

static int write_again(const struct sfront_proxy_header *header, struct sfront_proxy_writer *writer,
		       bool with_checksum)
{
	struct sfront_proxy_tlv tlv = { 0 };

	PROMISE(sfront_proxy_begin_v2(writer, header->is_local ? NULL : &header->source,
				      &header->destination) == 0);
	while (sfront_proxy_next_tlv(header, &tlv))
		PROMISE(sfront_proxy_add(writer, tlv.type, tlv.value, tlv.size) == 0);
	if (with_checksum)
		add_checksum(writer);
	return sfront_proxy_finish(writer);
}

/* The same TLVs, whatever the checksum; @b may have that one more. */
static void has_same_tlvs(const struct sfront_proxy_header *a, const struct sfront_proxy_header *b)
{
	struct sfront_proxy_tlv in_a = { 0 }, in_b = { 0 };

	while (sfront_proxy_next_tlv(a, &in_a)) {
		PROMISE(sfront_proxy_next_tlv(b, &in_b));
		PROMISE(in_a.type == in_b.type && in_a.size == in_b.size);
		if (in_a.type != SFRONT_PROXY_TLV_CRC32C)
			PROMISE(memcmp(in_a.value, in_b.value, in_a.size) == 0);
	}
}

static void writes_header(const struct sfront_proxy_header *header)
{
	unsigned char buf[ROOM], again[ROOM];
	struct sfront_proxy_writer first = { .buf = buf, .size = ROOM };
	struct sfront_proxy_writer second = { .buf = again, .size = ROOM };
	struct sfront_proxy_header back;
	struct sfront_proxy_tlv crc;
	size_t more;
	int len = write_again(header, &first, !header->is_local);

	PROMISE(len >= 16 && parse(buf, (size_t)len, &back, &more) == len);
	PROMISE(back.is_local == header->is_local && back.version == 2);
	PROMISE(is_same(&header->source, &back.source));
	PROMISE(is_same(&header->destination, &back.destination));
	has_same_tlvs(header, &back);
	is_in_bounds(&back, buf, (size_t)len);
	PROMISE(write_again(&back, &second, false) == len && memcmp(buf, again, (size_t)len) == 0);
	if (!sfront_proxy_find_tlv(&back, SFRONT_PROXY_TLV_CRC32C, &crc)) {
		PROMISE(header->is_local || len + CHECKSUM_SIZE > ROOM);
		return;
	}
	buf[crc.value - buf] ^= 0x10;
	PROMISE(parse(buf, (size_t)len, &back, &more) == -EPROTO);
}

/* A wrong checksum is never guessed right: makes it right, and says whether there is one. */
static bool correct(uint8_t *data, size_t len)
{
	size_t size = len >= 16 ? 16 + (size_t)(data[14] << 8 | data[15]) : SIZE_MAX, at = 16;
	static const size_t addresses[] = { 0, 12, 36, 216 };
	uint32_t sum;

	if (size > len)
		return false;
	at += addresses[data[13] >> 4 & 3];
	while (at + 7 <= size && data[at] != SFRONT_PROXY_TLV_CRC32C)
		at += 3 + (size_t)(data[at + 1] << 8 | data[at + 2]);
	if (at + 7 > size)
		return false;
	memset(data + at + 3, 0, 4);
	sum = sfront_crc32c(0, data, size);
	for (int i = 0; i < 4; i++)
		data[at + 3 + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
	return true;
}

static int try_header(const uint8_t *data, size_t size)
{
	struct sfront_proxy_header header;
	size_t more;
	int r = parse(data, size, &header, &more);

	if (r > 0) {
		is_cut_anywhere(data, (size_t)r);
		is_in_bounds(&header, data, (size_t)r);
		writes_line(&header);
		writes_header(&header);
	}
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of its own, so that a step past its end is seen. */
	uint8_t *copy = (uint8_t *)text_of(data, size);
	uint8_t *exact = size > 0 ? realloc(copy, size) : copy;

	PROMISE(exact);
	if (try_header(exact, size) == -EPROTO && correct(exact, size))
		try_header(exact, size);
	free(exact);
	return 0;
}
