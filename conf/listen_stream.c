/* SPDX-License-Identifier: MIT */
/*
 * Addresses in the words of systemd.socket(5): see listen_stream.h.
 */
#include "conf/listen_stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "conf/refuse.h"

static bool is_every(const char *host)
{
	return !*host || strcmp(host, "*") == 0;
}

/* Of every address, the port alone: [::], or 0.0.0.0 where the machine has no IPv6. */
static int format_tcp(const struct sfront_address *address, char *buf, struct sfront_error *err)
{
	const char *host = address->u.tcp.host, *scope = address->u.tcp.scope;
	uint16_t port;
	int r;

	if (!sfront_address_is_literal(address))
		return refuse(err, -EINVAL,
			      "systemd resolves no host name; write the address itself, such as "
			      "127.0.0.1");
	r = sfront_address_port(address, &port, err);
	if (r < 0)
		return r;
	if (port == 0)
		return refuse(err, -EINVAL, "port 0 is any free one, and no unit can name it");
	if (is_every(host))
		snprintf(buf, LISTEN_STREAM_SIZE, "%u", port);
	else if (strchr(host, ':'))
		snprintf(buf, LISTEN_STREAM_SIZE, "[%s]:%u%s%s", host, port, *scope ? "%%" : "",
			 scope);
	else
		snprintf(buf, LISTEN_STREAM_SIZE, "%s:%u", host, port);
	return 0;
}

/* The length of a character of more than one byte; 0: this is none. */
static size_t length_of(const unsigned char *text)
{
	size_t length = *text >= 0xf0 ? 4 : *text >= 0xe0 ? 3 : 2;

	if (*text < 0xc2 || *text > 0xf4 || (*text == 0xe0 && text[1] < 0xa0) ||
	    (*text == 0xed && text[1] > 0x9f) || (*text == 0xf0 && text[1] < 0x90) ||
	    (*text == 0xf4 && text[1] > 0x8f))
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

/* systemd reads lines of UTF-8, in which a backslash at the end joins the next one. */
static bool is_line_of_a_unit(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	while (*at) {
		size_t length = *at < 0x80 ? (*at > 0x1f && *at != 0x7f) : length_of(at);

		if (length == 0)
			return false;
		at += length;
	}
	return at > (const unsigned char *)text && at[-1] != '\\' && at[-1] != ' ';
}

static int format_name(const struct sfront_address *address, char *buf, struct sfront_error *err)
{
	const char *name = address->u.local.name;

	if (address->kind == SFRONT_UNIX && *name != '/')
		return refuse(err, -EINVAL, "systemd takes no relative path; write it from / on");
	if (!is_line_of_a_unit(name))
		return refuse(err, -EINVAL, "a unit cannot hold these bytes");
	if (address->kind == SFRONT_ABSTRACT)
		*buf++ = '@';
	for (; *name; name++) {
		*buf++ = *name;
		if (*name == '%')
			*buf++ = '%';
	}
	*buf = '\0';
	return 0;
}

static int format_vsock(const struct sfront_address *address, char *buf, struct sfront_error *err)
{
	if (address->u.vsock.port == 0)
		return refuse(err, -EINVAL, "port 0 is any free one, and no unit can name it");
	if (address->u.vsock.cid == SFRONT_CID_ANY)
		snprintf(buf, LISTEN_STREAM_SIZE, "vsock::%u", address->u.vsock.port);
	else
		snprintf(buf, LISTEN_STREAM_SIZE, "vsock:%u:%u", address->u.vsock.cid,
			 address->u.vsock.port);
	return 0;
}

int listen_stream_format(const struct sfront_address *address, char *buf, struct sfront_error *err)
{
	switch (address->kind) {
	case SFRONT_TCP:
		return format_tcp(address, buf, err);
	case SFRONT_UNIX:
	case SFRONT_ABSTRACT:
		return format_name(address, buf, err);
	case SFRONT_VSOCK:
		return format_vsock(address, buf, err);
	default:
		return refuse(err, -EINVAL, "it says nothing of an address");
	}
}
