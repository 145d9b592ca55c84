/* SPDX-License-Identifier: MIT */
/*
 * Memory for many objects of one size.  Objects stand in chunks that are
 * aligned to their size, so that an object's address tells its chunk.
 */
#include "daemon/slab.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE ((size_t)32768)

struct free_object {
	struct free_object *next;
};

struct slab_chunk {
	LIST_ENTRY(slab_chunk) link; /* in slab->partial while there is room */
	struct free_object *free;
	size_t used;
};

void slab_init(struct slab *slab, size_t object_size)
{
	size_t align = _Alignof(max_align_t);

	*slab = (struct slab){ .object_size = (object_size + align - 1) / align * align };
}

void slab_clear(struct slab *slab)
{
	struct slab_chunk *chunk;

	while ((chunk = LIST_FIRST(&slab->partial)) != NULL) { /* made ready and never used */
		LIST_REMOVE(chunk, link);
		free(chunk);
	}
	free(slab->spare);
	slab->spare = NULL;
}

static struct slab_chunk *chunk_new(struct slab *slab)
{
	size_t first = (sizeof(struct slab_chunk) + 15) / 16 * 16;
	struct slab_chunk *chunk = aligned_alloc(CHUNK_SIZE, CHUNK_SIZE);

	if (chunk == NULL)
		return NULL;
	chunk->used = 0;
	chunk->free = NULL;
	for (size_t at = first; at + slab->object_size <= CHUNK_SIZE; at += slab->object_size) {
		struct free_object *object = (struct free_object *)((char *)chunk + at);

		object->next = chunk->free;
		chunk->free = object;
	}
	return chunk;
}

bool slab_ready(struct slab *slab)
{
	struct slab_chunk *chunk;

	if (!LIST_EMPTY(&slab->partial))
		return true;
	chunk = slab->spare != NULL ? slab->spare : chunk_new(slab);
	if (chunk == NULL)
		return false;
	slab->spare = NULL;
	LIST_INSERT_HEAD(&slab->partial, chunk, link);
	return true;
}

void *slab_take(struct slab *slab)
{
	struct slab_chunk *chunk = LIST_FIRST(&slab->partial);
	struct free_object *object = chunk->free;

	chunk->free = object->next;
	chunk->used++;
	if (chunk->free == NULL)
		LIST_REMOVE(chunk, link);
	return memset(object, 0, slab->object_size);
}

void slab_give(struct slab *slab, void *memory)
{
	struct slab_chunk *chunk = (struct slab_chunk *)((uintptr_t)memory & ~(CHUNK_SIZE - 1));
	struct free_object *object = memory;

	if (chunk->free == NULL)
		LIST_INSERT_HEAD(&slab->partial, chunk, link);
	object->next = chunk->free;
	chunk->free = object;
	if (--chunk->used > 0)
		return;

	LIST_REMOVE(chunk, link);
	free(slab->spare);
	slab->spare = chunk;
}
