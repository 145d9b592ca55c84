/* SPDX-License-Identifier: MIT */
/*
 * One line per connection, at its end: who, through what, to whom, how much,
 * how long, and why it ended.
 */
#ifndef DAEMON_SESSION_ACCESS_LOG_H
#define DAEMON_SESSION_ACCESS_LOG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection_id;
struct endpoint;
struct sfront_connection;
struct sfront_sockaddr;

/* What only the beginning of a connection can tell. */
struct access_note {
	uint64_t started_ms;     /* by the exact clock */
	struct in6_addr address; /* of an internet client, IPv4 mapped; else "::" */
	char texts[];            /* the id, NUL, the client */
};

/* What is said of a connection; the texts are borrowed. */
struct access_record {
	const char *id, *client, *listener, *backend;
	uint64_t up, down; /* bytes */
	uint64_t duration_ms;
	const char *reason;
};

/* For the caller to free; NULL: out of memory, the record will be without a duration. */
struct access_note *access_note_new(const struct sfront_connection *connection,
				    const struct connection_id *id);

/* The client turns out to be another.  Without memory, *@note stays as it is. */
void access_note_change(struct access_note **note, const struct sfront_connection *connection,
			const struct connection_id *id);

static inline const char *access_note_id(const struct access_note *note)
{
	return note->texts;
}

/* Who the client is.  Without a note the kernel is asked: its descriptors are to be open. */
void access_log_format_client(const struct access_note *note, const struct endpoint *client,
			      char *buf, size_t size);

/*
 * The internet address of the client, without its port.  As for access_log_format_client().
 * @ret's len is 0 where it has none.
 */
void access_note_address(const struct access_note *note, const struct endpoint *client,
			 struct sfront_sockaddr *ret);

/* How long it has lasted; 0 without a note. */
uint64_t access_note_age_ms(const struct access_note *note);

void access_log_write(const struct access_record *record);

#endif
