/* SPDX-License-Identifier: MIT */
/*
 * Between acceptor.c and the rules of proxy/access.c: see admission.h.
 */
#include "daemon/worker/admission.h"

#include <stdio.h>
#include <sys/socket.h>

#include "daemon/backend/backend.h"
#include "daemon/base/log.h"
#include "daemon/proxy/access.h"
#include "daemon/proxy/proxy.h"
#include "daemon/session/access_log.h"

static void ask_user(struct access_client *client)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (client->peer.len == 0 || client->peer.sa.any.sa_family != AF_UNIX ||
	    getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return;
	client->has_uid = true;
	client->uid = peer.uid;
	client->gid = peer.gid;
}

static void format_reason(const struct source_rule *rule, char *buf, size_t size)
{
	char source[64];

	if (!rule) {
		snprintf(buf, size, "refused: no allow matches");
		return;
	}
	source_format(&rule->source, source, sizeof(source));
	snprintf(buf, size, "refused: deny %s", source);
}

/* The access log has each; the log without one hears of it once a second. */
static void report(const struct proxy *proxy, size_t socket,
		   const struct sfront_connection *connection, const char *reason)
{
	static struct log_limit limit;
	const char *listener = proxy_socket_at(proxy, socket)->text;
	char client[SFRONT_ADDRESS_TEXT_SIZE], held_back[64] = "";
	unsigned int dropped;

	sfront_connection_format(connection, client, sizeof(client));
	if (proxy->access_log) {
		access_log_write(&(struct access_record){
			.client = client,
			.listener = listener,
			.backend = backend_text(proxy->backend),
			.reason = reason,
		});
		return;
	}
	if (!log_wants(LOG_NOTICE) || !log_limit_passes(&limit, &dropped))
		return;
	if (dropped > 0)
		snprintf(held_back, sizeof(held_back), "; %u more were refused since the last line",
			 dropped);
	log_line(LOG_NOTICE, "%s: client %s %s%s", listener, client, reason, held_back);
}

static void turn_away(struct sfront_connection *connection)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (connection->write_stream == SFRONT_STREAM_TCP)
		(void)setsockopt(connection->write_fd, SOL_SOCKET, SO_LINGER, &reset,
				 sizeof(reset));
	sfront_connection_close(connection);
}

bool admission_grant(const struct proxy *proxy, size_t socket, struct sfront_connection *connection)
{
	struct access_client client = { .peer = connection->peer, .fd = connection->read_fd };
	const struct source_rule *rule;
	char reason[96];

	if (proxy->config.access.n == 0)
		return true;
	ask_user(&client);
	if (access_is_granted(&proxy->config.access, &client, &rule))
		return true;
	format_reason(rule, reason, sizeof(reason));
	report(proxy, socket, connection, reason);
	turn_away(connection);
	return false;
}
