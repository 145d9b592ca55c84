/* SPDX-License-Identifier: MIT */
/*
 * Listen lines by port or text: see listen_index.h.
 */
#include "conf/listen_index.h"

#include <errno.h>
#include <stdlib.h>

/* FNV-1a */
static uint64_t hash(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return hash;
}

/* Two addresses that have anything to do with each other have the same. */
static uint64_t key_of(const struct sfront_address *address)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	uint16_t port;

	if (address->kind == SFRONT_VSOCK)
		return (uint64_t)SFRONT_VSOCK << 32 | address->u.vsock.port;
	/* A service may go by its name here and by its number there. */
	if (sfront_address_port(address, &port, NULL) == 0)
		return (uint64_t)SFRONT_TCP << 32 | port;
	sfront_address_format(address, text, sizeof(text));
	return hash(UINT64_C(0xcbf29ce484222325), text);
}

static int compare(const void *a, const void *b)
{
	const struct listen_entry *one = a, *other = b;

	if (one->key != other->key)
		return one->key < other->key ? -1 : 1;
	return one->order < other->order ? -1 : one->order > other->order;
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
		for (size_t j = 0; j < section.n; j++, index->n++)
			index->entries[index->n] = (struct listen_entry){
				.options = section.options,
				.listen = &section.lines[j],
				.is_status = section.is_status,
				.key = key_of(&section.lines[j].address),
				.order = index->n,
			};
	qsort(index->entries, index->n, sizeof(*index->entries), compare);
	return 0;
}

void listen_index_clear(struct listen_index *index)
{
	free(index->entries);
	*index = (struct listen_index){ 0 };
}

struct listen_group listen_index_find(const struct listen_index *index,
				      const struct sfront_address *address)
{
	uint64_t key = key_of(address);
	size_t first = 0, end = index->n, past;

	while (first < end) {
		size_t middle = first + (end - first) / 2;

		if (index->entries[middle].key < key)
			first = middle + 1;
		else
			end = middle;
	}
	for (past = first; past < index->n && index->entries[past].key == key;)
		past++;
	return (struct listen_group){ index->entries + first, past - first };
}
