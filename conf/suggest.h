/* SPDX-License-Identifier: MIT */
/*
 * How near a mistyped word is to a name: for key_nearest() in suggest.c, and
 * for section names in load.c.
 */
#ifndef CONF_SUGGEST_H
#define CONF_SUGGEST_H

#include <limits.h>

#define NOT_NEAR UINT_MAX

/*
 * Counts the letters that were left out, put in, exchanged or swapped between
 * @word and @name; letter case, and '_' for '-', count nothing.  A word that is
 * a long enough piece of the name ranks behind all that were mistyped.
 *
 * Returns the rank, the lower the nearer, or NOT_NEAR if asking "did you mean"
 * would only puzzle.
 */
unsigned int suggest_rank(const char *word, const char *name);

#endif
