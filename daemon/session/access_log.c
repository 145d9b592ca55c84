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

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/relay/endpoint.h"

struct access_note *access_note_new(const struct sfront_connection *connection)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct access_note *note;

	sfront_connection_format(connection, text, sizeof(text));
	note = malloc(sizeof(*note) + strlen(text) + 1);
	if (!note)
		return NULL;
	note->started_ms = clock_exact_ms();
	strcpy(note->client, text);
	return note;
}

uint64_t access_note_age_ms(const struct access_note *note)
{
	return note ? clock_exact_ms() - note->started_ms : 0;
}

void access_log_format_client(const struct access_note *note, const struct endpoint *client,
			      char *buf, size_t size)
{
	struct sfront_connection connection = {
		.read_fd = client->read_fd,
		.write_fd = client->write_fd,
		.read_stream = (enum sfront_stream)client->read_stream,
		.write_stream = (enum sfront_stream)client->write_stream,
		.peer.len = sizeof(connection.peer.sa),
	};

	if (note) {
		snprintf(buf, size, "%s", note->client);
		return;
	}
	if (client->read_fd < 0 ||
	    getpeername(client->read_fd, &connection.peer.sa.any, &connection.peer.len) < 0)
		connection.peer.len = 0;
	sfront_connection_format(&connection, buf, size);
}

void access_log_write(const struct access_record *record)
{
	log_line(LOG_INFO,
		 "client=%s listener=%s backend=%s up=%llu down=%llu duration=%llu.%03llu "
		 "reason=\"%s\"",
		 record->client, record->listener, record->backend, (unsigned long long)record->up,
		 (unsigned long long)record->down, (unsigned long long)(record->duration_ms / 1000),
		 (unsigned long long)(record->duration_ms % 1000), record->reason);
}
