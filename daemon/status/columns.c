/* SPDX-License-Identifier: MIT */
/*
 * Text in columns: see columns.h.
 */
#include "daemon/status/columns.h"

#include <event2/buffer.h>
#include <stdio.h>

#include "daemon/base/utf8.h"

#define ELLIPSIS "\xe2\x80\xa6"

/* ---- texts ---- */

/* Of what takes one column: a character, or a byte that is part of none. */
static size_t step(const char *text)
{
	size_t length = utf8_length(text);

	return length > 0 ? length : 1;
}

size_t columns_count(const char *text)
{
	size_t n = 0;

	for (; *text; text += step(text))
		n++;
	return n;
}

static const char *skip(const char *text, size_t columns)
{
	while (columns-- > 0)
		text += step(text);
	return text;
}

static void put_columns(struct evbuffer *out, const char *text, size_t columns)
{
	for (; columns > 0; columns--) {
		if (utf8_is_harmless(text))
			evbuffer_add(out, text, step(text));
		else
			evbuffer_add(out, "?", 1);
		text += step(text);
	}
}

/* Both ends tell more than the middle: of a path the name of its file, of an address its port. */
static void put_ends(struct evbuffer *out, const char *text, size_t columns, size_t width)
{
	size_t left = width / 2, right = width - 1 - left;

	put_columns(out, text, left);
	evbuffer_add(out, ELLIPSIS, sizeof(ELLIPSIS) - 1);
	put_columns(out, skip(text, columns - right), right);
}

size_t columns_put(struct evbuffer *out, const char *text, size_t width)
{
	size_t columns = columns_count(text);

	if (columns <= width) {
		put_columns(out, text, columns);
		return columns;
	}
	if (width > 1)
		put_ends(out, text, columns, width);
	else
		put_columns(out, text, width);
	return width;
}

/* ---- numbers ---- */

/* Three digits at least, four at most; never more than there is: 1.99K is no 2K yet. */
static void format_scaled(uint64_t n, uint64_t unit, char buf[COLUMNS_NUMBER_SIZE])
{
	static const char letters[] = "KMGTPE";
	const char *letter = letters;
	uint64_t whole = n / unit, rest = n % unit;

	for (; whole >= unit && letter[1]; letter++) {
		rest = whole % unit;
		whole /= unit;
	}
	if (whole < 100)
		snprintf(buf, COLUMNS_NUMBER_SIZE, "%llu.%llu%c", (unsigned long long)whole,
			 (unsigned long long)(rest * 10 / unit), *letter);
	else
		snprintf(buf, COLUMNS_NUMBER_SIZE, "%llu%c", (unsigned long long)whole, *letter);
}

void columns_format_count(uint64_t n, size_t width, char buf[COLUMNS_NUMBER_SIZE])
{
	int length = snprintf(buf, COLUMNS_NUMBER_SIZE, "%llu", (unsigned long long)n);

	if ((size_t)length > width)
		format_scaled(n, 1000, buf);
}

void columns_format_bytes(uint64_t n, char buf[COLUMNS_NUMBER_SIZE])
{
	if (n < 1024)
		snprintf(buf, COLUMNS_NUMBER_SIZE, "%llu", (unsigned long long)n);
	else
		format_scaled(n, 1024, buf);
}

void columns_format_age(uint64_t seconds, char buf[COLUMNS_NUMBER_SIZE])
{
	unsigned long long minutes = seconds / 60, hours = minutes / 60;

	if (minutes == 0)
		snprintf(buf, COLUMNS_NUMBER_SIZE, "%llus", (unsigned long long)seconds);
	else if (hours == 0)
		snprintf(buf, COLUMNS_NUMBER_SIZE, "%llumin", minutes);
	else if (hours < 24)
		snprintf(buf, COLUMNS_NUMBER_SIZE, "%lluh %llumin", hours, minutes % 60);
	else
		snprintf(buf, COLUMNS_NUMBER_SIZE, "%llud %lluh", hours / 24, hours % 24);
}
