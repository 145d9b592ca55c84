/* SPDX-License-Identifier: MIT */
/*
 * Listeners in the words of systemd.socket(5), as version 252 knows them: see socket_unit.h.
 */
#include "conf/socket_unit.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "conf/listen_stream.h"

#define VALUE_SIZE 128

/* On which of the sockets an option has an effect. */
enum target { TARGET_ANY, TARGET_TCP, TARGET_IPV6, TARGET_PATH };

/* Options that have a word for the same value. */
static const struct {
	const char *option, *word;
	enum target target;
} words[] = {
	{ "unix-listen-uid", "SocketUser", TARGET_PATH },
	{ "unix-listen-gid", "SocketGroup", TARGET_PATH },
	{ "recv-buffer-size", "ReceiveBuffer", TARGET_ANY },
	{ "send-buffer-size", "SendBuffer", TARGET_ANY },
	{ "tcp-reuse-port", "ReusePort", TARGET_TCP },
	{ "tcp-defer-accept", "DeferAcceptSec", TARGET_TCP },
	{ "tcp-congestion", "TCPCongestion", TARGET_TCP },
	{ "type-of-service", "IPTOS", TARGET_TCP },
	{ "ip-freebind", "FreeBind", TARGET_TCP },
	{ "ip-transparent", "Transparent", TARGET_TCP },
	{ "bind-to-device", "BindToDevice", TARGET_TCP },
};

/* Those that have none. */
static const struct {
	const char *option, *remark;
	enum target target;
} remarks[] = {
	{ "mptcp", "systemd 252 has no word for it: these sockets take plain TCP", TARGET_TCP },
	{ "type-of-service", "IPTOS= is for IPv4; sockfront sets the traffic class of IPv6 itself",
	  TARGET_IPV6 },
	{ "tcp-user-timeout", "systemd has no word for it; sockfront sets it itself", TARGET_TCP },
	{ "tcp-fast-open", "systemd has no word for it; sockfront sets it itself", TARGET_TCP },
};

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* A question is no reason to start a process that ends when it is quiet. */
static bool is_left_out(const struct config *config, const struct listen_section *section)
{
	return section->is_status && config->process.exit_idle_ms != SFRONT_INFINITY_MS;
}

bool socket_unit_at(const struct config *config, size_t index, struct socket_unit *ret)
{
	if (!config_listen_section(config, index, &ret->section))
		return false;
	ret->name = ret->section.is_status ? "status" : config->proxies[index].name;
	ret->is_left_out = is_left_out(config, &ret->section);
	return true;
}

/* Where only the service can have its status. */
static bool is_in_own_directory(const struct sfront_address *address)
{
	return address->kind == SFRONT_UNIX &&
	       strncmp(address->u.local.name, SERVICE_RUN, strlen(SERVICE_RUN)) == 0;
}

bool socket_unit_has(const struct socket_unit *unit, const struct listen_config *listen)
{
	char ignored[LISTEN_STREAM_SIZE];

	if (unit->is_left_out || (unit->section.is_status && is_in_own_directory(&listen->address)))
		return false;
	return listen_stream_format(&listen->address, ignored, NULL) == 0;
}

bool socket_unit_is_wanted(const struct socket_unit *unit)
{
	for (size_t i = 0; i < unit->section.n; i++)
		if (socket_unit_has(unit, &unit->section.lines[i]))
			return true;
	return false;
}

static bool is_target(const struct sfront_address *address, enum target target)
{
	const char *host = address->u.tcp.host;

	switch (target) {
	case TARGET_TCP:
		return address->kind == SFRONT_TCP;
	case TARGET_IPV6:
		return address->kind == SFRONT_TCP && (!*host || *host == '*' || strchr(host, ':'));
	case TARGET_PATH:
		return address->kind == SFRONT_UNIX;
	case TARGET_ANY:
	default:
		return true;
	}
}

/* Whether one of the sockets of the unit is such a one. */
static bool has_target(const struct socket_unit *unit, enum target target)
{
	for (size_t i = 0; i < unit->section.n; i++)
		if (socket_unit_has(unit, &unit->section.lines[i]) &&
		    is_target(&unit->section.lines[i].address, target))
			return true;
	return false;
}

/* Whether the option is given and counts.  @buf: VALUE_SIZE bytes, its value */
static bool get(const struct socket_unit *unit, const char *option, enum target target, char *buf)
{
	return sfront_options_get(unit->section.options, option, buf, VALUE_SIZE) >= 0 &&
	       has_target(unit, target);
}

/* systemd puts other words in the place of what a percent sign begins. */
static void write_value(FILE *stream, const char *word, const char *value)
{
	fprintf(stream, "%s=", word);
	for (; *value; value++)
		fprintf(stream, *value == '%' ? "%%%%" : "%c", *value);
	fputc('\n', stream);
}

