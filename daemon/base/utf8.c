/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 as RFC 3629 has it: see utf8.h.
 */
#include "daemon/base/utf8.h"

#include <stdbool.h>
#include <stdint.h>

/* The first character that takes so many bytes: what is below it has a shorter form. */
static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };

static size_t length_by_first(unsigned char first)
{
	if (first < 0x80)
		return first != 0;
	if (first >= 0xc2 && first < 0xe0)
		return 2;
	if (first >= 0xe0 && first < 0xf0)
		return 3;
	return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

static bool is_character(uint32_t value, size_t length)
{
	return value >= smallest[length] && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
}

size_t utf8_length(const char *text)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t length = length_by_first(bytes[0]);
	uint32_t value;

	if (length < 2)
		return length;
	value = bytes[0] & (0x7fU >> length);
	for (size_t i = 1; i < length; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (bytes[i] & 0x3fU);
	}
	return is_character(value, length) ? length : 0;
}
