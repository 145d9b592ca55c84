/* SPDX-License-Identifier: MIT */
/*
 * The words of backend-source: see backend_source.h.
 */
#include "conf/backend_source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "conf/refuse.h"

/* IPv4 inside IPv6 is IPv4: so is the socket that is bound to it. */
static void unwrap(struct sfront_sockaddr *addr)
{
	struct in_addr in;

	if (addr->sa.any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->sa.in6.sin6_addr))
		return;
	memcpy(&in, &addr->sa.in6.sin6_addr.s6_addr[12], sizeof(in));
	*addr = (struct sfront_sockaddr){ .len = sizeof(addr->sa.in) };
	addr->sa.in.sin_family = AF_INET;
	addr->sa.in.sin_addr = in;
}

static bool is_every_address(const struct sfront_sockaddr *addr)
{
	return addr->sa.any.sa_family == AF_INET ? addr->sa.in.sin_addr.s_addr == INADDR_ANY
						 : IN6_IS_ADDR_UNSPECIFIED(&addr->sa.in6.sin6_addr);
}

static int parse_address(const char *word, struct sfront_sockaddr *ret, struct sfront_error *err)
{
	*ret = (struct sfront_sockaddr){ 0 };
	if (inet_pton(AF_INET, word, &ret->sa.in.sin_addr) == 1) {
		ret->sa.in.sin_family = AF_INET;
		ret->len = sizeof(ret->sa.in);
	} else if (inet_pton(AF_INET6, word, &ret->sa.in6.sin6_addr) == 1) {
		ret->sa.in6.sin6_family = AF_INET6;
		ret->len = sizeof(ret->sa.in6);
	} else if (strchr(word, '%')) {
		return refuse(err, -EINVAL,
			      "\"%.100s\" names an interface: leave out what follows the \"%%\", "
			      "the interface is that of the backend's address",
			      word);
	} else {
		return refuse(err, -EINVAL,
			      "\"%.100s\" is no address of this machine without a port (such as "
			      "10.0.0.2 or 2001:db8::2), and not \"client\" alone",
			      word);
	}
	unwrap(ret);
	if (is_every_address(ret))
		return refuse(err, -EINVAL,
			      "\"%.100s\" is every address; leave the key out to let the system "
			      "choose",
			      word);
	return 0;
}

static int add_address(struct backend_source *source, const char *word, struct sfront_error *err)
{
	struct sfront_sockaddr addr, *grown;
	int r = parse_address(word, &addr, err);

	if (r < 0)
		return r;
	grown = reallocarray(source->addresses, source->n + 1, sizeof(*grown));
	if (!grown)
		return refuse(err, -ENOMEM, "out of memory");
	source->addresses = grown;
	source->addresses[source->n++] = addr;
	return 0;
}

static int add_word(struct backend_source *source, const char *word, struct sfront_error *err)
{
	bool is_client = strcmp(word, "client") == 0;

	if (source->is_client || (is_client && source->n > 0))
		return refuse(err, -EINVAL, "\"client\" cannot be combined with an address");
	source->is_client = is_client;
	return is_client ? 0 : add_address(source, word, err);
}

int backend_source_add(struct backend_source *source, const char *text, struct sfront_error *err)
{
	char *words = strdup(text), *rest = words, *word;
	bool is_empty = true;
	int r = 0;

	if (!words)
		return refuse(err, -ENOMEM, "out of memory");
	while (r == 0 && (word = strsep(&rest, " \t"))) {
		if (!*word)
			continue;
		is_empty = false;
		r = add_word(source, word, err);
	}
	free(words);
	if (is_empty)
		return refuse(err, -EINVAL,
			      "an address of this machine is missing (such as 10.0.0.2), or "
			      "\"client\"");
	return r;
}

bool backend_source_serves(const struct backend_source *source, int family)
{
	for (size_t i = 0; i < source->n; i++)
		if (source->addresses[i].sa.any.sa_family == family)
			return true;
	return source->n == 0;
}

int backend_source_copy(const struct backend_source *source, struct backend_source *ret)
{
	struct backend_source copy = *source;

	if (source->n > 0) {
		copy.addresses = calloc(source->n, sizeof(*copy.addresses));
		if (!copy.addresses)
			return -ENOMEM;
		memcpy(copy.addresses, source->addresses, source->n * sizeof(*copy.addresses));
	}
	*ret = copy;
	return 0;
}

void backend_source_clear(struct backend_source *source)
{
	free(source->addresses);
	*source = (struct backend_source){ 0 };
}
