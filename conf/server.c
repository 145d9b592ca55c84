/* SPDX-License-Identifier: MIT */
/*
 * Lines of backend, to data and back: see server.h.
 */
#include "conf/server.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <sockfront/value.h>

#include "conf/port_range.h"
#include "conf/refuse.h"

#define KINDS                                                                   \
	"a backend is HOST:PORT (such as 127.0.0.1:8080), a UNIX path, @NAME, " \
	"vsock:CID:PORT, vsock-mux:PATH:PORT or srv:NAME"
#define BLANKS " \t"

/* ---- bytes that cannot stand for themselves ---- */

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* The byte that @text stands for, from its backslash on; -1: none. */
static int unescape_one(const char *text, size_t *ret_length)
{
	int high, low;

	*ret_length = text[1] == '\\' ? 2 : 4;
	if (text[1] == '\\')
		return '\\';
	if (text[1] != 'x')
		return -1;
	high = hex_digit(text[2]);
	low = high < 0 ? -1 : hex_digit(text[3]);
	return low < 0 || high + low == 0 ? -1 : 16 * high + low;
}

/* @word: changed in place; @text: what it was */
static int unescape(char *word, const char *text, struct sfront_error *err)
{
	char *to = word;

	for (const char *from = word; *from;) {
		size_t length = 1;
		int byte = *from == '\\' ? unescape_one(from, &length) : (unsigned char)*from;

		if (byte < 0)
			return refuse(err, -EINVAL,
				      "\"%.200s\": a backslash is followed by another one, or by x "
				      "and the two digits of a byte (\\x20 is a blank)",
				      text);
		*to++ = (char)byte;
		from += length;
	}
	*to = '\0';
	return 0;
}

static bool needs_escape(unsigned char byte)
{
	return byte <= ' ' || byte == '\\' || byte == 0x7f;
}

/* Adds @text at @length.  Returns the length of the whole. */
static size_t escape(const char *text, char *buf, size_t size, size_t length)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;
		char piece[5];

		if (byte == '\\')
			snprintf(piece, sizeof(piece), "\\\\");
		else
			snprintf(piece, sizeof(piece), needs_escape(byte) ? "\\x%02x" : "%c", byte);
		if (length < size)
			snprintf(buf + length, size - length, "%s", piece);
		length += strlen(piece);
	}
	return length;
}

/* ---- addresses ---- */

static int check_tcp(const char *text, const struct sfront_address *address,
		     struct sfront_error *err)
{
	const char *host = address->u.tcp.host, *service = address->u.tcp.service;

	if (!*host || strcmp(host, "*") == 0)
		return refuse(err, -EINVAL, "\"%s\" names no host; " KINDS, text);
	if (strspn(service, "0") == strlen(service))
		return refuse(err, -EINVAL, "\"%s\": nothing can be reached on port 0; " KINDS,
			      text);
	return 0;
}

static int check_vsock(const char *text, const struct sfront_address *address,
		       struct sfront_error *err)
{
	if (address->u.vsock.cid == SFRONT_CID_ANY)
		return refuse(err, -EINVAL,
			      "\"%s\" names no machine: a CID is a number, host or local", text);
	if (address->u.vsock.port == 0)
		return refuse(err, -EINVAL, "\"%s\": nothing can be reached on port 0", text);
	return 0;
}

static int check_kind(const char *text, const struct sfront_address *address,
		      struct sfront_error *err)
{
	switch (address->kind) {
	case SFRONT_TCP:
		return check_tcp(text, address, err);
	case SFRONT_VSOCK:
		return check_vsock(text, address, err);
	case SFRONT_UNIX:
	case SFRONT_ABSTRACT:
		return 0;
	case SFRONT_INETD:
		return refuse(err, -EINVAL, "\"%s\" is stdin and stdout; " KINDS, text);
	case SFRONT_SD_LISTEN:
	case SFRONT_FD:
	case SFRONT_KINDS:
		break;
	}
	return refuse(err, -EINVAL, "\"%s\" is an inherited descriptor; " KINDS, text);
}

