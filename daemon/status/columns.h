/* SPDX-License-Identifier: MIT */
/*
 * Text in the columns of a terminal, a column for each character.  What others have chosen is
 * shown, and never obeyed.
 */
#ifndef DAEMON_STATUS_COLUMNS_H
#define DAEMON_STATUS_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

struct evbuffer;

#define COLUMNS_UNBOUNDED SIZE_MAX

/* How many columns the text takes. */
size_t columns_count(const char *text);

/*
 * Appends the text, of which something in the middle is left out if it takes more than @width
 * columns.  "?" stands for what a terminal would obey, and for bytes that are not UTF-8.
 *
 * Returns how many columns it takes.
 */
size_t columns_put(struct evbuffer *out, const char *text, size_t width);

/* Room for any of these, with the final NUL. */
#define COLUMNS_NUMBER_SIZE 24

/* "1200"; in units of a thousand ("12.3M") where that takes more than @width columns, of 5 up. */
void columns_format_count(uint64_t n, size_t width, char buf[COLUMNS_NUMBER_SIZE]);

/* "512", "12.1K", "1023M": in units of 1024, in 5 columns. */
void columns_format_bytes(uint64_t n, char buf[COLUMNS_NUMBER_SIZE]);

/* "59s", "2h 5min", "3d 0h" */
void columns_format_age(uint64_t seconds, char buf[COLUMNS_NUMBER_SIZE]);

#endif
