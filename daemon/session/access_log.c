/* SPDX-License-Identifier: MIT */
/*
 * The access log, written through log.c at LOG_INFO.
 */
#include "daemon/session/access_log.h"

#include <sockfront/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/backend/backend.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/proxy/proxy.h"
#include "daemon/session/session.h"

struct access_note *access_log_begin(const struct session *session,
				     const struct sfront_connection *connection)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct access_note *note;

	if (!session->proxy->access_log)
		return NULL;
	sfront_connection_format(connection, text, sizeof(text));
	note = malloc(sizeof(*note) + strlen(text) + 1);
	if (!note)
		return NULL; /* the kernel is asked again at the end; the duration is lost */
	note->started_ms = clock_exact_ms();
	strcpy(note->client, text);
	return note;
}

void access_log_format_client(const struct session *session, char *buf, size_t size)
{
	const struct endpoint *client = &session->client;
	struct sfront_connection connection = {
		.read_fd = client->read_fd,
		.write_fd = client->write_fd,
		.read_stream = (enum sfront_stream)client->read_stream,
		.write_stream = (enum sfront_stream)client->write_stream,
		.peer.len = sizeof(connection.peer.sa),
	};

	if (session->note) {
		snprintf(buf, size, "%s", session->note->client);
		return;
	}
	if (client->read_fd < 0 ||
	    getpeername(client->read_fd, &connection.peer.sa.any, &connection.peer.len) < 0)
		connection.peer.len = 0;
	sfront_connection_format(&connection, buf, size);
}

void access_log_session(const struct session *session, const char *reason)
{
	char client[SFRONT_ADDRESS_TEXT_SIZE];
	uint64_t ms = 0;

	if (!session->proxy->access_log)
		return;
	access_log_format_client(session, client, sizeof(client));
	if (session->note)
		ms = clock_exact_ms() - session->note->started_ms;
	log_line(LOG_INFO,
		 "client=%s listener=%s backend=%s up=%llu down=%llu duration=%llu.%03llu "
		 "reason=\"%s\"",
		 client, proxy_socket_at(session->proxy, session->socket)->text,
		 backend_text(session->proxy->backend), (unsigned long long)session->client.moved,
		 (unsigned long long)session->backend.moved, (unsigned long long)(ms / 1000),
		 (unsigned long long)(ms % 1000), reason);
}
