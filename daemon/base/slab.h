/* SPDX-License-Identifier: MIT */
/*
 * Memory for many objects of one size, for one thread: taking and giving one
 * back costs a few instructions, nothing is added to an object, and memory that
 * no object uses goes back to the system.
 */
#ifndef DAEMON_BASE_SLAB_H
#define DAEMON_BASE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct slab_chunk;

struct slab {
	size_t object_size;
	LIST_HEAD(, slab_chunk) partial; /* chunks with room, in no order */
	LIST_HEAD(, slab_chunk) full;
	struct slab_chunk *spare; /* one empty chunk, kept against flapping */
	uint64_t tour;            /* the last one that was begun */
};

/* @object_size: smaller ones are given 128 bytes */
void slab_init(struct slab *slab, size_t object_size);

/* Every object must have been given back. */
void slab_clear(struct slab *slab);

/* Sees to it that one can be taken.  False: out of memory. */
bool slab_ready(struct slab *slab);

/* Zeroed memory.  slab_ready() must have said that there is some. */
void *slab_take(struct slab *slab);

void slab_give(struct slab *slab, void *memory);

/* One of the objects that are taken, whichever; NULL when there is none. */
void *slab_any(struct slab *slab);

/*
 * Calls @visit for every object that is taken, for some of them twice.  It may give that
 * one back; it takes none.
 */
void slab_each(struct slab *slab, void (*visit)(void *object));

/*
 * The same in pieces, between which objects may be taken and given back: each that is there
 * from the first piece to the last is visited, once; others may be.
 */
void slab_tour_begin(struct slab *slab);

/* Visits the next piece, which gives none back.  False: there was none left. */
bool slab_tour_go_on(struct slab *slab, void (*visit)(void *object, void *data), void *data);

#endif
