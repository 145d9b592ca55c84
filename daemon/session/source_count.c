/* SPDX-License-Identifier: MIT */
/*
 * Between sessions and the table of sources of their proxy: see source_count.h.
 */
#include "daemon/session/source_count.h"

#include <stdio.h>
#include <sys/socket.h>

#include <sockfront/proxy_protocol.h>

#include "daemon/proxy/proxy.h"
#include "daemon/proxy/source_table.h"
#include "daemon/session/admission.h"
#include "daemon/session/refusal.h"
#include "daemon/session/state.h"

static struct source_key nobody(void)
{
	return (struct source_key){ .kind = SOURCE_KEY_NONE };
}

static struct source_key key_of_address(const struct session *session,
					const struct sfront_sockaddr *addr)
{
	const struct source_prefix *prefix = &session->proxy->config.source_prefix;

	return source_key_of(addr, prefix->v4, prefix->v6);
}

/* ---- by the word of the kernel ---- */

static struct source_key key_of_user(const struct endpoint *client)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(client->read_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return nobody();
	return source_key_of_number(SOURCE_KEY_UID, peer.uid);
}

static struct source_key key_of_sender(const struct session *session,
				       const struct sfront_sockaddr *addr)
{
	return session->client.read_stream == SFRONT_STREAM_UNIX ? key_of_user(&session->client)
								 : key_of_address(session, addr);
}

/* ---- by the word of a header ---- */

/* Of a UNIX or vsock client: what a TLV says, if the sender is believed that. */
static struct source_key key_of_tlv(const struct session *session,
				    const struct sfront_proxy_tlv *tlv)
{
	struct sfront_credentials credentials;
	struct sfront_proxy_vsock vsock;

	if (!admission_trusts_tlvs(session->proxy, &session->client))
		return nobody();
	if (sfront_proxy_tlv_credentials(tlv, &credentials) == 0)
		return source_key_of_number(SOURCE_KEY_UID, credentials.uid);
	if (sfront_proxy_tlv_vsock(tlv, &vsock) == 0)
		return source_key_of_number(SOURCE_KEY_CID, vsock.cid);
	return nobody();
}

/* Where the header does not tell at all, the sender is the client. */
static struct source_key key_of_claimed(const struct session *session,
					const struct sfront_proxy_header *header)
{
	struct sfront_proxy_tlv tlv = { 0 };
	struct sfront_connection sender;

	if (header->source.len == 0 &&
	    !sfront_proxy_find_tlv(header, SFRONT_PROXY_TLV_VSOCK, &tlv)) {
		sender = endpoint_connection(&session->client);
		return key_of_sender(session, &sender.peer);
	}
	if (header->source.len > 0 && header->source.sa.any.sa_family != AF_UNIX)
		return key_of_address(session, &header->source);
	if (header->source.len > 0)
		(void)sfront_proxy_find_tlv(header, SFRONT_PROXY_TLV_CREDENTIALS, &tlv);
	return key_of_tlv(session, &tlv);
}

/* ---- counting ---- */

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

static bool begin(struct session *session, struct source_key key, struct refusal *refusal)
{
	const struct proxy_config *config = &session->proxy->config;
	enum source_answer answer;

	if (key.kind == SOURCE_KEY_NONE)
		return true;
	answer = source_table_take(session->proxy->limit->sources, &key,
				   config->max_connections_per_source,
				   &config->connection_rate_per_source, &session->source);
	if (answer != SOURCE_TAKEN)
		refuse(config, &key, answer, refusal);
	return answer == SOURCE_TAKEN;
}

bool source_count_begin(struct session *session, const struct sfront_sockaddr *client,
			struct refusal *refusal)
{
	return !proxy_config_limits_sources(&session->proxy->config) ||
	       begin(session, key_of_sender(session, client), refusal);
}

bool source_count_begin_claimed(struct session *session, const struct sfront_proxy_header *header,
				struct refusal *refusal)
{
	return !proxy_config_limits_sources(&session->proxy->config) ||
	       begin(session, key_of_claimed(session, header), refusal);
}

void source_count_end(struct session *session)
{
	if (session->source)
		source_table_give(session->proxy->limit->sources, session->source);
	session->source = NULL;
}
