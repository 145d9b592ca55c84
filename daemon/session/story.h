/* SPDX-License-Identifier: MIT */
/*
 * What log-level = debug tells of a connection, from accept to end: each step is a line with its
 * id.  backend/attempt_story.c tells the part in between.  At another level nothing is done.
 */
#ifndef DAEMON_SESSION_STORY_H
#define DAEMON_SESSION_STORY_H

#include <stddef.h>

struct connection_id;
struct outcome;
struct proxy;
struct session;
struct sfront_connection;
struct source_rule;

/* The id by which a session is told of; NULL: it is not. */
const char *story_id(const struct session *session);

void story_accepted(const struct session *session, const struct sfront_connection *connection);

/* @rule: that decides whether it may connect; NULL: none does */
void story_rule(const char *id, const struct source_rule *rule);

/*
 * A header of the PROXY protocol has come.  Before the session knows.
 *
 * @client: by the header
 * @id:     from now on
 */
void story_header(const struct session *session, const struct sfront_connection *client,
		  const struct connection_id *id);

void story_connected(const struct session *session, const struct outcome *outcome);
void story_ended(const struct session *session, const char *reason);

/* A client is sent away before there is a session. */
void story_turned_away(const struct proxy *proxy, size_t socket, const char *id, const char *client,
		       const char *reason);

#endif
