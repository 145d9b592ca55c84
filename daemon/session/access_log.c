/* SPDX-License-Identifier: MIT */
/*
 * The access log, written through log.c at LOG_INFO.
 */
#include "daemon/session/access_log.h"

#include <sockfront/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/relay/endpoint.h"
#include "daemon/session/connection_id.h"

struct access_note *access_note_new(const struct sfront_connection *connection,
				    const struct connection_id *id)
{
	char client[SFRONT_ADDRESS_TEXT_SIZE], id_text[CONNECTION_ID_TEXT_SIZE];
	struct access_note *note;

	sfront_connection_format(connection, client, sizeof(client));
	connection_id_format(id, id_text);
	note = malloc(sizeof(*note) + strlen(id_text) + 1 + strlen(client) + 1);
	if (!note)
		return NULL;
	note->started_ms = clock_exact_ms();
	strcpy(note->texts, id_text);
	strcpy(note->texts + strlen(id_text) + 1, client);
	return note;
}

void access_note_change(struct access_note **note, const struct sfront_connection *connection,
			const struct connection_id *id)
{
	struct access_note *changed = access_note_new(connection, id);

	if (!changed)
		return;
	if (*note)
		changed->started_ms = (*note)->started_ms;
	free(*note);
	*note = changed;
}

uint64_t access_note_age_ms(const struct access_note *note)
{
	return note ? clock_exact_ms() - note->started_ms : 0;
}

void access_log_format_client(const struct access_note *note, const struct endpoint *client,
			      char *buf, size_t size)
{
	struct sfront_connection connection;

	if (note) {
		snprintf(buf, size, "%s", note->texts + strlen(note->texts) + 1);
		return;
	}
	connection = endpoint_connection(client);
	sfront_connection_format(&connection, buf, size);
}

void access_log_write(const struct access_record *record)
{
	log_line(LOG_INFO,
		 "id=%s client=%s listener=%s backend=%s up=%llu down=%llu duration=%llu.%03llu "
		 "reason=\"%s\"",
		 record->id, record->client, record->listener, record->backend,
		 (unsigned long long)record->up, (unsigned long long)record->down,
		 (unsigned long long)(record->duration_ms / 1000),
		 (unsigned long long)(record->duration_ms % 1000), record->reason);
}
