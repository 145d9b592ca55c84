/* SPDX-License-Identifier: MIT */
/*
 * Headers of the PROXY protocol as bytes: lib/proxy_protocol/.  How they are read
 * from a connection is in test_proxy_read.c.
 */
#include "descriptors.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/proxy_protocol/codec.h"

#define UNTOUCHED 0xa5

static struct sfront_error why;

/* Bytes of a literal that may have NULs inside, as two members. */
#define BYTES(literal) (literal), sizeof(literal) - 1

#define SIG "\r\n\r\n\0\r\nQUIT\n"

struct header {
	const char *bytes;
	size_t len;
	int result; /* length of the header, or -errno */
	const char *source;
	const char *destination;
	const char *message; /* on failure, a part of it */
};

#define SIX "0123:4567:89ab:cdef:0123:4567:89ab:cdef"

static const struct header v1_cases[] = {
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\n"), 43, "192.0.2.1:56324",
	  "192.0.2.11:443", NULL },
	{ BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), 56,
	  "255.255.255.255:65535", "255.255.255.255:65535", NULL },
	{ BYTES("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), 32, "0.0.0.0:0", "0.0.0.0:0", NULL },
	{ BYTES("PROXY TCP6 2001:db8::1 2001:db8::b 56324 443\r\n"), 46, "[2001:db8::1]:56324",
	  "[2001:db8::b]:443", NULL },
	{ BYTES("PROXY TCP6 " SIX " " SIX " 65535 65535\r\n"), 104,
	  "[123:4567:89ab:cdef:123:4567:89ab:cdef]:65535",
	  "[123:4567:89ab:cdef:123:4567:89ab:cdef]:65535", NULL },
	{ BYTES("PROXY TCP6 :: :: 0 0\r\n"), 22, "[::]:0", "[::]:0", NULL },
	{ BYTES("PROXY TCP6 ::FFFF:192.0.2.1 ::ffff:c000:20b 1 2\r\n"), 49, "192.0.2.1:1",
	  "192.0.2.11:2", NULL },
	/* nothing counts before the CRLF; 107 bytes are the most */
	{ BYTES("PROXY UNKNOWN\r\n"), 15, "unknown", "unknown", NULL },
	{ BYTES("PROXY UNKNOWN \r\n"), 16, "unknown", "unknown", NULL },
	{ BYTES("PROXY UNKNOWN what \0 ever \xff it says\r\n"), 37, "unknown", "unknown", NULL },
	{ BYTES("PROXY UNKNOWN " SIX " " SIX " 65535 65535\r\n"), 107, "unknown", "unknown", NULL },
	{ BYTES("PROXY UNKNOWN " SIX " " SIX " 65535 655350\r\n"), -EPROTO, NULL, NULL,
	  "at most 107 bytes" },
	{ BYTES("PROXY UNKNOWN " SIX " " SIX " 65535 65535 \r"), -EPROTO, NULL, NULL,
	  "at most 107 bytes" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 56324 443                                  "
		"                                        "),
	  -EPROTO, NULL, NULL, "at most 107 bytes" },
	/* one space between, exactly */
	{ BYTES("PROXY  TCP4 192.0.2.1 192.0.2.11 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "begins with PROXY TCP4" },
	{ BYTES("PROXY TCP4  192.0.2.1 192.0.2.11 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "source address \"\"" },
	{ BYTES("PROXY TCP4 192.0.2.1  192.0.2.11 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "destination address \"\"" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 56324  443\r\n"), -EPROTO, NULL, NULL,
	  "destination port \" 443\"" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 56324 443 \r\n"), -EPROTO, NULL, NULL,
	  "destination port \"443 \"" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 56324 443 x\r\n"), -EPROTO, NULL, NULL,
	  "destination port" },
	{ BYTES("PROXY\tTCP4 192.0.2.1 192.0.2.11 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "\"PROXY\\x09TCP4" },
	/* every field is there */
	{ BYTES("PROXY\r\n"), -EPROTO, NULL, NULL, "no PROXY protocol header" },
	{ BYTES("PROXY TCP4\r\n"), -EPROTO, NULL, NULL, "begins with PROXY TCP4" },
	{ BYTES("PROXY TCP4 \r\n"), -EPROTO, NULL, NULL, "source address \"\"" },
	{ BYTES("PROXY TCP4 192.0.2.1\r\n"), -EPROTO, NULL, NULL, "destination address \"\"" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11\r\n"), -EPROTO, NULL, NULL, "source port \"\"" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 56324\r\n"), -EPROTO, NULL, NULL,
	  "destination port \"\"" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 56324 \r\n"), -EPROTO, NULL, NULL,
	  "destination port \"\"" },
	/* addresses are literals of the family that was announced */
	{ BYTES("PROXY TCP4 192.0.2.01 192.0.2.11 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "source address \"192.0.2.01\" of a PROXY protocol header is not an IPv4 address" },
	{ BYTES("PROXY TCP4 192.0.2.256 192.0.2.11 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "not an IPv4 address" },
	{ BYTES("PROXY TCP4 192.0.2 192.0.2.11 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "not an IPv4 address" },
	{ BYTES("PROXY TCP4 0xc0.0.2.1 192.0.2.11 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "not an IPv4 address" },
	{ BYTES("PROXY TCP4 ::1 ::1 56324 443\r\n"), -EPROTO, NULL, NULL, "not an IPv4 address" },
	{ BYTES("PROXY TCP6 192.0.2.1 192.0.2.11 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "not an IPv6 address" },
	{ BYTES("PROXY TCP6 fe80::1%lo fe80::2 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "not an IPv6 address" },
	{ BYTES("PROXY TCP6 [::1] [::1] 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "not an IPv6 address" },
	{ BYTES("PROXY TCP6 1::2::3 ::1 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "not an IPv6 address" },
	{ BYTES("PROXY TCP6 ::1 12345:: 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "destination address \"12345::\"" },
	{ BYTES("PROXY TCP4 192.0.2.1\0 192.0.2.11 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "\"192.0.2.1\\x00\"" },
	{ BYTES("PROXY TCP4 1111111111111111111111111111111111111111111111111111111111111111 "
		"1.1.1.1 1 1\r\n"),
	  -EPROTO, NULL, NULL, "1 to 63 characters" },
	/* ports */
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 056324 443\r\n"), -EPROTO, NULL, NULL,
	  "source port \"056324\" of a PROXY protocol header is not a number from 0 to 65535 "
	  "without leading zeros" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 00 443\r\n"), -EPROTO, NULL, NULL,
	  "leading zeros" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 65536 443\r\n"), -EPROTO, NULL, NULL,
	  "source port \"65536\"" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 56324 99999999999999999999\r\n"), -EPROTO, NULL,
	  NULL, "destination port" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 -1 443\r\n"), -EPROTO, NULL, NULL,
	  "source port \"-1\"" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 +1 443\r\n"), -EPROTO, NULL, NULL,
	  "source port \"+1\"" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 http 443\r\n"), -EPROTO, NULL, NULL,
	  "source port \"http\"" },
	/* CR and LF, both */
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\n"), -EPROTO, NULL, NULL,
	  "neither stands alone" },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\rX"), -EPROTO, NULL, NULL,
	  "neither stands alone" },
	{ BYTES("PROXY UNKNOWN a\nb\r\n"), -EPROTO, NULL, NULL, "neither stands alone" },
	{ BYTES("PROXY UNKNOWN a\rb\r\n"), -EPROTO, NULL, NULL, "neither stands alone" },
	{ BYTES("PROXY UNKNOWN\n"), -EPROTO, NULL, NULL, "no PROXY protocol header" },
	/* no other protocol, whatever the case of the letters */
	{ BYTES("PROXY UNKNOWNS\r\n"), -EPROTO, NULL, NULL, "no PROXY protocol header" },
	{ BYTES("PROXY UDP4 192.0.2.1 192.0.2.11 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "\"PROXY UDP4" },
	{ BYTES("PROXY tcp4 192.0.2.1 192.0.2.11 56324 443\r\n"), -EPROTO, NULL, NULL,
	  "\"PROXY tcp4" },
	{ BYTES("PROXY TCP5"), -EPROTO, NULL, NULL, "\"PROXY TCP5\"" },
	{ BYTES("POST / HTTP/1.1\r\n"), -EPROTO, NULL, NULL, "\"POST / HTTP/1.1\\x0d\\x0a\"" },
	{ BYTES("PU"), -EPROTO, NULL, NULL, "\"PU\" is no PROXY protocol header" },
	{ BYTES("proxy TCP4 "), -EPROTO, NULL, NULL, "no PROXY protocol header" },
	{ BYTES("G"), -EPROTO, NULL, NULL, "\"G\" is no PROXY protocol header" },
	{ BYTES(" PROXY TCP4 "), -EPROTO, NULL, NULL, "no PROXY protocol header" },
	{ BYTES("\0"), -EPROTO, NULL, NULL, "\"\\x00\" is no PROXY protocol header" },
	{ BYTES("\x16\x03\x01 a client hello that is longer than the message shows"), -EPROTO, NULL,
	  NULL, "...\" is no PROXY protocol header" },
};

#define A4 "\xc0\0\2\1\xc0\0\2\x0b\xdc\4\1\xbb"
#define A6                                                                                     \
	"\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x0b\xdc\4" \
	"\1\xbb"
#define NUL12  "\0\0\0\0\0\0\0\0\0\0\0\0"
#define NUL96  NUL12 NUL12 NUL12 NUL12 NUL12 NUL12 NUL12 NUL12
#define X12    "xxxxxxxxxxxx"
#define X96    X12 X12 X12 X12 X12 X12 X12 X12
#define PATH   "/run/a.sock\0" NUL96
#define LONG   "/" X96 "xxxxxxxxxxx"
#define NAME   "\0name\0\1\0\0\0\0\0" NUL96
#define NO_UN  NUL12 NUL96
#define ID_128 X96 X12 X12 "xxxxxxxx"

static const struct header v2_cases[] = {
	{ BYTES(SIG "\x21\x11\0\x0c" A4), 28, "192.0.2.1:56324", "192.0.2.11:443", NULL },
	{ BYTES(SIG "\x21\x21\0\x24" A6), 52, "[2001:db8::1]:56324", "[2001:db8::b]:443", NULL },
	{ BYTES(SIG "\x21\x31\0\xd8" PATH LONG), 232, "/run/a.sock", LONG, NULL },
	{ BYTES(SIG "\x21\x31\0\xd8" NAME NO_UN), 232, "@name@\1", "unix", NULL },
	/* datagrams are no reason to refuse */
	{ BYTES(SIG "\x21\x12\0\x0c" A4), 28, "192.0.2.1:56324", "192.0.2.11:443", NULL },
	{ BYTES(SIG "\x21\x22\0\x24" A6), 52, "[2001:db8::1]:56324", "[2001:db8::b]:443", NULL },
	{ BYTES(SIG "\x21\x32\0\xd8" PATH NO_UN), 232, "/run/a.sock", "unix", NULL },
	/* LOCAL: whatever follows is skipped, the family ignored */
	{ BYTES(SIG "\x20\0\0\0"), 16, "unknown", "unknown", NULL },
	{ BYTES(SIG "\x20\x11\0\x0c" A4), 28, "unknown", "unknown", NULL },
	{ BYTES(SIG "\x20\x11\0\0"), 16, "unknown", "unknown", NULL },
	{ BYTES(SIG "\x20\xff\0\5what?"), 21, "unknown", "unknown", NULL },
	{ BYTES(SIG "\x20\0\0\7\3\0\4abcd"), 23, "unknown", "unknown", NULL },
	/* AF_UNSPEC: addresses are ignored, be there any */
	{ BYTES(SIG "\x21\0\0\0"), 16, "unknown", "unknown", NULL },
	{ BYTES(SIG "\x21\0\0\x0c" A4), 28, "unknown", "unknown", NULL },
	{ BYTES(SIG "\x21\0\0\2\1\1"), 18, "unknown", "unknown", NULL },
	{ BYTES(SIG "\x21\0\0\7\xe3\0\4abcd"), 23, "unknown", "unknown", NULL },
	{ BYTES(SIG "\x21\1\0\x0c" A4), 28, "unknown", "unknown", NULL },
	{ BYTES(SIG "\x21\2\0\0"), 16, "unknown", "unknown", NULL },
	{ BYTES(SIG "\x21\x10\0\x0c" A4), 28, "unknown", "unknown", NULL },
	{ BYTES(SIG "\x21\x30\0\0"), 16, "unknown", "unknown", NULL },
	/* what the protocol does not have */
	{ BYTES(SIG "\x21\x41\0\x0c" A4), -EPROTO, NULL, NULL, "family and transport 0x41" },
	{ BYTES(SIG "\x21\xf1"), -EPROTO, NULL, NULL, "family and transport 0xf1" },
	{ BYTES(SIG "\x21\x13"), -EPROTO, NULL, NULL, "family and transport 0x13" },
	{ BYTES(SIG "\x21\x0f"), -EPROTO, NULL, NULL, "family and transport 0x0f" },
	{ BYTES(SIG "\x22"), -EPROTO, NULL, NULL, "command 2" },
	{ BYTES(SIG "\x2f"), -EPROTO, NULL, NULL, "command 15" },
	{ BYTES(SIG "\x11"), -EPROTO, NULL, NULL, "version 1; 1 and 2 are known" },
	{ BYTES(SIG "\x30"), -EPROTO, NULL, NULL, "version 3" },
	{ BYTES(SIG "\0"), -EPROTO, NULL, NULL, "version 0" },
	{ BYTES("\r\n\r\n\0\r\nQUIT\r"), -EPROTO, NULL, NULL, "no PROXY protocol header" },
	{ BYTES("\r\n\r\nGET"), -EPROTO, NULL, NULL, "\"\\x0d\\x0a\\x0d\\x0aGET\"" },
	{ BYTES("\r\r"), -EPROTO, NULL, NULL, "no PROXY protocol header" },
	/* lengths */
	{ BYTES(SIG "\x21\x11\0\x0b" A4), -EPROTO, NULL, NULL,
	  "11 bytes of addresses; those of its family (0x11) have 12" },
	{ BYTES(SIG "\x21\x11\0\0"), -EPROTO, NULL, NULL, "0 bytes of addresses" },
	{ BYTES(SIG "\x21\x21\0\x23"), -EPROTO, NULL, NULL, "35 bytes of addresses" },
	{ BYTES(SIG "\x21\x31\0\xd7"), -EPROTO, NULL, NULL, "215 bytes of addresses" },
	{ BYTES(SIG "\x21\x11\x3f\xf1"), -EMSGSIZE, NULL, NULL, "16385 bytes is too long" },
	{ BYTES(SIG "\x20\0\xff\xff"), -EMSGSIZE, NULL, NULL, "65551 bytes is too long" },
	/* TLVs */
	{ BYTES(SIG "\x21\x11\0\x0f" A4 "\4\0\0"), 31, "192.0.2.1:56324", "192.0.2.11:443", NULL },
	{ BYTES(SIG "\x21\x11\0\x14" A4 "\xee\0\5hello"), 36, "192.0.2.1:56324", "192.0.2.11:443",
	  NULL },
	{ BYTES(SIG "\x21\x11\0\x8f" A4 "\5\0\x80" ID_128), 159, "192.0.2.1:56324",
	  "192.0.2.11:443", NULL },
	{ BYTES(SIG "\x21\x11\0\x90" A4 "\5\0\x81" ID_128 "x"), -EPROTO, NULL, NULL,
	  "unique id of 129 bytes" },
	{ BYTES(SIG "\x21\x11\0\x0d" A4 "\4"), -EPROTO, NULL, NULL, "do not end where" },
	{ BYTES(SIG "\x21\x11\0\x0e" A4 "\4\0"), -EPROTO, NULL, NULL, "do not end where" },
	{ BYTES(SIG "\x21\x11\0\x0f" A4 "\4\0\1"), -EPROTO, NULL, NULL, "do not end where" },
	{ BYTES(SIG "\x21\x11\0\x10" A4 "\4\0\0x"), -EPROTO, NULL, NULL, "do not end where" },
	{ BYTES(SIG "\x21\x11\0\x12" A4 "\4\xff\xff"
		    "abc"),
	  -EPROTO, NULL, NULL, "do not end where" },
	/* the checksum */
	{ BYTES(SIG "\x21\x11\0\x13" A4 "\3\0\4abcd"), -EPROTO, NULL, NULL,
	  "checksum 0x61626364, and should have 0x" },
	{ BYTES(SIG "\x21\x11\0\x12" A4 "\3\0\3abc"), -EPROTO, NULL, NULL, "checksum of 3 bytes" },
	{ BYTES(SIG "\x21\0\0\7\3\0\4abcd"), -EPROTO, NULL, NULL, "checksum" },
	/* as HAProxy 2.6 sends it, with its checksum and unique id; and with one bit changed */
	{ BYTES(SIG "\x21\x11\0\x28\x7f\0\0\1\x7f\0\0\1\xe0NF\xb3\3\0\4\x84\xa0\xef\xd4\5\0\x12"
		    "id-127.0.0.1-57422"),
	  56, "127.0.0.1:57422", "127.0.0.1:18099", NULL },
	{ BYTES(SIG "\x21\x11\0\x28\x7f\0\0\1\x7f\0\0\1\xe0NF\xb3\3\0\4\x84\xa0\xef\xd4\5\0\x12"
		    "id-127.0.0.1-57423"),
	  -EPROTO, NULL, NULL, "checksum 0x84a0efd4" },
};

static void formats_as(const struct sfront_sockaddr *addr, const char *expected)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	sfront_sockaddr_format(addr, text, sizeof(text));
	assert_string_equal(text, expected);
}

/* Parses a copy that ends where it says, so that a step past its end is seen. */
static int parse(const void *bytes, size_t len, struct sfront_proxy_header *ret, size_t *ret_more)
{
	void *copy = malloc(len + (len == 0));
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	memset(ret, UNTOUCHED, sizeof(*ret));
	*ret_more = SIZE_MAX;
	memset(&why, 0, sizeof(why));
	r = sfront_proxy_parse(copy, len, ret, ret_more, &why);
	free(copy);
	return r;
}

static void is_untouched(const struct sfront_proxy_header *header)
{
	const unsigned char *bytes = (const unsigned char *)header;

	for (size_t i = 0; i < sizeof(*header); i++)
		assert_int_equal(bytes[i], UNTOUCHED);
}

/* Each beginning of a good header wants more, and never more than there is. */
static void is_cut_at_every_byte(const struct header *good)
{
	struct sfront_proxy_header header;
	size_t more;

	for (size_t len = 0; len < good->len; len++) {
		assert_int_equal(parse(good->bytes, len, &header, &more), -EAGAIN);
		is_untouched(&header);
		assert_in_range(more, 1, good->len - len);
		assert_string_equal(why.message, "");
	}
}

/* Taking as many bytes as are wanted each time ends exactly where the header does. */
static void is_read_exactly(const struct header *good)
{
	struct sfront_proxy_header header;
	size_t len = 0, more;
	int r;

	while ((r = parse(good->bytes, len, &header, &more)) == -EAGAIN)
		len += more;
	assert_int_equal(r, good->len);
	assert_int_equal(len, good->len);
}

static void is_parsed_before(const struct header *good, const void *rest, size_t rest_len)
{
	struct sfront_proxy_header header;
	char both[1024];
	size_t more;

	memcpy(both, good->bytes, good->len);
	memcpy(both + good->len, rest, rest_len);
	assert_int_equal(parse(both, good->len + rest_len, &header, &more), good->len);
	formats_as(&header.source, good->source);
	formats_as(&header.destination, good->destination);
	assert_int_equal(more, SIZE_MAX);
}

static void check_case(const struct header *c)
{
	struct sfront_proxy_header header;
	size_t more;
	int r = parse(c->bytes, c->len, &header, &more);

	assert_int_equal(r, c->result);
	if (r < 0) {
		is_untouched(&header);
		assert_contains(why.message, c->message);
		assert_int_equal(sfront_proxy_parse(c->bytes, c->len, &header, &more, NULL), r);
		return;
	}
	assert_int_equal(r, c->len);
	is_parsed_before(c, "", 0);
	is_parsed_before(c, "\r\n", 2);
	is_parsed_before(c, "\0\0\0\0", 4);
	is_parsed_before(c, c->bytes, c->len); /* two headers in a row: the second is payload */
	is_cut_at_every_byte(c);
	is_read_exactly(c);
}

static void test_v1(void **state)
{
	struct sfront_proxy_header header;
	size_t more;

	(void)state;
	for (size_t i = 0; i < sizeof(v1_cases) / sizeof(v1_cases[0]); i++)
		check_case(&v1_cases[i]);
	assert_int_equal(parse(BYTES("PROXY UNKNOWN\r\n"), &header, &more), 15);
	assert_int_equal(header.version, 1);
	assert_false(header.is_local);
	assert_int_equal(header.tlvs_size, 0);
}

static void test_v2(void **state)
{
	struct sfront_proxy_header header;
	size_t more;

	(void)state;
	for (size_t i = 0; i < sizeof(v2_cases) / sizeof(v2_cases[0]); i++)
		check_case(&v2_cases[i]);
	assert_int_equal(parse(BYTES(SIG "\x20\0\0\0"), &header, &more), 16);
	assert_int_equal(header.version, 2);
	assert_true(header.is_local);
	assert_int_equal(parse(BYTES(SIG "\x21\0\0\0"), &header, &more), 16);
	assert_false(header.is_local);
}

/* How much is missing, where that is known. */
static void test_more(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		size_t more;
	} cases[] = {
		{ BYTES(""), 15 },
		{ BYTES("P"), 14 },
		{ BYTES("PROXY T"), 15 },
		{ BYTES("PROXY TCP4 "), 21 },
		{ BYTES("PROXY TCP6 "), 11 },
		{ BYTES("PROXY UNKNOWN"), 2 },
		{ BYTES("PROXY UNKNOWN "), 2 },
		{ BYTES("PROXY UNKNOWN\r"), 1 },
		{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 56324 443"), 2 },
		{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r"), 1 },
		{ BYTES("\r"), 15 },
		{ BYTES(SIG), 4 },
		{ BYTES(SIG "\x21\x11\0"), 1 },
		{ BYTES(SIG "\x21\x11\0\x0c"), 12 },
		{ BYTES(SIG "\x21\x11\x3f\xf0\1"), 16367 },
		{ BYTES(SIG "\x20\xff\0\1"), 1 },
	};
	struct sfront_proxy_header header;
	size_t more;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].bytes, cases[i].len, &header, &more), -EAGAIN);
		assert_int_equal(more, cases[i].more);
	}
}

static void test_tlvs(void **state)
{
	static const char bytes[] = SIG "\x21\x11\0\x22" A4 "\1\0\2h2\xee\0\0\4\0\3pad\5\0\1x\5\0"
					"\1y";
	struct sfront_proxy_header header;
	struct sfront_proxy_tlv tlv = { 0 }, none = { .type = UNTOUCHED };
	char seen[64] = "";
	size_t more;

	(void)state;
	assert_int_equal(sfront_proxy_parse(bytes, sizeof(bytes) - 1, &header, &more, &why), 50);
	while (sfront_proxy_next_tlv(&header, &tlv))
		snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%02x=%.*s ", tlv.type,
			 (int)tlv.size, (const char *)tlv.value);
	assert_string_equal(seen, "01=h2 ee= 04=pad 05=x 05=y ");
	assert_false(sfront_proxy_next_tlv(&header, &tlv));
	assert_true(sfront_proxy_find_tlv(&header, SFRONT_PROXY_TLV_UNIQUE_ID, &tlv));
	assert_int_equal(tlv.value[0], 'x');
	assert_false(sfront_proxy_find_tlv(&header, SFRONT_PROXY_TLV_NETNS, &none));
	assert_int_equal(none.type, UNTOUCHED);
}

/* Those of no family are TLVs; those of half of one are not known to be. */
static void test_tlvs_without_addresses(void **state)
{
	struct sfront_proxy_header header;
	struct sfront_proxy_tlv tlv;
	size_t more;

	(void)state;
	parse(BYTES(SIG "\x21\0\0\4\xee\0\1x"), &header, &more);
	assert_int_equal(header.tlvs_size, 4);
	parse(BYTES(SIG "\x21\x10\0\4\xee\0\1x"), &header, &more);
	assert_false(sfront_proxy_find_tlv(&header, 0xee, &tlv));
	parse(BYTES(SIG "\x20\0\0\4\xee\0\1x"), &header, &more);
	assert_false(sfront_proxy_find_tlv(&header, 0xee, &tlv));
	parse(BYTES("PROXY UNKNOWN\r\n"), &header, &more);
	assert_false(sfront_proxy_find_tlv(&header, 0xee, &tlv));
}

/* RFC 3720, B.4, and the check value that is customary. */
static void test_crc32c(void **state)
{
	unsigned char bytes[32] = { 0 };

	(void)state;
	assert_int_equal(sfront_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(sfront_crc32c(sfront_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
	assert_int_equal(sfront_crc32c(0, "", 0), 0);
	assert_int_equal(sfront_crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(sfront_crc32c(0, bytes, 32), 0x62a8ab43);
	for (unsigned char i = 0; i < 32; i++)
		bytes[i] = i;
	assert_int_equal(sfront_crc32c(0, bytes, 32), 0x46dd794e);
	for (unsigned char i = 0; i < 32; i++)
		bytes[i] = 31 - i;
	assert_int_equal(sfront_crc32c(0, bytes, 32), 0x113fdb5c);
}

static struct sfront_sockaddr in(const char *host, uint16_t port)
{
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa.in) };

	addr.sa.in.sin_family = AF_INET;
	addr.sa.in.sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, host, &addr.sa.in.sin_addr), 1);
	return addr;
}

static struct sfront_sockaddr in6(const char *host, uint16_t port)
{
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa.in6) };

	addr.sa.in6.sin6_family = AF_INET6;
	addr.sa.in6.sin6_port = htons(port);
	assert_int_equal(inet_pton(AF_INET6, host, &addr.sa.in6.sin6_addr), 1);
	return addr;
}

static struct sfront_sockaddr un(const char *path, size_t len)
{
	struct sfront_sockaddr addr = { .len = (socklen_t)(2 + len) };

	addr.sa.un.sun_family = AF_UNIX;
	memcpy(addr.sa.un.sun_path, path, len);
	return addr;
}

static const struct sfront_sockaddr nobody, vsock = { .len = 16, .sa.any.sa_family = AF_VSOCK };

static void test_format_v1(void **state)
{
	const struct {
		struct sfront_sockaddr source, destination;
		const char *line;
	} cases[] = {
		{ in("192.0.2.1", 56324), in("192.0.2.11", 443),
		  "PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\n" },
		{ in("255.255.255.255", 65535), in("255.255.255.255", 65535),
		  "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n" },
		{ in6("2001:db8::1", 1), in6("2001:db8::b", 0),
		  "PROXY TCP6 2001:db8::1 2001:db8::b 1 0\r\n" },
		{ in6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
		  in6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
		  "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n" },
		/* one family for both, and no dots within IPv6 */
		{ in6("::ffff:192.0.2.1", 1), in6("::ffff:192.0.2.11", 2),
		  "PROXY TCP4 192.0.2.1 192.0.2.11 1 2\r\n" },
		{ in6("::ffff:192.0.2.1", 1), in("192.0.2.11", 2),
		  "PROXY TCP4 192.0.2.1 192.0.2.11 1 2\r\n" },
		{ in("192.0.2.1", 1), in6("2001:db8::b", 2),
		  "PROXY TCP6 ::ffff:c000:201 2001:db8::b 1 2\r\n" },
		{ in6("2001:db8::1", 1), in6("::ffff:0.0.0.1", 2),
		  "PROXY TCP6 2001:db8::1 ::ffff:0:1 1 2\r\n" },
		{ in6("::192.0.2.1", 1), in6("::5", 2), "PROXY TCP6 ::c000:201 ::5 1 2\r\n" },
		{ in6("::", 1), in6("::1", 2), "PROXY TCP6 :: ::1 1 2\r\n" },
		{ un("/a", 3), un("/b", 3), "PROXY UNKNOWN\r\n" },
		{ vsock, vsock, "PROXY UNKNOWN\r\n" },
		{ nobody, nobody, "PROXY UNKNOWN\r\n" },
		{ nobody, in("192.0.2.11", 2), "PROXY UNKNOWN\r\n" },
		{ in("192.0.2.1", 1), nobody, "PROXY UNKNOWN\r\n" },
		{ un("/a", 3), in("192.0.2.11", 2), "PROXY UNKNOWN\r\n" },
	};
	struct sfront_proxy_header header;
	char buf[SFRONT_PROXY_V1_MAX + 1];
	size_t more;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].line);

		for (size_t size = 0; size < len; size++)
			assert_int_equal(sfront_proxy_format_v1(&cases[i].source,
								&cases[i].destination, buf, size),
					 -ENOBUFS);
		memset(buf, 'x', sizeof(buf));
		assert_int_equal(
			sfront_proxy_format_v1(&cases[i].source, &cases[i].destination, buf, len),
			len);
		assert_memory_equal(buf, cases[i].line, len);
		assert_int_equal(buf[len], 'x');
		assert_int_equal(parse(buf, len, &header, &more), len);
		if (strstr(cases[i].line, "TCP")) {
			assert_true(sfront_sockaddr_equal(&header.source, &cases[i].source));
			assert_true(
				sfront_sockaddr_equal(&header.destination, &cases[i].destination));
		}
	}
	assert_int_equal(sfront_proxy_format_v1(NULL, NULL, buf, sizeof(buf)), 15);
}

/* Exactly the bytes of the protocol, and back. */
static void test_format_v2(void **state)
{
	const struct {
		struct sfront_sockaddr source, destination;
		const char *bytes;
		size_t len;
	} cases[] = {
		{ in("192.0.2.1", 56324), in("192.0.2.11", 443), BYTES(SIG "\x21\x11\0\x0c" A4) },
		{ in6("::ffff:192.0.2.1", 56324), in("192.0.2.11", 443),
		  BYTES(SIG "\x21\x11\0\x0c" A4) },
		{ in6("2001:db8::1", 56324), in6("2001:db8::b", 443),
		  BYTES(SIG "\x21\x21\0\x24" A6) },
		{ un("/run/a.sock", 12), un(LONG, 108), BYTES(SIG "\x21\x31\0\xd8" PATH LONG) },
		{ un("/run/a.sock\0rest", 16), un(LONG, 108),
		  BYTES(SIG "\x21\x31\0\xd8" PATH LONG) },
		{ un("\0name\0\1", 7), un("", 0), BYTES(SIG "\x21\x31\0\xd8" NAME NO_UN) },
		{ vsock, vsock, BYTES(SIG "\x21\0\0\0") },
		{ nobody, nobody, BYTES(SIG "\x21\0\0\0") },
		{ un("/a", 3), in("192.0.2.11", 2), BYTES(SIG "\x21\0\0\0") },
	};
	unsigned char buf[SFRONT_PROXY_V2_MAX + 1];
	struct sfront_proxy_writer writer = { .buf = buf };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (writer.size = 0; writer.size < cases[i].len; writer.size++) {
			assert_int_equal(sfront_proxy_begin_v2(&writer, &cases[i].source,
							       &cases[i].destination),
					 -ENOBUFS);
			assert_int_equal(sfront_proxy_finish(&writer), -EINVAL);
		}
		memset(buf, 'x', sizeof(buf));
		assert_int_equal(
			sfront_proxy_begin_v2(&writer, &cases[i].source, &cases[i].destination), 0);
		assert_int_equal(sfront_proxy_finish(&writer), cases[i].len);
		assert_memory_equal(buf, cases[i].bytes, cases[i].len);
		assert_int_equal(buf[cases[i].len], 'x');
	}
	assert_int_equal(sfront_proxy_begin_v2(&writer, NULL, NULL), 0);
	assert_int_equal(sfront_proxy_finish(&writer), 16);
	assert_memory_equal(buf, SIG "\x20\0\0\0", 16);
}

static const struct sfront_credentials credentials = { .pid = 1, .uid = 65534, .gid = 0x12345678 };

static void test_add(void **state)
{
	const struct sfront_proxy_vsock peer = { 3, 0xfffffffe, 2, 5000 };
	struct sfront_proxy_vsock vsock_back;
	struct sfront_credentials back;
	unsigned char buf[256], value[SFRONT_PROXY_UNIQUE_ID_MAX + 1] = "id";
	struct sfront_proxy_writer writer = { .buf = buf, .size = sizeof(buf) };
	struct sfront_proxy_header header;
	struct sfront_proxy_tlv tlv = { 0 };
	size_t more;
	int len;

	(void)state;
	assert_int_equal(sfront_proxy_add(&writer, 0xe5, "x", 1), -EINVAL);
	assert_int_equal(sfront_proxy_begin_v2(&writer, &nobody, &nobody), 0);
	assert_int_equal(sfront_proxy_add(&writer, SFRONT_PROXY_TLV_UNIQUE_ID, value, 2), 0);
	assert_int_equal(sfront_proxy_add(&writer, SFRONT_PROXY_TLV_UNIQUE_ID, value, 129),
			 -EINVAL);
	assert_int_equal(sfront_proxy_add(&writer, SFRONT_PROXY_TLV_CRC32C, NULL, 0), 0);
	assert_int_equal(sfront_proxy_add(&writer, SFRONT_PROXY_TLV_CRC32C, "no such sum", 11), 0);
	assert_int_equal(sfront_proxy_add_credentials(&writer, &credentials), 0);
	assert_int_equal(sfront_proxy_add_vsock(&writer, &peer), 0);
	assert_int_equal(sfront_proxy_add(&writer, 0xe5, NULL, 0), 0);
	len = sfront_proxy_finish(&writer);
	assert_int_equal(len, 16 + 5 + 7 + 15 + 19 + 3);
	assert_memory_equal(buf + 28, "\xe0\0\x0c\0\0\0\1\0\0\xff\xfe\x12\x34\x56\x78", 15);
	assert_memory_equal(buf + 43, "\xe1\0\x10\0\0\0\3\xff\xff\xff\xfe\0\0\0\2\0\0\x13\x88", 19);

	/* parsing checks the sum */
	assert_int_equal(sfront_proxy_parse(buf, (size_t)len, &header, &more, &why), len);
	assert_true(sfront_proxy_next_tlv(&header, &tlv));
	assert_int_equal(tlv.type, SFRONT_PROXY_TLV_UNIQUE_ID);
	assert_int_equal(sfront_proxy_tlv_credentials(&tlv, &back), -EINVAL);
	assert_int_equal(sfront_proxy_tlv_vsock(&tlv, &vsock_back), -EINVAL);
	assert_true(sfront_proxy_next_tlv(&header, &tlv));
	assert_int_equal(tlv.type, SFRONT_PROXY_TLV_CRC32C);
	assert_true(sfront_proxy_next_tlv(&header, &tlv));
	assert_int_equal(sfront_proxy_tlv_credentials(&tlv, &back), 0);
	assert_memory_equal(&back, &credentials, sizeof(back));
	tlv.size--;
	assert_int_equal(sfront_proxy_tlv_credentials(&tlv, &back), -EINVAL);
	assert_true(sfront_proxy_find_tlv(&header, SFRONT_PROXY_TLV_VSOCK, &tlv));
	assert_int_equal(sfront_proxy_tlv_vsock(&tlv, &vsock_back), 0);
	assert_memory_equal(&vsock_back, &peer, sizeof(peer));
	assert_true(sfront_proxy_next_tlv(&header, &tlv));
	assert_int_equal(tlv.type, 0xe5);
	assert_false(sfront_proxy_next_tlv(&header, &tlv));
}

/* A bit that is not as it was sent, wherever it is, is noticed or makes it no such header. */
static void test_checksum_covers_every_bit(void **state)
{
	const struct sfront_sockaddr source = in("192.0.2.1", 1), destination = in("192.0.2.2", 2);
	unsigned char buf[64];
	struct sfront_proxy_writer writer = { .buf = buf, .size = sizeof(buf) };
	struct sfront_proxy_header header;
	struct sfront_proxy_tlv crc;
	size_t more;
	int len, r;

	(void)state;
	sfront_proxy_begin_v2(&writer, &source, &destination);
	sfront_proxy_add(&writer, SFRONT_PROXY_TLV_UNIQUE_ID, "id", 2);
	sfront_proxy_add(&writer, SFRONT_PROXY_TLV_CRC32C, NULL, 0);
	sfront_proxy_add(&writer, 0xe5, "after", 5);
	len = sfront_proxy_finish(&writer);
	for (int bit = 0; bit < len * 8; bit++) {
		buf[bit / 8] ^= (unsigned char)(1 << bit % 8);
		r = sfront_proxy_parse(buf, (size_t)len, &header, &more, &why);
		/* LOCAL is skipped, and a type of another name is not the checksum */
		if (r == len)
			assert_true(header.is_local ||
				    !sfront_proxy_find_tlv(&header, SFRONT_PROXY_TLV_CRC32C, &crc));
		else
			assert_true(r < 0);
		buf[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	assert_int_equal(sfront_proxy_parse(buf, (size_t)len, &header, &more, &why), len);
}

/* Each sum is right with the other as it is, as can be had with some effort. */
static void test_two_checksums(void **state)
{
	unsigned char buf[64];
	struct sfront_proxy_writer writer = { .buf = buf, .size = sizeof(buf) };
	struct sfront_proxy_header header;
	size_t more;
	int len;

	(void)state;
	sfront_proxy_begin_v2(&writer, &nobody, &nobody);
	sfront_proxy_add(&writer, SFRONT_PROXY_TLV_CRC32C, NULL, 0);
	sfront_proxy_add(&writer, 0xe5, "same", 4);
	len = sfront_proxy_finish(&writer);
	buf[23] = SFRONT_PROXY_TLV_CRC32C;
	memset(buf + 19, 0, 4);
	{
		uint32_t sum = htonl(sfront_crc32c(0, buf, (size_t)len));

		memcpy(buf + 19, &sum, 4);
	}
	assert_int_equal(sfront_proxy_parse(buf, (size_t)len, &header, &more, &why), -EPROTO);
	assert_contains(why.message, "two checksums");
}

/* What does not fit is left out, and the rest is a header all the same. */
static void test_room(void **state)
{
	static unsigned char buf[SFRONT_PROXY_HEADER_MAX + 100], value[SFRONT_PROXY_HEADER_MAX];
	struct sfront_proxy_writer writer = { .buf = buf, .size = 40 };
	struct sfront_proxy_header header;
	size_t more, room = SFRONT_PROXY_HEADER_MAX - 16 - 7 - 3;

	(void)state;
	sfront_proxy_begin_v2(&writer, &nobody, &nobody);
	assert_int_equal(sfront_proxy_add(&writer, 0xe5, value, 22), -ENOBUFS);
	assert_int_equal(sfront_proxy_add(&writer, 0xe5, value, SIZE_MAX), -ENOBUFS);
	assert_int_equal(sfront_proxy_add(&writer, 0xe5, value, 21), 0);
	assert_int_equal(sfront_proxy_add(&writer, 0xe6, value, 0), -ENOBUFS);
	assert_int_equal(sfront_proxy_add(&writer, SFRONT_PROXY_TLV_CRC32C, NULL, 0), -ENOBUFS);
	assert_int_equal(sfront_proxy_finish(&writer), 40);
	assert_int_equal(sfront_proxy_parse(buf, 40, &header, &more, &why), 40);

	writer.size = sizeof(buf);
	sfront_proxy_begin_v2(&writer, &nobody, &nobody);
	assert_int_equal(sfront_proxy_add(&writer, SFRONT_PROXY_TLV_CRC32C, NULL, 0), 0);
	assert_int_equal(sfront_proxy_add(&writer, 0xe5, value, room + 1), -ENOBUFS);
	assert_int_equal(sfront_proxy_add(&writer, 0xe5, value, room), 0);
	assert_int_equal(sfront_proxy_add(&writer, 0xe6, value, 0), -ENOBUFS);
	assert_int_equal(sfront_proxy_finish(&writer), SFRONT_PROXY_HEADER_MAX);
	assert_int_equal(sfront_proxy_parse(buf, sizeof(buf), &header, &more, &why),
			 SFRONT_PROXY_HEADER_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_v1),
		counted(test_v2),
		counted(test_more),
		counted(test_tlvs),
		counted(test_tlvs_without_addresses),
		counted(test_crc32c),
		counted(test_format_v1),
		counted(test_format_v2),
		counted(test_add),
		counted(test_checksum_covers_every_bit),
		counted(test_two_checksums),
		counted(test_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
