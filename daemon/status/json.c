/* SPDX-License-Identifier: MIT */
/*
 * Pieces of JSON: see json.h.
 */
#include "daemon/status/json.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <string.h>

#include "daemon/base/utf8.h"

static bool is_plain(char c)
{
	return (unsigned char)c >= 0x20 && c != '"' && c != '\\' && c != '<' && c != 0x7f;
}

static void put_special(struct evbuffer *out, char c)
{
	if (c == '"' || c == '\\')
		evbuffer_add_printf(out, "\\%c", c);
	else
		evbuffer_add_printf(out, "\\u%04x", (unsigned int)(unsigned char)c);
}

/* As much as needs no escape, in one piece. */
static size_t plain_length(const char *text)
{
	size_t n = 0, length;

	while ((length = utf8_length(text + n)) > 0 && (length > 1 || is_plain(text[n])))
		n += length;
	return n;
}

void json_put_string(struct evbuffer *out, const char *text)
{
	evbuffer_add(out, "\"", 1);
	while (*text) {
		size_t n = plain_length(text);

		evbuffer_add(out, text, n);
		text += n;
		if (!*text)
			break;
		if (utf8_length(text) == 0)
			evbuffer_add(out, "\xef\xbf\xbd", 3);
		else
			put_special(out, *text);
		text++;
	}
	evbuffer_add(out, "\"", 1);
}

void json_put_name(struct evbuffer *out, const char *separator, const char *name)
{
	evbuffer_add_printf(out, "%s\"%s\":", separator, name);
}

void json_put_text(struct evbuffer *out, const char *separator, const char *name, const char *text)
{
	json_put_name(out, separator, name);
	if (text)
		json_put_string(out, text);
	else
		evbuffer_add(out, "null", 4);
}

void json_put_number(struct evbuffer *out, const char *separator, const char *name,
		     unsigned long long number)
{
	evbuffer_add_printf(out, "%s\"%s\":%llu", separator, name, number);
}

void json_put_seconds(struct evbuffer *out, const char *separator, const char *name, double seconds)
{
	evbuffer_add_printf(out, "%s\"%s\":%.6f", separator, name, seconds);
}
