/* SPDX-License-Identifier: MIT */
/*
 * Names of hosts: see host_list.h.
 */
#include "conf/host_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/refuse.h"

#define BLANKS     " \t"
#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
#define NAME_MAX_N 253 /* as long as a name in the DNS can be */

static int add_name(struct host_list *list, const char *name, size_t n, struct sfront_error *err)
{
	char **grown, *copy;

	if (n > NAME_MAX_N || strspn(name, NAME_BYTES) < n)
		return refuse(err, -EINVAL,
			      "\"%.*s\" is no name of a host (such as proxy.example.org, without "
			      "a port)",
			      (int)n, name);
	grown = reallocarray(list->names, list->n + 1, sizeof(*grown));
	if (!grown)
		return refuse(err, -ENOMEM, "out of memory");
	list->names = grown;
	copy = malloc(n + 1);
	if (!copy)
		return refuse(err, -ENOMEM, "out of memory");
	memcpy(copy, name, n);
	copy[n] = '\0';
	grown[list->n++] = copy;
	return 0;
}

int host_list_add(struct host_list *list, const char *text, struct sfront_error *err)
{
	size_t n;
	int r;

	text += strspn(text, BLANKS);
	if (!*text)
		return refuse(err, -EINVAL, "a name is missing (such as proxy.example.org)");
	for (; *text; text += n + strspn(text + n, BLANKS)) {
		n = strcspn(text, BLANKS);
		r = add_name(list, text, n, err);
		if (r < 0)
			return r;
	}
	return 0;
}

bool host_list_has(const struct host_list *list, const char *name, size_t n)
{
	for (size_t i = 0; i < list->n; i++)
		if (strlen(list->names[i]) == n && strncasecmp(list->names[i], name, n) == 0)
			return true;
	return false;
}

void host_list_clear(struct host_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->names[i]);
	free(list->names);
	*list = (struct host_list){ 0 };
}
