/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an address (lib/address.c, lib/resolve.c).  What parses, formats
 * to a text that parses to the same address and formats to itself; what does
 * not, is refused with a reason and leaves the result alone.
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <errno.h>

#include <sockfront/address.h>

#define UNTOUCHED 0xa5

static void is_refused(const char *text, int r, const struct sfront_address *address,
		       const struct sfront_error *err)
{
	struct sfront_address again;
	const unsigned char *bytes = (const unsigned char *)address;

	PROMISE(r == -EINVAL || r == -ENAMETOOLONG);
	error_explains(err);
	for (size_t i = 0; i < sizeof(*address); i++)
		PROMISE(bytes[i] == UNTOUCHED);
	PROMISE(sfront_address_parse(text, &again, NULL) == r);
}

/* The canonical text, cut short at every length. */
static void is_cut_off_cleanly(const struct sfront_address *address, const char *whole, size_t len)
{
	char part[SFRONT_ADDRESS_TEXT_SIZE];

	for (size_t size = 0; size <= len; size += 1 + size / 2) {
		memset(part, 'x', sizeof(part));
		PROMISE(sfront_address_format(address, part, size) == len);
		PROMISE(part[size] == 'x');
		if (size > 0)
			PROMISE(part[size - 1] == '\0' && strncmp(part, whole, size - 1) == 0);
	}
}

/* A literal needs no resolver; where nothing in it is looked up, it comes back as it was. */
static void resolves_to_itself(const struct sfront_address *address, const char *text)
{
	char bound[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_sockaddr addr;
	struct in6_addr in6;
	const char *service = address->u.tcp.service;

	if (!sfront_address_is_literal(address) || address->u.tcp.scope[0] != '\0' ||
	    service[strspn(service, "0123456789")] != '\0')
		return;
	PROMISE(sfront_address_resolve(address, &addr, 1, NULL) == 1);
	PROMISE(sfront_sockaddr_format(&addr, bound, sizeof(bound)) < sizeof(bound));
	PROMISE(sfront_sockaddr_equal(&addr, &addr));
	if (strncmp(text, "*:", 2) == 0)
		PROMISE(strncmp(bound, "[::]:", 5) == 0 && strcmp(bound + 5, text + 2) == 0);
	else if (inet_pton(AF_INET6, address->u.tcp.host, &in6) != 1 || !IN6_IS_ADDR_V4MAPPED(&in6))
		PROMISE(strcmp(bound, text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *input = text_of(data, size);
	char text[SFRONT_ADDRESS_TEXT_SIZE], again[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_address address, back;
	struct sfront_error err;
	size_t len;
	int r;

	memset(&address, UNTOUCHED, sizeof(address));
	error_clear(&err);
	r = sfront_address_parse(input, &address, &err);
	if (r < 0) {
		is_refused(input, r, &address, &err);
		free(input);
		return 0;
	}

	PROMISE(address.kind < SFRONT_KINDS);
	PROMISE(err.message[0] == '\n');
	len = sfront_address_format(&address, text, sizeof(text));
	PROMISE(len < sizeof(text) && strlen(text) == len);
	PROMISE(sfront_address_parse(text, &back, NULL) == 0);
	PROMISE(sfront_address_equal(&address, &back) && sfront_address_equal(&back, &address));
	PROMISE(sfront_address_format(&back, again, sizeof(again)) == len);
	PROMISE(strcmp(text, again) == 0);
	is_cut_off_cleanly(&address, text, len);
	r = sfront_address_check(&address, &err);
	PROMISE(r == 0 || (r == -ENOENT && address.kind == SFRONT_TCP));
	resolves_to_itself(&address, text);
	free(input);
	return 0;
}
