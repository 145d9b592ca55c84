/* SPDX-License-Identifier: MIT */
/*
 * The access log, written through log.c at LOG_INFO.
 */
#include "daemon/access_log.h"

#include <sockfront/listener.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/backend.h"
#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/proxy.h"
#include "daemon/service.h"
#include "daemon/session.h"
#include "daemon/worker.h"

void access_log_begin(struct session *session, const struct sfront_connection *connection)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	if (!session->worker->service->config.process.access_log)
		return;
	sfront_connection_format(connection, text, sizeof(text));
	session->client_text = strdup(text); /* without memory, the kernel is asked at the end */
	session->started_ms = clock_ms();
}

void access_log_format_client(const struct session *session, char *buf, size_t size)
{
	const struct end *client = &session->client;
	struct sfront_connection connection = {
		.read_fd = client->read_fd,
		.write_fd = client->write_fd,
		.read_stream = (enum sfront_stream)client->read_stream,
		.write_stream = (enum sfront_stream)client->write_stream,
		.peer.len = sizeof(connection.peer.sa),
	};

	if (session->client_text != NULL) {
		strncpy(buf, session->client_text, size - 1);
		buf[size - 1] = '\0';
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
	uint64_t ms;

	if (!session->worker->service->config.process.access_log)
		return;
	access_log_format_client(session, client, sizeof(client));
	ms = clock_ms() - session->started_ms;
	log_line(LOG_INFO,
		 "client=%s listener=%s backend=%s up=%llu down=%llu duration=%llu.%03llu "
		 "reason=\"%s\"",
		 client, session->proxy->socket_text[session->socket],
		 backend_text(session->proxy->backend), (unsigned long long)session->client.moved,
		 (unsigned long long)session->backend.moved, (unsigned long long)(ms / 1000),
		 (unsigned long long)(ms % 1000), reason);
}
