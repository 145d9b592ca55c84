/* SPDX-License-Identifier: MIT */
/*
 * Listen lines by port or text: see listen_index.h.
 */
#include "conf/listen_index.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/hash.h"

static uint64_t hash_of(const struct sfront_address *address)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	sfront_address_format(address, text, sizeof(text));
	return hash_bytes(HASH_START, text, strlen(text));
}

bool listen_is_every(const struct sfront_address *address)
{
	static const unsigned char any[4];
	const char *host = address->u.tcp.host;
	struct in6_addr in6;
	struct in_addr in;

	if (address->kind != SFRONT_TCP)
		return false;
	if (!*host || strcmp(host, "*") == 0)
		return true;
	if (inet_pton(AF_INET, host, &in) == 1)
		return in.s_addr == 0;
	if (inet_pton(AF_INET6, host, &in6) != 1)
		return false;
	return IN6_IS_ADDR_UNSPECIFIED(&in6) ||
	       (IN6_IS_ADDR_V4MAPPED(&in6) && memcmp(&in6.s6_addr[12], any, sizeof(any)) == 0);
}

#define EVERY_HOST 0
#define SOME_HOST  (UINT64_C(1) << 63)

/* A service may go by its name here and by its number there. */
static uint64_t host_of(const struct sfront_address *address, uint16_t port)
{
	struct sfront_address numbered = *address;

	if (listen_is_every(address))
		return EVERY_HOST;
	snprintf(numbered.u.tcp.service, sizeof(numbered.u.tcp.service), "%u", port);
	return hash_of(&numbered) | SOME_HOST;
}

/* Two addresses that have anything to do with each other have the same .key. */
static struct listen_entry keys_of(const struct sfront_address *address)
{
	uint16_t port;

	if (address->kind == SFRONT_VSOCK)
		return (struct listen_entry){
			.key = (uint64_t)SFRONT_VSOCK << 32 | address->u.vsock.port,
		};
	if (sfront_address_port(address, &port, NULL) == 0)
		return (struct listen_entry){
			.key = (uint64_t)SFRONT_TCP << 32 | port,
			.host = host_of(address, port),
		};
	return (struct listen_entry){ .key = hash_of(address) };
}

static int compare_numbers(uint64_t one, uint64_t other)
{
	return (one > other) - (one < other);
}

static int compare_keys(const struct listen_entry *one, const struct listen_entry *other)
{
	int r = compare_numbers(one->key, other->key);

	return r != 0 ? r : compare_numbers(one->host, other->host);
}

static int compare(const void *a, const void *b)
{
	const struct listen_entry *one = a, *other = b;
	int r = compare_keys(one, other);

	return r != 0 ? r : compare_numbers(one->order, other->order);
}

static void add(struct listen_index *index, const struct listen_section *section,
		struct listen_config *listen)
{
	struct listen_entry *entry = &index->entries[index->n];

	*entry = keys_of(&listen->address);
	entry->options = section->options;
	entry->listen = listen;
	entry->is_status = section->is_status;
	entry->order = index->n++;
}

int listen_index_make(struct listen_index *index, const struct config *config)
{
	struct listen_section section;
	size_t n = 0;

	*index = (struct listen_index){ 0 };
	for (size_t i = 0; config_listen_section(config, i, &section); i++)
		n += section.n;
	index->entries = calloc(n > 0 ? n : 1, sizeof(*index->entries));
	if (!index->entries)
		return -ENOMEM;
	for (size_t i = 0; config_listen_section(config, i, &section); i++)
		for (size_t j = 0; j < section.n; j++)
			add(index, &section, &section.lines[j]);
	qsort(index->entries, index->n, sizeof(*index->entries), compare);
	return 0;
}

void listen_index_clear(struct listen_index *index)
{
	free(index->entries);
	*index = (struct listen_index){ 0 };
}

/* The first entry that does not come before @keys. */
static size_t lower_bound(const struct listen_index *index, const struct listen_entry *keys)
{
	size_t first = 0, end = index->n;

	while (first < end) {
		size_t middle = first + (end - first) / 2;

		if (compare_keys(&index->entries[middle], keys) < 0)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

/* From one pair of keys to another, that one included. */
static struct listen_group group_of(const struct listen_index *index,
				    const struct listen_entry *from, const struct listen_entry *to)
{
	size_t first = lower_bound(index, from), past = first;

	while (past < index->n && compare_keys(&index->entries[past], to) <= 0)
		past++;
	return (struct listen_group){ index->entries + first, past - first };
}

struct listen_group listen_index_find(const struct listen_index *index,
				      const struct sfront_address *address)
{
	struct listen_entry keys = keys_of(address);
	const struct listen_entry first = { .key = keys.key, .host = EVERY_HOST };
	const struct listen_entry last = { .key = keys.key, .host = UINT64_MAX };

	return group_of(index, &first, &last);
}

struct listen_group listen_index_find_same(const struct listen_index *index,
					   const struct sfront_address *address)
{
	struct listen_entry keys = keys_of(address);

	return group_of(index, &keys, &keys);
}

struct listen_group listen_index_find_every(const struct listen_index *index,
					    const struct sfront_address *address)
{
	struct listen_entry keys = keys_of(address);

	keys.host = EVERY_HOST;
	return group_of(index, &keys, &keys);
}
