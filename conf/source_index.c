/* SPDX-License-Identifier: MIT */
/*
 * The prefixes of a list cut the addresses into ranges, in each of which one rule is the
 * first: see source_index.h.  Between two prefixes there is no other way to overlap than one
 * inside the other, so that one walk over them in their order finds all ranges.
 */
#include "conf/source_index.h"

#include <stdlib.h>
#include <string.h>

#include "conf/source.h"

/* Rules that are gone through as quickly as they are looked up. */
#define SHORT_LIST 16

#define NO_RULE UINT32_MAX

/* The family, 4 or 6, and the address: in this order one address comes after the other. */
struct position {
	unsigned char bytes[17];
};

/* From there up to the next range. */
struct source_range {
	struct position from;
	uint32_t rule; /* the first that matches; NO_RULE: none does */
};

struct prefix {
	struct position first, last;
	uint32_t rule;
};

/* The prefixes that have the address at which the walk is, each inside the one before. */
struct nest {
	const struct prefix *open[129]; /* one of each length, 128 bits and none included */
	uint32_t rules[129];            /* the first rule of this one and those around it */
	size_t n;
};

static struct position position_of(bool is_ipv6, const unsigned char *bytes)
{
	struct position position = { { is_ipv6 ? 6 : 4 } };

	memcpy(position.bytes + 1, bytes, is_ipv6 ? 16 : 4);
	return position;
}

static int compare(const struct position *a, const struct position *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static struct prefix prefix_of(const struct source *source, size_t rule)
{
	struct position first = position_of(source->prefix.is_ipv6, source->prefix.bytes);
	struct prefix prefix = { .first = first, .last = first, .rule = (uint32_t)rule };

	for (size_t bit = 8 + source->prefix.bits; bit < 8 * sizeof(first.bytes); bit++)
		prefix.last.bytes[bit / 8] |= (unsigned char)(0x80 >> (bit % 8));
	return prefix;
}

static struct position after(const struct prefix *prefix)
{
	struct position position = prefix->last;
	size_t i = sizeof(position.bytes);

	while (++position.bytes[--i] == 0)
		; /* the family has room for one more */
	return position;
}

/* Whoever begins first comes first, then the wider one, then the earlier rule. */
static int by_order(const void *left, const void *right)
{
	const struct prefix *a = left, *b = right;
	int r = compare(&a->first, &b->first);

	if (r == 0)
		r = compare(&b->last, &a->last);
	return r != 0 ? r : a->rule < b->rule ? -1 : 1;
}

/* ---- the walk ---- */

static uint32_t rule_in(const struct nest *nest)
{
	return nest->n > 0 ? nest->rules[nest->n - 1] : NO_RULE;
}

/* Of several that begin in one place, the last one counts: nothing is in the others. */
static void add_range(struct source_index *index, struct position from, uint32_t rule)
{
	index->ranges[index->n_ranges++] = (struct source_range){ from, rule };
}

static void leave(struct source_index *index, struct nest *nest)
{
	nest->n--;
	add_range(index, after(nest->open[nest->n]), rule_in(nest));
}

static void enter(struct source_index *index, struct nest *nest, const struct prefix *prefix)
{
	uint32_t around = rule_in(nest);

	nest->open[nest->n] = prefix;
	nest->rules[nest->n] = prefix->rule < around ? prefix->rule : around;
	nest->n++;
	add_range(index, prefix->first, rule_in(nest));
}

static bool is_past(const struct nest *nest, const struct position *position)
{
	return nest->n > 0 && compare(&nest->open[nest->n - 1]->last, position) < 0;
}

static bool is_open(const struct nest *nest, const struct prefix *prefix)
{
	return nest->n > 0 && compare(&nest->open[nest->n - 1]->first, &prefix->first) == 0 &&
	       compare(&nest->open[nest->n - 1]->last, &prefix->last) == 0;
}

/* @index: with room for two ranges of each prefix */
static void walk(struct source_index *index, const struct prefix *prefixes, size_t n)
{
	struct nest nest = { .n = 0 };

	for (size_t i = 0; i < n; i++) {
		while (is_past(&nest, &prefixes[i].first))
			leave(index, &nest);
		if (!is_open(&nest, &prefixes[i])) /* or a rule before it has the same */
			enter(index, &nest, &prefixes[i]);
	}
	while (nest.n > 0)
		leave(index, &nest);
}

/* ---- the index ---- */

/* @n_prefixes: how many rules have a prefix */
static struct source_index *index_new(const struct source_list *list, size_t n_prefixes)
{
	size_t ranges_size = 2 * n_prefixes * sizeof(struct source_range);
	size_t others_size = (list->n - n_prefixes) * sizeof(uint32_t);
	struct source_index *index = calloc(1, sizeof(*index) + ranges_size + others_size);

	if (!index)
		return NULL;
	index->ranges = (struct source_range *)(index + 1);
	index->others = (uint32_t *)(index->ranges + 2 * n_prefixes);
	return index;
}

static void fill(struct source_index *index, const struct source_list *list,
		 struct prefix *prefixes)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		if (list->rules[i].source.kind == SOURCE_PREFIX)
			prefixes[n++] = prefix_of(&list->rules[i].source, i);
		else
			index->others[index->n_others++] = (uint32_t)i;
	}
	qsort(prefixes, n, sizeof(*prefixes), by_order);
	walk(index, prefixes, n);
}

void source_list_prepare(struct source_list *list)
{
	struct prefix *prefixes;
	size_t n_prefixes = 0;

	if (list->n <= SHORT_LIST || list->index)
		return;
	for (size_t i = 0; i < list->n; i++)
		n_prefixes += list->rules[i].source.kind == SOURCE_PREFIX;
	prefixes = calloc(n_prefixes + 1, sizeof(*prefixes));
	if (prefixes)
		list->index = index_new(list, n_prefixes);
	if (list->index)
		fill(list->index, list, prefixes);
	free(prefixes);
}

size_t source_index_find(const struct source_index *index, bool is_ipv6, const unsigned char *bytes)
{
	struct position position = position_of(is_ipv6, bytes);
	size_t from = 0, to = index->n_ranges; /* the range before @to begins there or before */

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare(&index->ranges[middle].from, &position) <= 0)
			from = middle + 1;
		else
			to = middle;
	}
	if (to == 0 || index->ranges[to - 1].rule == NO_RULE)
		return SIZE_MAX;
	return index->ranges[to - 1].rule;
}
