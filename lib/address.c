/* SPDX-License-Identifier: MIT */
/*
 * Text to struct sfront_address and back.  Pure: nothing is looked up, no
 * system call is made; resolve.c does that.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "internal.h"

#define HOST_NAME_MAX_BYTES 253
#define CID_LOCAL           1
#define CID_HOST            2

/* What a parser says of an address that is none of its kind. */
#define NOT_MINE 1

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Fails with the address in front of the reason, cut short if it would crowd that out. */
__attribute__((format(printf, 4, 5))) static int refuse(struct sfront_error *err, int error,
							const char *text, const char *format, ...)
{
	const size_t most = 160;
	char reason[SFRONT_MESSAGE_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	return sfront_fail(err, error, "\"%.*s%s\": %.440s", (int)most, text,
			   strlen(text) > most ? "..." : "", reason);
}

static int parse_local(const char *text, const char *name, const char *what, enum sfront_kind kind,
		       struct sfront_address *ret, struct sfront_error *err)
{
	size_t len = strlen(name);

	if (len == 0)
		return refuse(err, -EINVAL, text, "an abstract socket needs a name after the @");
	if (len > SFRONT_PATH_MAX)
		return refuse(err, -ENAMETOOLONG, text, "%s has at most %d bytes, this one has %zu",
			      what, SFRONT_PATH_MAX, len);

	ret->kind = kind;
	memcpy(ret->u.local.name, name, len + 1);
	return 0;
}

static int parse_path(const char *text, struct sfront_address *ret, struct sfront_error *err)
{
	if (text[0] != '/' && text[0] != '.')
		return NOT_MINE;
	return parse_local(text, text, "the path of a UNIX socket", SFRONT_UNIX, ret, err);
}

static int parse_abstract(const char *text, struct sfront_address *ret, struct sfront_error *err)
{
	if (text[0] != '@')
		return NOT_MINE;
	return parse_local(text, text + 1, "the name of an abstract socket", SFRONT_ABSTRACT, ret,
			   err);
}

static int parse_inetd(const char *text, struct sfront_address *ret, struct sfront_error *err)
{
	(void)err;
	if (strcmp(text, "-") != 0 && strcasecmp(text, "inetd") != 0 &&
	    strcasecmp(text, "stdio") != 0)
		return NOT_MINE;

	ret->kind = SFRONT_INETD;
	return 0;
}

/* What follows @word and a colon; the end of @text for the word alone; NULL for neither. */
static const char *after(const char *text, const char *word)
{
	size_t len = strlen(word);

	if (strncasecmp(text, word, len) != 0)
		return NULL;
	if (text[len] == ':')
		return text + len + 1;
	return text[len] == '\0' ? text + len : NULL;
}

static int parse_sd_name(const char *text, const char *name, struct sfront_address *ret,
			 struct sfront_error *err)
{
	size_t len = strlen(name);

	if (len == 0)
		return refuse(err, -EINVAL, text,
			      "a name is missing after the colon: sd-listen:NAME, or sd-listen:* "
			      "for every inherited descriptor");
	if (len >= SFRONT_NAME_SIZE)
		return refuse(err, -ENAMETOOLONG, text,
			      "the name of a descriptor has at most %d bytes, this one has %zu",
			      SFRONT_NAME_SIZE - 1, len);

	if (strchr(name, ':'))
		return refuse(
			err, -EINVAL, text,
			"the name of a descriptor has no colon: LISTEN_FDNAMES has one between "
			"two names");

	ret->kind = SFRONT_SD_LISTEN;
	if (strcmp(name, "*") == 0) {
		ret->u.sd_listen.which = SFRONT_SD_LISTEN_ALL;
		return 0;
	}
	ret->u.sd_listen.which = SFRONT_SD_LISTEN_NAMED;
	memcpy(ret->u.sd_listen.name, name, len + 1);
	return 0;
}

static int parse_sd_listen(const char *text, struct sfront_address *ret, struct sfront_error *err)
{
	static const struct {
		const char *word;
		bool takes_name;
	} forms[] = {
		{ "sd-listen", true },
		{ "sd_listen", true },
		{ "sd-listen-unix", false },
		{ "sd_listen_unix", false },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		const char *name = after(text, forms[i].word);

		if (!name)
			continue;
		if (name[-1] == ':' && forms[i].takes_name)
			return parse_sd_name(text, name, ret, err);
		if (name[-1] == ':')
			return refuse(err, -EINVAL, text, "%s takes no name: use sd-listen:NAME",
				      forms[i].word);
		ret->kind = SFRONT_SD_LISTEN;
		ret->u.sd_listen.which = SFRONT_SD_LISTEN_FIRST;
		return 0;
	}
	return NOT_MINE;
}

static int parse_fd(const char *text, struct sfront_address *ret, struct sfront_error *err)
{
	const char *number = after(text, "accept-from-fd");
	uint64_t fd;

	if (!number)
		return NOT_MINE;
	if (sfront_parse_digits(number, strlen(number), &fd) < 0 || fd > INT_MAX)
		return refuse(err, -EINVAL, text,
			      "a descriptor's number is wanted: accept-from-fd:N, as in "
			      "accept-from-fd:3");

	ret->kind = SFRONT_FD;
	ret->u.fd.number = (int)fd;
	return 0;
}

static int parse_cid(const char *cid, size_t len, uint32_t *ret)
{
	static const struct {
		const char *word;
		uint32_t cid;
	} words[] = {
		{ "", SFRONT_CID_ANY },
		{ "any", SFRONT_CID_ANY },
		{ "host", CID_HOST },
		{ "local", CID_LOCAL },
	};
	uint64_t number;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (len == strlen(words[i].word) && strncasecmp(cid, words[i].word, len) == 0) {
			*ret = words[i].cid;
			return 0;
		}
	}
	if (sfront_parse_digits(cid, len, &number) < 0 || number > UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)number;
	return 0;
}

