/* SPDX-License-Identifier: MIT */
/*
 * Names of this machine by which the status address may be asked for.
 */
#ifndef CONF_HOST_LIST_H
#define CONF_HOST_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include <sockfront/error.h>

struct host_list {
	char **names; /* owned array of owned strings */
	size_t n;
};

/*
 * Adds the names in @text, which blanks are between.
 *
 * Returns 0, or a negative errno with @err saying what a name is like; some of them may have
 * been added then.
 */
int host_list_add(struct host_list *list, const char *text, struct sfront_error *err);

/* Whether the @n bytes at @name are one of them, in any letter case. */
bool host_list_has(const struct host_list *list, const char *name, size_t n);

/* Leaves an empty list. */
void host_list_clear(struct host_list *list);

#endif
