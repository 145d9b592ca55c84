/* SPDX-License-Identifier: MIT */
/*
 * Text into bytes: see bytes.h.
 */
#include "conf/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/refuse.h"

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* @text: behind "\x".  Returns -1 where there are no two digits. */
static int hex_byte(const char *text)
{
	int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);

	return low < 0 ? -1 : 16 * high + low;
}

/* The byte that @text stands for, from its backslash on; -1: none. */
static int unescape(const char *text, size_t *ret_length)
{
	*ret_length = text[1] == 'x' ? 4 : 2;
	switch (text[1]) {
	case 'r':
		return '\r';
	case 'n':
		return '\n';
	case 't':
		return '\t';
	case '0':
		return '\0';
	case '\\':
		return '\\';
	case 'x':
		return hex_byte(text + 2);
	default:
		return -1;
	}
}

/* @data: has room for all of @text */
static int fill(const char *text, char *data, size_t *ret_n, struct sfront_error *err)
{
	size_t n = 0, length;

	for (const char *from = text; *from; from += length) {
		int byte = (unsigned char)*from;

		length = 1;
		if (*from == '\\')
			byte = unescape(from, &length);
		if (byte < 0)
			return refuse(err, -EINVAL,
				      "\"%.200s\": \"%.4s\" means nothing; what begins with a "
				      "backslash is \\r, \\n, \\t, \\0, \\\\ or \\x and the two "
				      "digits of a byte",
				      text, from);
		data[n++] = (char)byte;
	}
	*ret_n = n;
	return 0;
}

int bytes_parse(const char *text, struct bytes *ret, struct sfront_error *err)
{
	struct bytes bytes = { .data = malloc(strlen(text) + 1) };
	int r;

	if (!bytes.data)
		return refuse(err, -ENOMEM, "out of memory");
	r = fill(text, bytes.data, &bytes.n, err);
	if (r == 0 && bytes.n == 0)
		r = refuse(err, -EINVAL, "the text is missing");
	if (r == 0 && bytes.n > BYTES_MAX)
		r = refuse(err, -E2BIG, "\"%.40s...\" is longer than %d bytes", text, BYTES_MAX);
	if (r < 0) {
		bytes_clear(&bytes);
		return r;
	}
	bytes_clear(ret);
	*ret = bytes;
	return 0;
}

int bytes_copy(const struct bytes *bytes, struct bytes *ret)
{
	*ret = (struct bytes){ 0 };
	if (!bytes->data)
		return 0;
	ret->data = malloc(bytes->n);
	if (!ret->data)
		return -ENOMEM;
	memcpy(ret->data, bytes->data, bytes->n);
	ret->n = bytes->n;
	return 0;
}

void bytes_clear(struct bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct bytes){ 0 };
}