static int parse_vsock(const char *text, struct sfront_address *ret, struct sfront_error *err)
{
	const char *cid = after(text, "vsock"), *port;
	uint32_t number;
	uint64_t value;

	if (!cid)
		return NOT_MINE;
	port = strchr(cid, ':');
	if (!port)
		return refuse(err, -EINVAL, text,
			      "a vsock address is vsock:CID:PORT, as in vsock:any:5000");
	if (parse_cid(cid, (size_t)(port - cid), &number) < 0)
		return refuse(
			err, -EINVAL, text,
			"\"%.*s\" is not a CID: a number up to 4294967295, host, local, any or "
			"nothing",
			(int)(port - cid), cid);
	port++;
	if (sfront_parse_digits(port, strlen(port), &value) < 0 || value >= UINT32_MAX)
		return refuse(err, -EINVAL, text,
			      "\"%s\" is not a vsock port: a number from 0 to 4294967294", port);

	ret->kind = SFRONT_VSOCK;
	ret->u.vsock.cid = number;
	ret->u.vsock.port = (uint32_t)value;
	return 0;
}

static bool is_ipv6(const char *text)
{
	struct in6_addr addr;

	return inet_pton(AF_INET6, text, &addr) == 1;
}

static bool is_ipv4(const char *text)
{
	struct in_addr addr;

	return inet_pton(AF_INET, text, &addr) == 1;
}

static int parse_service(const char *text, const char *service, struct sfront_address *ret,
			 struct sfront_error *err)
{
	size_t len = strlen(service);
	bool has_letter = false, good = len > 0 && (is_letter(service[0]) || is_digit(service[0]));
	uint64_t port;
	int r;

	if (len == 0)
		return refuse(err, -EINVAL, text,
			      "a port is missing after the last colon: 0 to 65535, or a service");

	r = sfront_parse_digits(service, len, &port);
	if (r == -ERANGE || (r == 0 && port > 65535))
		return refuse(err, -EINVAL, text, "a port is a number from 0 to 65535");
	for (size_t i = 0; i < len && r < 0; i++) {
		has_letter |= is_letter(service[i]);
		good &= is_letter(service[i]) || is_digit(service[i]) ||
			(service[i] != '\0' && strchr("-_+.", service[i]));
	}
	if (r < 0 && !(good && has_letter))
		return refuse(err, -EINVAL, text,
			      "\"%s\" is not a port: digits only, 0 to 65535, or the name of a "
			      "service",
			      service);
	if (len >= SFRONT_SERVICE_SIZE)
		return refuse(err, -ENAMETOOLONG, text, "a port has at most %d bytes",
			      SFRONT_SERVICE_SIZE - 1);

	memcpy(ret->u.tcp.service, service, len + 1);
	return 0;
}

/* The interface after the '%' of an IPv6 address. */
static int parse_scope(const char *text, const char *scope, size_t len, struct sfront_address *ret,
		       struct sfront_error *err)
{
	if (len == 0 || len >= SFRONT_SCOPE_SIZE)
		return refuse(err, -EINVAL, text,
			      "an interface's name of 1 to %d bytes belongs after the %%",
			      SFRONT_SCOPE_SIZE - 1);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)scope[i] <= ' ' || strchr("/%[]", scope[i]))
			return refuse(err, -EINVAL, text, "no interface can have that name");

	memcpy(ret->u.tcp.scope, scope, len);
	ret->u.tcp.scope[len] = '\0';
	return 0;
}

