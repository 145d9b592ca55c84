/* SPDX-License-Identifier: MIT */
/*
 * Lines about an attempt: see attempt_story.h.  Between connect.c and the log.
 */
#include "daemon/backend/attempt_story.h"

#include <stdio.h>
#include <string.h>

#include "daemon/backend/resolver.h"
#include "daemon/backend/server.h"
#include "daemon/base/log.h"

/* Of a list of addresses; more are counted. */
#define LIST_TEXT_SIZE 1024

/* Returns how many of them there was room for. */
static unsigned int format_list(const struct address_list *list, char buf[LIST_TEXT_SIZE])
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	size_t used = 0;
	unsigned int n = 0;

	for (; n < list->n; n++) {
		sfront_sockaddr_format(&list->addresses[n], text, sizeof(text));
		if (used + strlen(text) + 2 >= LIST_TEXT_SIZE)
			break;
		used += (size_t)sprintf(buf + used, " %s", text);
	}
	buf[used] = '\0';
	return n;
}

void attempt_story_resolved(const char *id, const struct server *server,
			    const struct address_list *list)
{
	char text[LIST_TEXT_SIZE], more[32] = "";
	unsigned int n;

	if (!id)
		return;
	n = format_list(list, text);
	if (n < list->n)
		snprintf(more, sizeof(more), " and %u more", list->n - n);
	log_line(LOG_DEBUG, "id=%s resolved: server %s is at%s%s", id, server->text, text, more);
}

void attempt_story_tries(const char *id, const struct server *server,
			 const struct sfront_sockaddr *addr)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	if (!id)
		return;
	sfront_sockaddr_format(addr, text, sizeof(text));
	log_line(LOG_DEBUG, "id=%s tried: server %s at %s", id, server->text, text);
}

void attempt_story_failed(const char *id, const struct server *server,
			  const struct sfront_sockaddr *addr, int why)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	if (!id)
		return;
	sfront_sockaddr_format(addr, text, sizeof(text));
	log_line(LOG_DEBUG, "id=%s failed: server %s at %s: %s", id, server->text, text,
		 strerror(why));
}