static void write_addresses(const struct socket_unit *unit, FILE *stream)
{
	char value[LISTEN_STREAM_SIZE];

	for (size_t i = 0; i < unit->section.n; i++)
		if (socket_unit_has(unit, &unit->section.lines[i]) &&
		    listen_stream_format(&unit->section.lines[i].address, value, NULL) == 0)
			fprintf(stream, "ListenStream=%s\n", value);
}

/* ":80" is for both, whatever the system's default is. */
static bool has_every(const struct socket_unit *unit)
{
	for (size_t i = 0; i < unit->section.n; i++) {
		const struct sfront_address *address = &unit->section.lines[i].address;

		if (address->kind == SFRONT_TCP &&
		    strspn(address->u.tcp.host, "*") == strlen(address->u.tcp.host))
			return true;
	}
	return false;
}

static void write_families(const struct socket_unit *unit, FILE *stream)
{
	char value[VALUE_SIZE];

	if (get(unit, "tcp-only-v6", TARGET_IPV6, value))
		fprintf(stream, "BindIPv6Only=%s\n",
			strcmp(value, "yes") == 0 ? "ipv6-only" : "both");
	else if (has_every(unit))
		fputs("BindIPv6Only=both\n", stream);
}

/* Where systemd's default is another than ours. */
static void write_default(const struct socket_unit *unit, const char *word, const char *option,
			  const char *ours, FILE *stream)
{
	char value[VALUE_SIZE];
	bool given = sfront_options_get(unit->section.options, option, value, VALUE_SIZE) >= 0;

	fprintf(stream, "%s=%s\n", word, given ? value : ours);
}

static void write_defaults(const struct socket_unit *unit, FILE *stream)
{
	write_default(unit, "SocketMode", "unix-listen-chmod", "0600", stream);
	write_default(unit, "Backlog", "tcp-listen-backlog", "4096", stream);
	if (has_target(unit, TARGET_TCP))
		write_default(unit, "NoDelay", "tcp-nodelay", "yes", stream);
}

static void write_keepalive(const struct socket_unit *unit, FILE *stream)
{
	struct sfront_keepalive keepalive;
	char value[VALUE_SIZE];

	if (!get(unit, "tcp-keepalive", TARGET_TCP, value) ||
	    sfront_parse_keepalive(value, &keepalive, NULL) < 0)
		return;
	fprintf(stream, "KeepAlive=%s\n", keepalive.on ? "yes" : "no");
	if (keepalive.time_s)
		fprintf(stream, "KeepAliveTimeSec=%d\n", keepalive.time_s);
	if (keepalive.count)
		fprintf(stream, "KeepAliveProbes=%d\n", keepalive.count);
	if (keepalive.interval_s)
		fprintf(stream, "KeepAliveIntervalSec=%d\n", keepalive.interval_s);
}

/* 0 where there is none. */
static unsigned long mark_of(const struct socket_unit *unit)
{
	char value[VALUE_SIZE];

	return get(unit, "socket-mark", TARGET_TCP, value) ? strtoul(value, NULL, 0) : 0;
}

bool socket_unit_lacks_mark(const struct socket_unit *unit)
{
	return mark_of(unit) > INT_MAX;
}

static void write_mark(const struct socket_unit *unit, FILE *stream)
{
	unsigned long mark = mark_of(unit);

	if (mark > INT_MAX)
		fputs("# socket-mark: Mark= ends at 0x7fffffff; sockfront sets it itself\n",
		      stream);
	else if (mark > 0)
		fprintf(stream, "Mark=%lu\n", mark);
}

static void write_words(const struct socket_unit *unit, FILE *stream)
{
	char value[VALUE_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (get(unit, words[i].option, words[i].target, value))
			write_value(stream, words[i].word, value);
}

static void write_remarks(const struct socket_unit *unit, FILE *stream)
{
	char value[VALUE_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(remarks); i++)
		if (get(unit, remarks[i].option, remarks[i].target, value) &&
		    strcmp(value, "no") != 0)
			fprintf(stream, "# %s = %s: %s\n", remarks[i].option, value,
				remarks[i].remark);
}

void socket_unit_write(const struct socket_unit *unit, const char *service, FILE *stream)
{
	fprintf(stream,
		"[Unit]\n"
		"Description=sockfront: sockets of %s%s\n"
		"Documentation=man:sockfront(8) man:systemd.socket(5)\n"
		"StartLimitIntervalSec=0\n"
		"\n"
		"[Socket]\n",
		unit->section.is_status ? "the " : "the proxy ", unit->name);
	write_addresses(unit, stream);
	fprintf(stream, "FileDescriptorName=%s\n", unit->name);
	write_value(stream, "Service", service);
	fputs("RemoveOnStop=yes\n", stream);
	write_defaults(unit, stream);
	write_families(unit, stream);
	write_words(unit, stream);
	write_mark(unit, stream);
	write_keepalive(unit, stream);
	write_remarks(unit, stream);
	/* However often the service fails, the socket stays open. */
	fputs("TriggerLimitIntervalSec=0\n"
	      "\n"
	      "[Install]\n"
	      "WantedBy=sockets.target\n",
	      stream);
}
