/* SPDX-License-Identifier: MIT */
/*
 * Between sessions and the table of sources of their proxy: see source_count.h.
 */
#include "daemon/session/source_count.h"

#include <stdio.h>
#include <sys/socket.h>

#include "daemon/proxy/proxy.h"
#include "daemon/proxy/source_table.h"
#include "daemon/session/refusal.h"
#include "daemon/session/state.h"

/* Of a UNIX client; of one that only a header tells of, nobody knows. */
static uint32_t uid_of(const struct endpoint *client)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (client->read_stream != SFRONT_STREAM_UNIX ||
	    getsockopt(client->read_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return UINT32_MAX;
	return peer.uid;
}

static void refuse(const struct proxy_config *config, const struct source_key *key,
		   enum source_answer answer, struct refusal *refusal)
{
	char *buf = refusal->reason, source[64];
	size_t size = sizeof(refusal->reason);

	source_key_format(key, config->source_prefix.v4, config->source_prefix.v6, source,
			  sizeof(source));
	refusal->end = answer == SOURCE_TOO_MANY ? END_REFUSED_SOURCE_CONNECTIONS
						 : END_REFUSED_SOURCE_RATE;
	if (answer == SOURCE_TOO_MANY)
		snprintf(buf, size, "refused: %s has max-connections-per-source (%llu)", source,
			 (unsigned long long)config->max_connections_per_source);
	else
		snprintf(buf, size, "refused: %s is past connection-rate-per-source", source);
}

bool source_count_begin(struct session *session, const struct sfront_sockaddr *client,
			struct refusal *refusal)
{
	const struct proxy_config *config = &session->proxy->config;
	enum source_answer answer;
	struct source_key key;

	if (!proxy_config_limits_sources(config))
		return true;
	key = source_key_of(client,
			    client->sa.any.sa_family == AF_UNIX ? uid_of(&session->client) : 0,
			    config->source_prefix.v4, config->source_prefix.v6);
	if (key.kind == SOURCE_KEY_NONE)
		return true;
	answer = source_table_take(session->proxy->limit->sources, &key,
				   config->max_connections_per_source,
				   &config->connection_rate_per_source, &session->source);
	if (answer != SOURCE_TAKEN)
		refuse(config, &key, answer, refusal);
	return answer == SOURCE_TAKEN;
}

void source_count_end(struct session *session)
{
	if (session->source)
		source_table_give(session->proxy->limit->sources, session->source);
	session->source = NULL;
}