/* [IPV6]:PORT or [IPV6%SCOPE]:PORT */
static int parse_bracketed(const char *text, struct sfront_address *ret, struct sfront_error *err)
{
	const char *end = strchr(text, ']'), *percent;
	size_t len;
	int r;

	if (!end)
		return refuse(err, -EINVAL, text, "the ] is missing: [IPV6]:PORT");
	if (end[1] != ':')
		return refuse(err, -EINVAL, text,
			      "a port is missing after the ]: [IPV6]:PORT, as in [::1]:8080");

	len = (size_t)(end - text) - 1;
	percent = memchr(text + 1, '%', len);
	if (percent) {
		r = parse_scope(text, percent + 1, (size_t)(end - percent) - 1, ret, err);
		if (r < 0)
			return r;
		len = (size_t)(percent - text) - 1;
	}
	if (len < SFRONT_HOST_SIZE) {
		memcpy(ret->u.tcp.host, text + 1, len);
		ret->u.tcp.host[len] = '\0';
	}
	if (len >= SFRONT_HOST_SIZE || !is_ipv6(ret->u.tcp.host))
		return refuse(err, -EINVAL, text,
			      "what is in brackets is not an IPv6 address (names and IPv4 "
			      "addresses have none)");

	return parse_service(text, end + 2, ret, err);
}

static bool is_host_name(const char *host)
{
	size_t label = 0;

	for (const char *p = host; *p != '\0'; p++) {
		if (*p == '.' && label == 0)
			return false;
		if (*p != '.' && !is_letter(*p) && !is_digit(*p) && *p != '-' && *p != '_')
			return false;
		label = *p == '.' ? 0 : label + 1;
	}
	return true;
}

/* "127.1", "0x7f.1", "256.1.1.1", "080": numbers, but not what everybody reads as one address. */
static bool is_number_like(const char *host)
{
	struct in_addr addr;

	return host[strspn(host, "0123456789.")] == '\0' || inet_aton(host, &addr) != 0;
}

static int parse_host(const char *text, const char *host, struct sfront_error *err)
{
	if (host[0] == '\0' || strcmp(host, "*") == 0 || is_ipv4(host))
		return 0;
	if (is_number_like(host))
		return refuse(err, -EINVAL, text,
			      "\"%s\" is not an IPv4 address: four numbers from 0 to 255 without "
			      "leading zeros",
			      host);
	if (!is_host_name(host))
		return refuse(
			err, -EINVAL, text,
			"\"%s\" is not a host: an IPv4 address, an IPv6 address in brackets, a "
			"name of letters, digits, '-', '_' and '.', or *",
			host);
	return 0;
}

/* Why there is no host and port in @text, as far as one can guess. */
static int refuse_portless(const char *text, struct sfront_error *err)
{
	uint64_t number;

	if (sfront_parse_digits(text, strlen(text), &number) != -EINVAL)
		return refuse(err, -EINVAL, text,
			      "an address is missing: use \":%.8s\" for that port on every address",
			      text);
	if (text[0] == '\0')
		return refuse(err, -EINVAL, text,
			      "an address is HOST:PORT, /path, ./path, @name, vsock:CID:PORT, "
			      "sd-listen, accept-from-fd:N or -");
	return refuse(err, -EINVAL, text,
		      "a port is missing: HOST:PORT (a UNIX path begins with / or ./, an abstract "
		      "name with @)");
}

static int parse_tcp(const char *text, struct sfront_address *ret, struct sfront_error *err)
{
	const char *colon = strrchr(text, ':');
	size_t len;
	int r;

	ret->kind = SFRONT_TCP;
	if (text[0] == '[')
		return parse_bracketed(text, ret, err);
	if (is_ipv6(text))
		return refuse(err, -EINVAL, text,
			      "an IPv6 address belongs in brackets, followed by a port: [%s]:PORT",
			      text);
	if (!colon)
		return refuse_portless(text, err);

	len = (size_t)(colon - text);
	if (memchr(text, ':', len))
		return refuse(err, -EINVAL, text,
			      "too many colons: an IPv6 address belongs in brackets, as in "
			      "[::1]:8080");
	if (len > HOST_NAME_MAX_BYTES + 1 || (len > HOST_NAME_MAX_BYTES && colon[-1] != '.'))
		return refuse(err, -ENAMETOOLONG, text, "a host name has at most %d bytes",
			      HOST_NAME_MAX_BYTES);

	memcpy(ret->u.tcp.host, text, len);
	ret->u.tcp.host[len] = '\0';
	r = parse_host(text, ret->u.tcp.host, err);
	if (r < 0)
		return r;
	return parse_service(text, colon + 1, ret, err);
}

int sfront_address_read(const char *text, struct sfront_address *ret_address,
			struct sfront_error *err)
{
	static int (*const parsers[])(const char *, struct sfront_address *,
				      struct sfront_error *) = {
		parse_path, parse_abstract, parse_inetd, parse_sd_listen,
		parse_fd,   parse_vsock,    parse_tcp,
	};
	struct sfront_address address = { .kind = SFRONT_KINDS };
	int r = NOT_MINE;

