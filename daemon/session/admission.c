/* SPDX-License-Identifier: MIT */
/*
 * Between those who have a client and the rules of proxy/access.c: see admission.h.
 */
#include "daemon/session/admission.h"

#include "daemon/backend/backend.h"
#include "daemon/base/log.h"
#include "daemon/proxy/access.h"
#include "daemon/proxy/proxy.h"
#include "daemon/relay/endpoint.h"
#include "daemon/session/access_log.h"
#include "daemon/session/connection_id.h"
#include "daemon/session/refusal.h"
#include "daemon/session/report.h"
#include "daemon/session/state.h"
#include "daemon/session/story.h"

static bool is_granted(const struct proxy *proxy, const struct access_client *client,
		       struct refusal *refusal)
{
	const struct source_rule *rule;

	if (access_is_granted(&proxy->config.access, client, &rule))
		return true;
	refusal->end = END_REFUSED_ACCESS;
	access_format_reason(rule, refusal->reason, sizeof(refusal->reason));
	return false;
}

static void report(const struct proxy *proxy, size_t socket,
		   const struct sfront_connection *connection, const char *reason)
{
	char client[SFRONT_ADDRESS_TEXT_SIZE], id[CONNECTION_ID_TEXT_SIZE];
	struct connection_id own;

	sfront_connection_format(connection, client, sizeof(client));
	if (proxy->access_log == ACCESS_LOG_NO)
		report_turned_away(proxy, socket, client, reason);
	if (proxy->access_log == ACCESS_LOG_NO && !log_wants(LOG_DEBUG))
		return;
	own = connection_id_next();
	connection_id_format(&own, id);
	story_turned_away(proxy, socket, id, client, reason);
	if (proxy->access_log == ACCESS_LOG_NO)
		return;
	access_log_write(
		&(struct access_record){
			.id = id,
			.proxy = proxy->config.name,
			.client = client,
			.listener = proxy_socket_at(proxy, socket)->text,
			.backend = backend_word(proxy->backend),
			.queued_us = ACCESS_NEVER,
			.connect_us = ACCESS_NEVER,
			.reason = reason,
		},
		proxy->access_log);
}

void admission_tell(const struct session *session, const struct sfront_sockaddr *claimed)
{
	const struct source_list *rules = &session->proxy->config.access;
	struct sfront_connection connection;
	const struct source_rule *rule;
	struct access_client client;

	if (rules->n == 0 || !story_id(session))
		return;
	connection = endpoint_connection(&session->client);
	client = access_client_of(&connection);
	client.claimed = claimed;
	(void)access_is_granted(rules, &client, &rule);
	story_rule(story_id(session), rule);
}

static void count(const struct proxy *proxy, enum connection_end end)
{
	counters_add(proxy->counts, PROXY_ACCEPTED, 1);
	counters_add(proxy->counts, PROXY_ENDED + end, 1);
}

bool admission_grant(const struct proxy *proxy, size_t socket, struct sfront_connection *connection)
{
	const struct proxy_config *config = &proxy->config;
	struct access_client client;
	struct refusal refusal;

	if (config->access.n == 0 && config->accept_proxy_protocol.n == 0)
		return true;
	client = access_client_of(connection);
	connection->header_due = source_list_find(&config->accept_proxy_protocol, &client);
	if (connection->header_due || is_granted(proxy, &client, &refusal))
		return true;
	report(proxy, socket, connection, refusal.reason);
	count(proxy, refusal.end);
	endpoint_turn_away(connection);
	return false;
}

bool admission_grant_claimed(const struct proxy *proxy, const struct endpoint *sender,
			     const struct sfront_sockaddr *claimed, struct refusal *refusal)
{
	struct sfront_connection connection;
	struct access_client client;

	if (proxy->config.access.n == 0)
		return true;
	connection = endpoint_connection(sender);
	client = access_client_of(&connection);
	client.claimed = claimed;
	return is_granted(proxy, &client, refusal);
}

bool admission_trusts_tlvs(const struct proxy *proxy, const struct endpoint *sender)
{
	struct sfront_connection connection;
	struct access_client client;

	if (proxy->config.trusted_tlvs.n == 0)
		return false;
	connection = endpoint_connection(sender);
	client = access_client_of(&connection);
	return source_list_find(&proxy->config.trusted_tlvs, &client);
}
