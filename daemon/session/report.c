/* SPDX-License-Identifier: MIT */
/*
 * Lines about a session: see report.h.  Between session.c and the two logs.
 */
#include "daemon/session/report.h"

#include <stdio.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/connect.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/proxy/proxy.h"
#include "daemon/session/access_log.h"
#include "daemon/session/host.h"
#include "daemon/session/state.h"
#include "daemon/session/story.h"

/* A header that was sent before the client's bytes is on its way too, and is not counted. */
static uint64_t without(uint64_t moved, uint64_t undelivered)
{
	return undelivered < moved ? moved - undelivered : 0;
}

void report_connected(const struct session *session, const struct outcome *outcome)
{
	story_connected(session, outcome);
	if (!session->note)
		return;
	session->note->queued_us = outcome->queued_us;
	session->note->connect_us = outcome->connect_us;
}

static uint64_t age_ms(const struct session *session)
{
	return session->began_us > 0 ? (clock_exact_us() - session->began_us) / 1000 : 0;
}

/* @backend: of a session that has no server yet */
static void log_end(const struct session *session, const struct backend *backend, bool reset,
		    const char *reason)
{
	const struct access_note *note = session->note;
	char client[SFRONT_ADDRESS_TEXT_SIZE];
	struct access_record record = {
		.id = note ? access_note_id(note) : "-",
		.proxy = session->proxy->config.name,
		.client = client,
		.listener = proxy_socket_at(session->proxy, session->socket)->text,
		.backend = session->server ? session->server->text : backend_word(backend),
		.queued_us = note ? note->queued_us : ACCESS_NEVER,
		.connect_us = note ? note->connect_us : ACCESS_NEVER,
		.up = session->client.moved,
		.down = session->backend.moved,
		.duration_ms = age_ms(session),
		.reason = reason,
	};

	if (reset) {
		record.up = without(record.up, endpoint_undelivered(&session->backend));
		record.down = without(record.down, endpoint_undelivered(&session->client));
	}
	access_log_format_client(note, &session->client, client, sizeof(client));
	access_log_write(&record, session->proxy->access_log);
}

void report_end(const struct session *session, bool reset, const char *reason)
{
	struct backend *backend;

	story_ended(session, reason);
	if (session->proxy->access_log == ACCESS_LOG_NO)
		return;
	backend = session->server ? NULL : proxy_configured_backend(session->proxy);
	log_end(session, backend, reset, reason);
	backend_unref(backend);
}

static void log_failure(const struct session *session, const struct backend *backend,
			const char *reason)
{
	static struct log_limit limit;
	char client[SFRONT_ADDRESS_TEXT_SIZE];
	unsigned int dropped;

	if (session->single) {
		session->host->ops->failed(session->host);
		log_line(LOG_ERR, "connection to %s: %s", backend_text(backend), reason);
		return;
	}
	if (!log_wants(LOG_WARNING) || !log_limit_passes(&limit, &dropped))
		return;
	access_log_format_client(session->note, &session->client, client, sizeof(client));
	log_line(LOG_WARNING, "backend %s: %s (client %s, listener %s%s)", backend_text(backend),
		 reason, client, proxy_socket_at(session->proxy, session->socket)->text,
		 dropped > 0 ? "; similar messages were held back" : "");
}

/* Over a reload the client has gone on to another one. */
void report_failure(const struct session *session, const char *reason)
{
	struct backend *backend = proxy_configured_backend(session->proxy);

	log_failure(session, backend, reason);
	backend_unref(backend);
}

void report_turned_away(const struct proxy *proxy, size_t socket, const char *client,
			const char *reason)
{
	static struct log_limit limit;
	char held_back[64] = "";
	unsigned int dropped;

	if (proxy->access_log || !log_wants(LOG_NOTICE) || !log_limit_passes(&limit, &dropped))
		return;
	if (dropped > 0)
		snprintf(held_back, sizeof(held_back), "; %u more were refused since the last line",
			 dropped);
	log_line(LOG_NOTICE, "%s: client %s %s%s", proxy_socket_at(proxy, socket)->text, client,
		 reason, held_back);
}

void report_refusal(const struct session *session, const char *reason)
{
	char client[SFRONT_ADDRESS_TEXT_SIZE];

	access_log_format_client(session->note, &session->client, client, sizeof(client));
	if (!session->single) {
		report_turned_away(session->proxy, session->socket, client, reason);
		return;
	}
	session->host->ops->failed(session->host);
	log_line(LOG_ERR, "%s: client %s %s",
		 proxy_socket_at(session->proxy, session->socket)->text, client, reason);
}
