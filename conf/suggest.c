/* SPDX-License-Identifier: MIT */
/*
 * "Did you mean": the known name nearest to a mistyped one, for the file
 * (load.c) and the command line (args.c).
 */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/suggest.h"

#define WORD_MAX      48 /* longer than any name: such a word is near to none */
#define PIECE_MIN     4  /* letters of a name that are enough to recognise it */
#define RANK_OF_PIECE WORD_MAX

static unsigned char fold(char c)
{
	return c == '_' ? '-' : (unsigned char)tolower((unsigned char)c);
}

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* Restricted Damerau-Levenshtein distance, with the last three rows of the matrix. */
static unsigned int distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
	unsigned int rows[3][WORD_MAX + 1];
	unsigned int *before = rows[0], *above = rows[1], *row = rows[2], *spare;

	for (size_t j = 0; j <= n_b; j++)
		above[j] = (unsigned int)j;

	for (size_t i = 1; i <= n_a; i++) {
		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= n_b; j++) {
			bool same = fold(a[i - 1]) == fold(b[j - 1]);

			row[j] = least(above[j - 1] + !same, least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
			    fold(a[i - 2]) == fold(b[j - 1]))
				row[j] = least(row[j], before[j - 2] + 1);
		}
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[n_b];
}

unsigned int suggest_rank(const char *word, const char *name)
{
	size_t n_word = strlen(word), n_name = strlen(name);
	size_t longer = n_word > n_name ? n_word : n_name;
	size_t apart = 2 * longer - n_word - n_name; /* the distance is that at least */
	unsigned int d;

	if (n_word == 0 || longer > WORD_MAX)
		return NOT_NEAR;

	d = apart * 3 <= longer ? distance(word, n_word, name, n_name) : NOT_NEAR;
	if (d != NOT_NEAR && d * 3 <= longer)
		return d;
	if (n_word >= PIECE_MIN && strcasestr(name, word))
		return RANK_OF_PIECE;
	return NOT_NEAR;
}

const char *key_nearest(const char *word, enum key_scope scope)
{
	unsigned int best = NOT_NEAR, rank;
	const char *nearest = NULL;
	const struct key *key;

	for (size_t i = 0; (key = key_at(i)); i++) {
		rank = key->scope == scope ? suggest_rank(word, key->name) : NOT_NEAR;
		if (rank < best) {
			best = rank;
			nearest = key->name;
		}
	}
	return nearest;
}
