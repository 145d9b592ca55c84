/* SPDX-License-Identifier: MIT */
/*
 * A record of the access log as text: logfmt, JSON, or the journal's own fields.  Whatever bytes
 * a name consists of, a strict reader gets back what was meant.
 */
#ifndef DAEMON_SESSION_ACCESS_FORMAT_H
#define DAEMON_SESSION_ACCESS_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* Room for each of them: no value takes more than 700 bytes, those that would are cut off. */
#define ACCESS_TEXT_SIZE 10000

/* Instead of a time: there is none. */
#define ACCESS_NEVER UINT64_MAX

/* What is said of a connection; the texts are borrowed. */
struct access_record {
	const char *id, *proxy, *client, *listener, *backend;
	uint64_t queued_us, connect_us; /* ACCESS_NEVER: no server has answered */
	uint64_t up, down;              /* bytes */
	uint64_t duration_ms;
	const char *reason;
};

/* Room for "2026-11-28T12:00:00.123Z". */
#define ACCESS_TIME_SIZE 32

/* The time now. */
void access_format_time(char buf[ACCESS_TIME_SIZE]);

/*
 * A line without its end, and its length.  A byte of a name that is not UTF-8 becomes the text
 * \xNN.
 *
 * @time: stands first in it; NULL: it stands elsewhere
 */
size_t access_format_logfmt(const struct access_record *record, const char *time,
			    char buf[ACCESS_TEXT_SIZE]);
size_t access_format_json(const struct access_record *record, const char *time,
			  char buf[ACCESS_TEXT_SIZE]);

/* A message of systemd.io/JOURNAL_NATIVE_PROTOCOL, which may hold any bytes; and its length. */
size_t access_format_journal(const struct access_record *record, char buf[ACCESS_TEXT_SIZE]);

#endif
