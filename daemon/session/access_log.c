/* SPDX-License-Identifier: MIT */
/*
 * What the access log knows of a connection, and where its line goes: see access_log.h.
 */
#include "daemon/session/access_log.h"

#include <sockfront/listener.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/relay/endpoint.h"
#include "daemon/session/access_file.h"
#include "daemon/session/access_journal.h"
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
	note->queued_us = ACCESS_NEVER;
	note->connect_us = ACCESS_NEVER;
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
	free(*note);
	*note = changed;
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

/* ---- lines ---- */

int access_log_prepare(const struct process_config *config, struct sfront_error *err)
{
	bool has_file =
		config->access_log == ACCESS_LOG_LOGFMT || config->access_log == ACCESS_LOG_JSON;
	int r = 0;

	if (config->access_log == ACCESS_LOG_JOURNAL)
		r = access_journal_prepare(err);
	if (r < 0)
		return r;
	return access_file_prepare(has_file ? config->access_log_file : "", err);
}

void access_log_commit(const struct process_config *config)
{
	access_file_commit();
	access_journal_commit();
	if (config->access_log == ACCESS_LOG_NO && *config->access_log_file)
		log_line(LOG_WARNING,
			 "access-log-file %s: nothing is written there without access-log = yes",
			 config->access_log_file);
}

void access_log_discard(void)
{
	access_file_discard();
	access_journal_discard();
}

static size_t format(const struct access_record *record, enum access_log form, const char *time,
		     char buf[ACCESS_TEXT_SIZE])
{
	return form == ACCESS_LOG_JSON ? access_format_json(record, time, buf)
				       : access_format_logfmt(record, time, buf);
}

/* False: there is no file. */
static bool write_to_file(const struct access_record *record, enum access_log form)
{
	char time[ACCESS_TIME_SIZE], line[ACCESS_TEXT_SIZE];
	size_t len;

	if (!access_file_is_open())
		return false;
	access_format_time(time);
	len = format(record, form, time, line);
	line[len++] = '\n';
	return access_file_write(line, len);
}

static void write_to_log(const struct access_record *record, enum access_log form)
{
	char text[ACCESS_TEXT_SIZE];

	if (!log_wants(LOG_INFO))
		return;
	(void)format(record, form, NULL, text);
	log_record(text, form == ACCESS_LOG_JSON);
}

void access_log_write(const struct access_record *record, enum access_log form)
{
	if (form == ACCESS_LOG_JOURNAL)
		access_journal_write(record);
	else if (!write_to_file(record, form))
		write_to_log(record, form);
}
