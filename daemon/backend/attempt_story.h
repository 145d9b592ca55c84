/* SPDX-License-Identifier: MIT */
/*
 * What log-level = debug tells of an attempt to connect: which addresses a name has, which of
 * them are tried, and how that fails.  Each is a line with the connection's id.
 */
#ifndef DAEMON_BACKEND_ATTEMPT_STORY_H
#define DAEMON_BACKEND_ATTEMPT_STORY_H

struct address_list;
struct server;
struct sfront_sockaddr;

/* @id: NULL: nothing is told, and nothing done for it; so it is for each of them */
void attempt_story_resolved(const char *id, const struct server *server,
			    const struct address_list *list);

void attempt_story_tries(const char *id, const struct server *server,
			 const struct sfront_sockaddr *addr);

/* @why: as in errno */
void attempt_story_failed(const char *id, const struct server *server,
			  const struct sfront_sockaddr *addr, int why);

#endif
