/* SPDX-License-Identifier: MIT */
/*
 * Text inside HTML: see markup.h.
 */
#include "daemon/status/markup.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <string.h>

#include "daemon/base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd"

void markup_add(struct evbuffer *out, const char *markup)
{
	evbuffer_add(out, markup, strlen(markup));
}

static const char *entity_of(char byte)
{
	switch (byte) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

static bool is_control(unsigned char byte)
{
	return byte < 0x20 || byte == 0x7f;
}

/* How many bytes from @text on can stand as they are. */
static size_t plain_length(const char *text)
{
	size_t length = 0, character;

	while ((character = utf8_length(text + length)) > 0) {
		if (is_control((unsigned char)text[length]) || entity_of(text[length]))
			break;
		length += character;
	}
	return length;
}

void markup_add_text(struct evbuffer *out, const char *text)
{
	while (*text) {
		size_t plain = plain_length(text);
		const char *entity = entity_of(text[plain]);

		evbuffer_add(out, text, plain);
		text += plain;
		if (*text == '\0')
			break;
		markup_add(out, entity ? entity : REPLACEMENT);
		text++;
	}
}
