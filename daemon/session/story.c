/* SPDX-License-Identifier: MIT */
/*
 * Lines at log-level = debug: see story.h.  Between session.c and the log.
 */
#include "daemon/session/story.h"

#include <sockfront/listener.h>
#include <stdint.h>
#include <stdio.h>

#include "conf/source.h"
#include "daemon/backend/connect.h"
#include "daemon/backend/server.h"
#include "daemon/base/log.h"
#include "daemon/proxy/proxy.h"
#include "daemon/session/access_log.h"
#include "daemon/session/connection_id.h"
#include "daemon/session/state.h"

const char *story_id(const struct session *session)
{
	return log_wants(LOG_DEBUG) && session->note ? access_note_id(session->note) : NULL;
}

static const char *listener_of(const struct proxy *proxy, size_t socket)
{
	return proxy_socket_at(proxy, socket)->text;
}

void story_accepted(const struct session *session, const struct sfront_connection *connection)
{
	char client[SFRONT_ADDRESS_TEXT_SIZE];
	const char *id = story_id(session);

	if (!id)
		return;
	sfront_connection_format(connection, client, sizeof(client));
	log_line(LOG_DEBUG, "id=%s accepted: client %s, listener %s%s", id, client,
		 listener_of(session->proxy, session->socket),
		 connection->header_due ? ", owes a PROXY protocol header" : "");
}

void story_rule(const char *id, const struct source_rule *rule)
{
	char source[64];

	if (!rule) {
		log_line(LOG_DEBUG, "id=%s access: no rule matches", id);
		return;
	}
	source_format(&rule->source, source, sizeof(source));
	log_line(LOG_DEBUG, "id=%s access: %s %s matches", id, rule->allows ? "allow" : "deny",
		 source);
}

void story_header(const struct session *session, const struct sfront_connection *client,
		  const struct connection_id *id)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE] = "not told", id_text[CONNECTION_ID_TEXT_SIZE];
	const char *before = story_id(session);

	if (!before)
		return;
	if (client->is_proxied)
		sfront_connection_format(client, text, sizeof(text));
	connection_id_format(id, id_text);
	log_line(LOG_DEBUG, "id=%s header: client %s, from now on id=%s", before, text, id_text);
}

void story_connected(const struct session *session, const struct outcome *outcome)
{
	const char *id = story_id(session);

	if (!id)
		return;
	log_line(LOG_DEBUG, "id=%s connected: server %s, in %.3f ms, first tried after %.3f ms", id,
		 outcome->server->text, (double)outcome->connect_us / 1000,
		 (double)outcome->queued_us / 1000);
}

void story_ended(const struct session *session, const char *reason)
{
	const char *id = story_id(session);

	if (id)
		log_line(LOG_DEBUG, "id=%s ended: %s", id, reason);
}

void story_turned_away(const struct proxy *proxy, size_t socket, const char *id, const char *client,
		       const char *reason)
{
	log_line(LOG_DEBUG, "id=%s accepted: client %s, listener %s", id, client,
		 listener_of(proxy, socket));
	log_line(LOG_DEBUG, "id=%s ended: %s", id, reason);
}
