/* SPDX-License-Identifier: MIT */
/*
 * Text inside HTML.
 */
#ifndef DAEMON_STATUS_MARKUP_H
#define DAEMON_STATUS_MARKUP_H

struct evbuffer;

/* Appends markup as it is. */
void markup_add(struct evbuffer *out, const char *markup);

/*
 * Appends any bytes as text, never as markup, between tags or in a quoted attribute.  Bytes
 * that are no UTF-8, and control characters, become U+FFFD.
 */
void markup_add_text(struct evbuffer *out, const char *text);

#endif
