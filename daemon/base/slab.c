/* SPDX-License-Identifier: MIT */
/*
 * Memory for many objects of one size.  Objects stand in chunks that are
 * aligned to their size, so that an object's address tells its chunk; a bit map
 * in the chunk tells which are taken, so that memory never used is never
 * touched.
 */
#include "daemon/base/slab.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_SIZE ((size_t)65536)

#define SMALLEST_OBJECT ((size_t)128)
#define MAP_WORDS       (CHUNK_SIZE / SMALLEST_OBJECT / 64)

struct slab_chunk {
	LIST_ENTRY(slab_chunk) link; /* in slab->partial or slab->full */
	unsigned int n_taken;
	uint64_t tour;             /* the last that came here */
	uint64_t taken[MAP_WORDS]; /* a bit for each object */
	char objects[];
};

void slab_init(struct slab *slab, size_t object_size)
{
	size_t align = _Alignof(uint64_t); /* which may be more than that of a pointer */

	if (object_size < SMALLEST_OBJECT)
		object_size = SMALLEST_OBJECT;
	*slab = (struct slab){ .object_size = (object_size + align - 1) / align * align };
}

static unsigned int objects_a_chunk(const struct slab *slab)
{
	return (unsigned int)((CHUNK_SIZE - sizeof(struct slab_chunk)) / slab->object_size);
}

static void *object_at(const struct slab *slab, struct slab_chunk *chunk, unsigned int index)
{
	return chunk->objects + index * slab->object_size;
}

/*
 * Mapped rather than allocated: malloc() would keep what is freed between other
 * blocks.  Of twice the size, the part that is aligned is kept.
 */
static struct slab_chunk *chunk_new(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	/* cppcheck-suppress invalidFunctionArg ; -1 is what mmap() is given without a file */
	char *memory = mmap(NULL, 2 * CHUNK_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
	size_t before;

	if (memory == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)memory & (CHUNK_SIZE - 1);
	if (before > 0)
		munmap(memory, before);
	memory += before;
	munmap(memory + CHUNK_SIZE, CHUNK_SIZE - before);
	/* cppcheck-suppress deallocret ; what is returned is the part that stays mapped */
	return (struct slab_chunk *)memory;
}

static void chunk_free(struct slab_chunk *chunk)
{
	if (chunk)
		munmap(chunk, CHUNK_SIZE);
}

void slab_clear(struct slab *slab)
{
	struct slab_chunk *chunk;

	while ((chunk = LIST_FIRST(&slab->partial))) { /* made ready and never used */
		LIST_REMOVE(chunk, link);
		chunk_free(chunk);
	}
	chunk_free(slab->spare);
	slab->spare = NULL;
}

bool slab_ready(struct slab *slab)
{
	struct slab_chunk *chunk;

	if (!LIST_EMPTY(&slab->partial))
		return true;
	chunk = slab->spare ? slab->spare : chunk_new();
	if (!chunk)
		return false;
	slab->spare = NULL;
	LIST_INSERT_HEAD(&slab->partial, chunk, link);
	return true;
}

/* The first object whose bit is @taken; a chunk that has one is the caller's to choose. */
static unsigned int find(const struct slab_chunk *chunk, bool taken)
{
	unsigned int word = 0;
	uint64_t wanted;

	for (;; word++) {
		wanted = taken ? chunk->taken[word] : ~chunk->taken[word];
		if (wanted != 0)
			return word * 64 + (unsigned int)__builtin_ctzll(wanted);
	}
}

void *slab_take(struct slab *slab)
{
	struct slab_chunk *chunk = LIST_FIRST(&slab->partial);
	unsigned int index = find(chunk, false);

	chunk->taken[index / 64] |= UINT64_C(1) << index % 64;
	if (++chunk->n_taken == objects_a_chunk(slab)) {
		LIST_REMOVE(chunk, link);
		LIST_INSERT_HEAD(&slab->full, chunk, link);
	}
	return memset(object_at(slab, chunk, index), 0, slab->object_size);
}

void slab_give(struct slab *slab, void *memory)
{
	struct slab_chunk *chunk = (struct slab_chunk *)((uintptr_t)memory & ~(CHUNK_SIZE - 1));
	size_t index = (size_t)((char *)memory - chunk->objects) / slab->object_size;

	chunk->taken[index / 64] &= ~(UINT64_C(1) << index % 64);
	if (chunk->n_taken-- == objects_a_chunk(slab)) {
		LIST_REMOVE(chunk, link);
		LIST_INSERT_HEAD(&slab->partial, chunk, link);
	}
	if (chunk->n_taken > 0)
		return;

	LIST_REMOVE(chunk, link);
	chunk_free(slab->spare);
	slab->spare = chunk;
}

void *slab_any(struct slab *slab)
{
	struct slab_chunk *chunk = LIST_FIRST(&slab->full);

	if (!chunk)
		chunk = LIST_FIRST(&slab->partial);
	while (chunk && chunk->n_taken == 0)
		chunk = LIST_NEXT(chunk, link);
	return chunk ? object_at(slab, chunk, find(chunk, true)) : NULL;
}

/* A chunk whose last object is given back meanwhile is the spare one, and stays mapped. */
static void visit_chunk(struct slab *slab, struct slab_chunk *chunk, void (*visit)(void *object))
{
	for (unsigned int i = 0; i < objects_a_chunk(slab); i++)
		if (chunk->taken[i / 64] & UINT64_C(1) << i % 64)
			visit(object_at(slab, chunk, i));
}

void slab_each(struct slab *slab, void (*visit)(void *object))
{
	struct slab_chunk *chunk, *next;

	/* A full one with less in it is among the partial ones then, and visited again. */
	for (chunk = LIST_FIRST(&slab->full); chunk; chunk = next) {
		next = LIST_NEXT(chunk, link);
		visit_chunk(slab, chunk, visit);
	}
	for (chunk = LIST_FIRST(&slab->partial); chunk; chunk = next) {
		next = LIST_NEXT(chunk, link);
		visit_chunk(slab, chunk, visit);
	}
}

void slab_tour_begin(struct slab *slab)
{
	slab->tour++;
}

/* Wherever it stands by now. */
static struct slab_chunk *next_of_tour(struct slab *slab)
{
	struct slab_chunk *chunk;

	LIST_FOREACH (chunk, &slab->full, link)
		if (chunk->tour != slab->tour)
			return chunk;
	LIST_FOREACH (chunk, &slab->partial, link)
		if (chunk->tour != slab->tour)
			return chunk;
	return NULL;
}

bool slab_tour_go_on(struct slab *slab, void (*visit)(void *object, void *data), void *data)
{
	struct slab_chunk *chunk = next_of_tour(slab);

	if (!chunk)
		return false;
	chunk->tour = slab->tour;
	for (unsigned int i = 0; i < objects_a_chunk(slab); i++)
		if (chunk->taken[i / 64] & UINT64_C(1) << i % 64)
			visit(object_at(slab, chunk, i), data);
	return true;
}