/* @address: as others write it, but for its notation.  Returns whether it can be a backend. */
static bool make_backend(const char *address, struct server_config *server)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE + sizeof("127.0.0.1")];

	*server = (struct server_config){ .weight = 1 };
	/* Nobody connects to every address: the service is on this machine. */
	snprintf(text, sizeof(text), "%s%s", *address == ':' ? "127.0.0.1" : "", address);
	return sfront_address_parse(text, &server->address, NULL) == 0 &&
	       check_kind(text, &server->address, NULL) == 0;
}

/* What cannot be read at all.  @r, @err: what was said of it as an address to listen on */
static int refuse_text(const char *text, int r, struct sfront_error *err)
{
	char address[SFRONT_ADDRESS_TEXT_SIZE], better[SERVER_TEXT_SIZE];
	struct server_config server;
	bool is_foreign = sfront_address_suggest(text, address, sizeof(address)) > 0;

	if (is_foreign && make_backend(address, &server)) {
		server_format(&server, better, sizeof(better));
		return refuse(err, r,
			      "\"%.160s\" is not how a backend is written here: write \"%.300s\"",
			      text, better);
	}
	if (is_foreign)
		return refuse(err, r, "\"%.200s\" is no backend; " KINDS, text);
	if (!strchr(text, ':') && !strchr("./@", *text))
		return refuse(err, r, "\"%.200s\" is no address with a port; " KINDS, text);
	return r;
}

static int parse_address(const char *text, struct server_config *server, struct sfront_error *err)
{
	int r = port_range_parse(text, &server->address, &server->further, err);

	return r < 0 ? refuse_text(text, r, err) : check_kind(text, &server->address, err);
}

#define MUX "vsock-mux:"

/* @text: behind its first word: PATH:PORT */
static int parse_mux(char *text, struct server_config *server, struct sfront_error *err)
{
	char *colon = strrchr(text, ':');
	uint64_t port;

	if (!colon || (*text != '/' && *text != '.'))
		return refuse(
			err, -EINVAL,
			"\"" MUX "%.200s\": what is wanted is " MUX "PATH:PORT, the UNIX "
			"socket of a hypervisor and a port in its virtual machine, such as " MUX
			"/run/vm.vsock:5000",
			text);
	if (sfront_parse_count(colon + 1, 1, UINT32_MAX - 1, &port, NULL) < 0)
		return refuse(err, -EINVAL,
			      "\"" MUX
			      "%.200s\": \"%.40s\" is not a vsock port: a number from 1 to "
			      "4294967294",
			      text, colon + 1);
	*colon = '\0';
	server->mux_port = (uint32_t)port;
	return sfront_address_parse(text, &server->address, err);
}

#define SRV "srv:"

/* Not a host with that name, and its port: the name of a service has a dot at least. */
static bool is_srv(const char *text)
{
	return strncmp(text, SRV, strlen(SRV)) == 0 && strchr(text, '.');
}

/* @text: behind its first word */
static int parse_srv(const char *text, struct server_config *server, struct sfront_error *err)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	char *host = server->address.u.tcp.host;

	if (!*text || strspn(text, letters) != strlen(text) ||
	    strlen(text) >= sizeof(server->address.u.tcp.host))
		return refuse(err, -EINVAL,
			      "\"" SRV "%.200s\": what is wanted is the name of SRV records, such "
			      "as " SRV "_postgresql._tcp.example.org, without a port",
			      text);
	server->address = (struct sfront_address){ .kind = SFRONT_TCP };
	server->is_srv = true;
	strcpy(host, text);
	return 0;
}

/* ---- what stands behind the address ---- */

#define WORDS "weight=N, max=N and backup"

static int parse_weight(const char *value, struct server_config *server, struct sfront_error *err)
{
	uint64_t n;

	if (sfront_parse_count(value, 1, SERVER_WEIGHT_MAX, &n, NULL) < 0)
		return refuse(err, -ERANGE, "\"weight=%.40s\": a weight is a number from 1 to %d",
			      value, SERVER_WEIGHT_MAX);
	server->weight = (unsigned int)n;
	server->has_weight = true;
	return 0;
}

