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

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

static struct in6_addr to_in6(const struct sfront_sockaddr *addr)
{
	struct in6_addr in6 = IN6ADDR_ANY_INIT;

	if (addr->len > 0 && addr->sa.any.sa_family == AF_INET6) {
		in6 = addr->sa.in6.sin6_addr;
	} else if (addr->len > 0 && addr->sa.any.sa_family == AF_INET) {
		memcpy(&in6.s6_addr[0], mapped, sizeof(mapped));
		memcpy(&in6.s6_addr[12], &addr->sa.in.sin_addr, 4);
	}
	return in6;
}

static void from_in6(const struct in6_addr *in6, struct sfront_sockaddr *ret)
{
	*ret = (struct sfront_sockaddr){ 0 };
	if (IN6_IS_ADDR_UNSPECIFIED(in6))
		return;
	if (IN6_IS_ADDR_V4MAPPED(in6)) {
		ret->sa.in.sin_family = AF_INET;
		memcpy(&ret->sa.in.sin_addr, &in6->s6_addr[12], 4);
		ret->len = sizeof(ret->sa.in);
	} else {
		ret->sa.in6.sin6_family = AF_INET6;
		ret->sa.in6.sin6_addr = *in6;
		ret->len = sizeof(ret->sa.in6);
	}
}

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
	note->address = to_in6(&connection->peer);
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

void access_note_address(const struct access_note *note, const struct endpoint *client,
			 struct sfront_sockaddr *ret)
{
	struct sfront_connection connection;
	struct in6_addr in6;

	if (note) {
		in6 = note->address;
	} else {
		connection = endpoint_connection(client);
		in6 = to_in6(&connection.peer);
	}
	from_in6(&in6, ret);
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
