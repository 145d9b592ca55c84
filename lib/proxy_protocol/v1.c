/* SPDX-License-Identifier: MIT */
/*
 * Version 1 of the PROXY protocol: one line of text.
 *
 *	PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\n
 *	PROXY TCP6 2001:db8::1 2001:db8::11 56324 443\r\n
 *	PROXY UNKNOWN\r\n
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/proxy_protocol/codec.h"

#define FIELD_SIZE 64 /* more than any address or port has */

/* What a line can begin with. */
struct beginning {
	const char *text;
	size_t shortest; /* line of that kind */
	int family;      /* of the addresses that follow; AF_UNSPEC: none that count */
};

static const struct beginning beginnings[] = {
	{ "PROXY TCP4 ", sizeof("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n") - 1, AF_INET },
	{ "PROXY TCP6 ", sizeof("PROXY TCP6 :: :: 0 0\r\n") - 1, AF_INET6 },
	{ "PROXY UNKNOWN ", sizeof("PROXY UNKNOWN \r\n") - 1, AF_UNSPEC },
	{ "PROXY UNKNOWN\r", sizeof("PROXY UNKNOWN\r\n") - 1, AF_UNSPEC },
};

/* What follows in a line with addresses. */
enum field { FIELD_SOURCE, FIELD_DESTINATION, FIELD_SOURCE_PORT, FIELD_DESTINATION_PORT, FIELDS };

static const char *const field_names[FIELDS] = {
	[FIELD_SOURCE] = "source address",
	[FIELD_DESTINATION] = "destination address",
	[FIELD_SOURCE_PORT] = "source port",
	[FIELD_DESTINATION_PORT] = "destination port",
};

static int refuse(const void *line, size_t len, const char *what, struct sfront_error *err)
{
	char shown[SHOWN_SIZE];

	return sfront_fail(err, -EPROTO, "\"%s\" is no PROXY protocol header: %s",
			   sfront_proxy_show(line, len, shown), what);
}

/* How the line begins: of several that are possible yet, the one of the shortest lines; or NULL. */
static const struct beginning *find_beginning(const unsigned char *line, size_t len)
{
	const struct beginning *found = NULL;

	for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
		const struct beginning *beginning = &beginnings[i];
		size_t whole = strlen(beginning->text);

		if (memcmp(line, beginning->text, len < whole ? len : whole) == 0 &&
		    (!found || beginning->shortest < found->shortest))
			found = beginning;
	}
	return found;
}

/* The length of the line with its CRLF; -EAGAIN: it has not come yet; -EPROTO: it cannot. */
static int line_length(const unsigned char *line, size_t len, struct sfront_error *err)
{
	size_t n = len < SFRONT_PROXY_V1_MAX ? len : SFRONT_PROXY_V1_MAX, i = 0;

	while (i < n && line[i] != '\r' && line[i] != '\n')
		i++;
	if (i + 1 < n && line[i] == '\r' && line[i + 1] == '\n')
		return (int)i + 2;
	if (i < n && (line[i] == '\n' || i + 1 < n))
		return refuse(line, len, "the line ends with CR and LF, neither stands alone", err);
	if (n == SFRONT_PROXY_V1_MAX)
		return refuse(line, len, "the line has at most 107 bytes, CR and LF included", err);
	return -EAGAIN;
}

static int refuse_field(enum field field, const char *text, size_t len, const char *wanted,
			struct sfront_error *err)
{
	char shown[SHOWN_SIZE];

	return sfront_fail(err, -EPROTO, "the %s \"%s\" of a PROXY protocol header is not %s",
			   field_names[field], sfront_proxy_show(text, len, shown), wanted);
}

static int parse_address(enum field field, const char *text, int family,
			 struct sfront_sockaddr *ret, struct sfront_error *err)
{
	void *address =
		family == AF_INET ? (void *)&ret->sa.in.sin_addr : (void *)&ret->sa.in6.sin6_addr;

	if (inet_pton(family, text, address) != 1)
		return refuse_field(field, text, strlen(text),
				    family == AF_INET ? "an IPv4 address" : "an IPv6 address", err);
	ret->sa.any.sa_family = (sa_family_t)family;
	ret->len = family == AF_INET ? sizeof(ret->sa.in) : sizeof(ret->sa.in6);
	return 0;
}

static int parse_port(enum field field, const char *text, struct sfront_sockaddr *ret,
		      struct sfront_error *err)
{
	uint64_t port;

	if (sfront_parse_digits(text, strlen(text), &port) < 0 || port > UINT16_MAX ||
	    (text[0] == '0' && text[1] != '\0'))
		return refuse_field(field, text, strlen(text),
				    "a number from 0 to 65535 without leading zeros", err);
	*sfront_proxy_port(ret) = htons((uint16_t)port);
	return 0;
}

