/* SPDX-License-Identifier: MIT */
/*
 * A long list of sources, prepared so that asking it costs no more for every rule: which rule
 * is the first whose prefix has an IP address, and which rules are about something else.
 */
#ifndef CONF_SOURCE_INDEX_H
#define CONF_SOURCE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source_list;

/* One block of memory, which free() takes. */
struct source_index {
	size_t n_others;
	uint32_t *others; /* the rules without a prefix, by their place in the list */
	size_t n_ranges;
	struct source_range *ranges; /* see source_index.c */
};

/*
 * Makes the index of a list that is complete.  A short list is left without one, since going
 * through it is as quick, and so is each where there is no memory.
 */
void source_list_prepare(struct source_list *list);

/*
 * The place of the first rule whose prefix has the address: 4 bytes, or 16 of IPv6.
 * SIZE_MAX: none has.
 */
size_t source_index_find(const struct source_index *index, bool is_ipv6,
			 const unsigned char *bytes);

#endif
