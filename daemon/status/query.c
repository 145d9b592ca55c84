/* SPDX-License-Identifier: MIT */
/*
 * The parameters of a request: see query.h.
 */
#include "daemon/status/query.h"

#include <event2/http.h>
#include <stdlib.h>

size_t query_number(const struct evkeyvalq *query, const char *name, size_t otherwise, size_t max)
{
	const char *text = evhttp_find_header(query, name);
	unsigned long long number;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return otherwise;
	number = strtoull(text, &end, 10);
	if (*end)
		return otherwise;
	return number < max ? (size_t)number : max;
}
