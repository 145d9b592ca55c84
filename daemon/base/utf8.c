/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 as RFC 3629 has it: see utf8.h.
 */
#include "daemon/base/utf8.h"

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

static size_t decode(const char *text, uint32_t *ret)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t length = length_by_first(bytes[0]);
	uint32_t value = bytes[0];

	if (length >= 2)
		value &= 0x7fU >> length;
	for (size_t i = 1; i < length; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (bytes[i] & 0x3fU);
	}
	*ret = value;
	return length < 2 || is_character(value, length) ? length : 0;
}

size_t utf8_length(const char *text)
{
	uint32_t value;

	return decode(text, &value);
}

bool utf8_is_harmless(const char *text)
{
	static const struct {
		uint32_t first, last;
	} harmful[] = {
		{ 0, 0x1f },        { 0x7f, 0x9f },     /* control characters */
		{ 0x61c, 0x61c },   { 0x200b, 0x200f }, /* without a width, and marks of direction
							 */
		{ 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0xfeff, 0xfeff },
	};
	uint32_t value;

	if (decode(text, &value) == 0)
		return false;
	for (size_t i = 0; i < sizeof(harmful) / sizeof(harmful[0]); i++)
		if (value >= harmful[i].first && value <= harmful[i].last)
			return false;
	return true;
}