static int parse_field(enum field field, const char *text, int family,
		       struct sfront_proxy_header *ret, struct sfront_error *err)
{
	bool is_source = field == FIELD_SOURCE || field == FIELD_SOURCE_PORT;
	struct sfront_sockaddr *addr = is_source ? &ret->source : &ret->destination;

	return field < FIELD_SOURCE_PORT ? parse_address(field, text, family, addr, err)
					 : parse_port(field, text, addr, err);
}

/* Four fields with one space between, from @at to the CRLF at @end. */
static int parse_fields(const unsigned char *at, const unsigned char *end, int family,
			struct sfront_proxy_header *ret, struct sfront_error *err)
{
	char text[FIELD_SIZE];
	int r = 0;

	for (enum field field = 0; field < FIELDS && r == 0; field++) {
		const unsigned char *stop = memchr(at, ' ', (size_t)(end - at));
		size_t len;

		if (!stop || field + 1 == FIELDS)
			stop = end;
		len = (size_t)(stop - at);
		if (len == 0 || len >= sizeof(text) || memchr(at, '\0', len))
			return refuse_field(field, (const char *)at, len,
					    "one of 1 to 63 characters", err);
		memcpy(text, at, len);
		text[len] = '\0';
		r = parse_field(field, text, family, ret, err);
		at = stop < end ? stop + 1 : end;
	}
	return r;
}

int sfront_proxy_v1_parse(const unsigned char *data, size_t len, struct sfront_proxy_header *ret,
			  size_t *ret_more, struct sfront_error *err)
{
	struct sfront_proxy_header header = { .version = 1 };
	const struct beginning *beginning = find_beginning(data, len);
	int length, r;

	if (!beginning)
		return refuse(data, len, "it begins with PROXY TCP4, PROXY TCP6 or PROXY UNKNOWN",
			      err);
	length = line_length(data, len, err);
	if (length == -EAGAIN) {
		size_t last = data[len - 1] == '\r' ? 1 : 2;

		*ret_more = len + last < beginning->shortest ? beginning->shortest - len : last;
	}
	if (length < 0)
		return length;

	if (beginning->family != AF_UNSPEC) {
		r = parse_fields(data + strlen(beginning->text), data + length - 2,
				 beginning->family, &header, err);
		if (r < 0)
			return r;
	}
	header.tlvs = data + length;
	*ret = header;
	return length;
}

/*
 * As groups of hexadecimal digits alone: inet_ntop() writes the end of some
 * addresses as IPv4, which is not in the grammar.
 */
static void format_ipv6(const struct in6_addr *addr, char *buf, size_t size)
{
	const unsigned char *b = addr->s6_addr;
	unsigned int high = (unsigned int)b[12] << 8 | b[13],
		     low = (unsigned int)b[14] << 8 | b[15];

	if (IN6_IS_ADDR_V4MAPPED(addr))
		snprintf(buf, size, "::ffff:%x:%x", high, low);
	else if (IN6_IS_ADDR_V4COMPAT(addr) && high)
		snprintf(buf, size, "::%x:%x", high, low);
	else
		inet_ntop(AF_INET6, addr, buf, (socklen_t)size);
}

static void format_host(const struct sfront_sockaddr *addr, char *buf, size_t size)
{
	if (addr->sa.any.sa_family == AF_INET)
		inet_ntop(AF_INET, &addr->sa.in.sin_addr, buf, (socklen_t)size);
	else
		format_ipv6(&addr->sa.in6.sin6_addr, buf, size);
}

int sfront_proxy_format_v1(const struct sfront_sockaddr *source,
			   const struct sfront_sockaddr *destination, void *buf, size_t size)
{
	struct sfront_proxy_pair pair = sfront_proxy_pair(source, destination);
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], line[SFRONT_PROXY_V1_MAX + 1];
	int len;

	if (pair.family == AF_INET || pair.family == AF_INET6) {
		format_host(&pair.source, from, sizeof(from));
		format_host(&pair.destination, to, sizeof(to));
		len = snprintf(line, sizeof(line), "PROXY TCP%c %s %s %u %u\r\n",
			       pair.family == AF_INET ? '4' : '6', from, to,
			       ntohs(*sfront_proxy_port(&pair.source)),
			       ntohs(*sfront_proxy_port(&pair.destination)));
	} else {
		len = snprintf(line, sizeof(line), "PROXY UNKNOWN\r\n");
	}
	if ((size_t)len > size)
		return -ENOBUFS;
	memcpy(buf, line, (size_t)len);
	return len;
}
