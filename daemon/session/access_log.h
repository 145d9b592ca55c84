/* SPDX-License-Identifier: MIT */
/*
 * One line per connection, at its end: who, through what, to whom, how much,
 * how long, and why it ended.  Where it goes: the log, a file (access_file.h), the journal
 * (access_journal.h).
 */
#ifndef DAEMON_SESSION_ACCESS_LOG_H
#define DAEMON_SESSION_ACCESS_LOG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "daemon/session/access_format.h"

struct connection_id;
struct endpoint;
struct sfront_connection;
struct sfront_error;
struct sfront_sockaddr;

/* What only the beginning of a connection can tell. */
struct access_note {
	uint64_t queued_us, connect_us; /* see struct outcome; ACCESS_NEVER: not yet */
	struct in6_addr address;        /* of an internet client, IPv4 mapped; else "::" */
	char texts[];                   /* the id, NUL, the client */
};

/* For the caller to free; NULL: out of memory, the record will be without an id. */
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

/*
 * Opens what the lines of that configuration need, for access_log_commit() or
 * access_log_discard(), of which one follows.  Returns 0, or -errno with @err saying why.
 */
int access_log_prepare(const struct process_config *config, struct sfront_error *err);

/* Lines go there from now on. */
void access_log_commit(const struct process_config *config);
void access_log_discard(void);

/* Any thread. */
void access_log_write(const struct access_record *record, enum access_log form);

#endif
