/* SPDX-License-Identifier: MIT */
/*
 * Pieces of JSON.
 */
#ifndef DAEMON_STATUS_JSON_H
#define DAEMON_STATUS_JSON_H

struct evbuffer;

/*
 * A string with its quotes.  Bytes that are not UTF-8 become U+FFFD; "<" is escaped, so that
 * the text is none of a page's, wherever it is put.
 */
void json_put_string(struct evbuffer *out, const char *text);

/* "name": before a value; @separator: "" or "," */
void json_put_name(struct evbuffer *out, const char *separator, const char *name);

/* "name":"text", and "name":null without one. */
void json_put_text(struct evbuffer *out, const char *separator, const char *name, const char *text);

/* "name":1, exactly as printed: of @name and numbers nobody else chooses the text. */
void json_put_number(struct evbuffer *out, const char *separator, const char *name,
		     unsigned long long number);

/* To the microsecond. */
void json_put_seconds(struct evbuffer *out, const char *separator, const char *name,
		      double seconds);

#endif