	for (size_t i = 0; i < sizeof(parsers) / sizeof(parsers[0]) && r == NOT_MINE; i++)
		r = parsers[i](text, &address, err);
	if (r == 0)
		*ret_address = address;
	return r;
}

int sfront_address_parse(const char *text, struct sfront_address *ret_address,
			 struct sfront_error *err)
{
	struct sfront_address address;
	int r = sfront_address_read(text, &address, err);
	int foreign = sfront_foreign_explain(text, r < 0, err);

	if (foreign < 0)
		return foreign;
	if (r == 0)
		*ret_address = address;
	return r;
}

bool sfront_address_is_every(const struct sfront_address *address)
{
	const char *host = address->u.tcp.host;

	return address->kind == SFRONT_TCP && (host[0] == '\0' || strcmp(host, "*") == 0);
}

bool sfront_address_is_literal(const struct sfront_address *address)
{
	const char *host = address->u.tcp.host;

	return address->kind == SFRONT_TCP &&
	       (sfront_address_is_every(address) || is_ipv4(host) || is_ipv6(host));
}

/* @size: room for any IPv6 address in brackets, and for any name */
static void format_host(const struct sfront_address *address, char *buf, size_t size)
{
	const char *host = address->u.tcp.host, *scope = address->u.tcp.scope;
	char literal[INET6_ADDRSTRLEN];
	struct in6_addr addr;
	size_t i;

	if (sfront_address_is_every(address)) {
		snprintf(buf, size, "*");
		return;
	}
	if (inet_pton(AF_INET6, host, &addr) == 1) {
		inet_ntop(AF_INET6, &addr, literal, sizeof(literal));
		snprintf(buf, size, "[%s%s%s]", literal, scope[0] ? "%" : "", scope);
		return;
	}
	for (i = 0; i + 1 < size && host[i] != '\0'; i++)
		buf[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] - 'A' + 'a' : host[i]);
	buf[i] = '\0';
}

static size_t format_tcp(const struct sfront_address *address, char *buf, size_t size)
{
	const char *service = address->u.tcp.service;
	char host[SFRONT_HOST_SIZE];

	format_host(address, host, sizeof(host));
	if (service[strspn(service, "0123456789")] == '\0')
		while (service[0] == '0' && service[1] != '\0')
			service++;
	return (size_t)snprintf(buf, size, "%s:%s", host, service);
}

static size_t format_vsock(const struct sfront_address *address, char *buf, size_t size)
{
	if (address->u.vsock.cid == SFRONT_CID_ANY)
		return (size_t)snprintf(buf, size, "vsock:any:%u", address->u.vsock.port);
	return (size_t)snprintf(buf, size, "vsock:%u:%u", address->u.vsock.cid,
				address->u.vsock.port);
}

static size_t format_sd_listen(const struct sfront_address *address, char *buf, size_t size)
{
	switch (address->u.sd_listen.which) {
	case SFRONT_SD_LISTEN_NAMED:
		return (size_t)snprintf(buf, size, "sd-listen:%s", address->u.sd_listen.name);
	case SFRONT_SD_LISTEN_ALL:
		return (size_t)snprintf(buf, size, "sd-listen:*");
	case SFRONT_SD_LISTEN_FIRST:
	default:
		return (size_t)snprintf(buf, size, "sd-listen");
	}
}

size_t sfront_address_format(const struct sfront_address *address, char *buf, size_t size)
{
	switch (address->kind) {
	case SFRONT_TCP:
		return format_tcp(address, buf, size);
	case SFRONT_UNIX:
		return (size_t)snprintf(buf, size, "%s", address->u.local.name);
	case SFRONT_ABSTRACT:
		return (size_t)snprintf(buf, size, "@%s", address->u.local.name);
	case SFRONT_VSOCK:
		return format_vsock(address, buf, size);
	case SFRONT_SD_LISTEN:
		return format_sd_listen(address, buf, size);
	case SFRONT_FD:
		return (size_t)snprintf(buf, size, "accept-from-fd:%d", address->u.fd.number);
	case SFRONT_INETD:
	case SFRONT_KINDS:
	default:
		return (size_t)snprintf(buf, size, "-");
	}
}

bool sfront_address_equal(const struct sfront_address *a, const struct sfront_address *b)
{
	char text_a[SFRONT_ADDRESS_TEXT_SIZE], text_b[SFRONT_ADDRESS_TEXT_SIZE];

	if (a->kind != b->kind)
		return false;
	if (a->kind == SFRONT_UNIX || a->kind == SFRONT_ABSTRACT)
		return strcmp(a->u.local.name, b->u.local.name) == 0;
	sfront_address_format(a, text_a, sizeof(text_a));
	sfront_address_format(b, text_b, sizeof(text_b));
	return strcmp(text_a, text_b) == 0;
}