static int parse_max(const char *value, struct server_config *server, struct sfront_error *err)
{
	if (sfront_parse_count(value, 1, INT32_MAX, &server->max, NULL) < 0)
		return refuse(err, -ERANGE,
			      "\"max=%.40s\": how many connections at once is a number from 1 on",
			      value);
	return 0;
}

/* @text: the line */
static int parse_word(const char *word, const char *text, struct server_config *server,
		      struct sfront_error *err)
{
	if (strncmp(word, "weight=", 7) == 0)
		return parse_weight(word + 7, server, err);
	if (strncmp(word, "max=", 4) == 0)
		return parse_max(word + 4, server, err);
	if (strcmp(word, "backup") != 0)
		return refuse(err, -EINVAL,
			      "\"%.200s\": unknown word \"%.100s\"; after the address there "
			      "may be " WORDS " (a blank in a path is \\x20)",
			      text, word);
	server->is_backup = true;
	return 0;
}

/* @line: changed in place */
static int parse_words(char *line, const char *text, struct server_config *server,
		       struct sfront_error *err)
{
	char *rest = NULL;
	int r = 0;

	for (char *word = strtok_r(line, BLANKS, &rest); word && r == 0;
	     word = strtok_r(NULL, BLANKS, &rest))
		r = parse_word(word, text, server, err);
	return r;
}

/* ---- the line ---- */

/* @line: changed in place; @text: what it was */
static int parse_line(char *line, const char *text, struct server_config *server,
		      struct sfront_error *err)
{
	char *end = line + strcspn(line, BLANKS);
	char *words = *end ? end + 1 : end;
	int r;

	if (end == line)
		return refuse(err, -EINVAL, "the address is missing; " KINDS);
	*end = '\0';
	r = parse_words(words, text, server, err);
	if (r == 0)
		r = unescape(line, text, err);
	if (r < 0)
		return r;
	if (strncmp(line, MUX, strlen(MUX)) == 0)
		return parse_mux(line + strlen(MUX), server, err);
	if (!is_srv(line))
		return parse_address(line, server, err);
	if (server->has_weight)
		return refuse(err, -EINVAL,
			      "\"%.200s\": the records say what the weights are; weight=N cannot",
			      text);
	return parse_srv(line + strlen(SRV), server, err);
}

int server_parse(const char *text, struct server_config *ret, struct sfront_error *err)
{
	struct server_config server = { .weight = 1 };
	char line[SERVER_TEXT_SIZE];
	int r;

	if (strlen(text) >= sizeof(line))
		return refuse(err, -ENAMETOOLONG, "\"%.40s...\" is too long for a backend", text);
	strcpy(line, text);
	r = parse_line(line, text, &server, err);
	if (r == 0)
		*ret = server;
	return r;
}

size_t server_format(const struct server_config *server, char *buf, size_t size)
{
	char address[PORT_RANGE_TEXT_SIZE], port[16];
	size_t length = 0;

	if (server->is_srv) {
		length = escape(SRV, buf, size, 0);
		return escape(server->address.u.tcp.host, buf, size, length);
	}
	port_range_format(&server->address, server->further, address, sizeof(address));
	if (server->mux_port == 0)
		return escape(address, buf, size, 0);
	snprintf(port, sizeof(port), ":%u", server->mux_port);
	length = escape(MUX, buf, size, 0);
	length = escape(address, buf, size, length);
	return escape(port, buf, size, length);
}

struct server_config server_at(const struct server_config *server, unsigned int step)
{
	struct server_config one = *server;

	if (server->further == 0)
		return one;
	one.address = port_range_at(&server->address, step);
	one.further = 0;
	return one;
}

const char *balance_name(enum balance balance)
{
	static const char *const names[BALANCE_POLICIES] = {
		[BALANCE_LEAST_CONNECTIONS] = "least-connections",
		[BALANCE_FIRST] = "first",
		[BALANCE_ROUND_ROBIN] = "round-robin",
		[BALANCE_RANDOM] = "random",
		[BALANCE_SOURCE] = "source",
	};

	return names[balance];
}
