/* SPDX-License-Identifier: MIT */
/*
 * The one table of listener options: names and help for everybody, parsers,
 * formatters and places for this file, and on what each has an effect for
 * socket_options.c and listener.c.
 */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "internal.h"

struct row {
	struct sfront_option public;
	unsigned int applies; /* to which targets */
	size_t offset;        /* of the value, in struct sfront_options */
	/* Writes what @text says to @field, or leaves it as it is and fails. */
	int (*parse)(const struct row *row, const char *text, void *field,
		     struct sfront_error *err);
	/* Writes @field as text that parses to the same; returns as snprintf() does. */
	int (*format)(const struct row *row, const void *field, char *buf, size_t size);
	uint64_t min; /* for parse_number; of a time: the milliseconds of a unit */
	uint64_t max; /* for parse_number; with the NUL, for parse_word */
};

static int parse_switch(const struct row *row, const char *text, void *field,
			struct sfront_error *err)
{
	bool on;
	int r;

	(void)row;
	r = sfront_parse_switch(text, &on, err);
	if (r == 0)
		*(int *)field = on;
	return r;
}

static int parse_number(const struct row *row, const char *text, void *field,
			struct sfront_error *err)
{
	uint64_t number;
	int r;

	r = sfront_parse_count(text, row->min, row->max, &number, err);
	if (r == 0)
		*(int *)field = (int)number;
	return r;
}

static int parse_size(const struct row *row, const char *text, void *field,
		      struct sfront_error *err)
{
	uint64_t size;
	int r;

	(void)row;
	r = sfront_parse_size(text, &size, err);
	if (r < 0)
		return r;
	if (size < 1 || size > INT_MAX)
		return sfront_fail(err, -ERANGE, "\"%.64s\" is not a size from 1 to %d bytes", text,
				   INT_MAX);
	*(int *)field = (int)size;
	return 0;
}

/* A time up to row->max, in units of row->min milliseconds, rounded up. */
static int parse_time(const struct row *row, const char *text, void *field,
		      struct sfront_error *err)
{
	uint64_t ms;
	int r;

	r = sfront_parse_duration(text, &ms, err);
	if (r < 0)
		return r;

	if (ms == 0 || ms == SFRONT_INFINITY_MS || (ms - 1) / row->min + 1 > row->max)
		return sfront_fail(err, -ERANGE, "\"%.64s\" is not a time from 1ms to %llus", text,
				   (unsigned long long)(row->max * row->min / 1000));
	*(int *)field = (int)((ms - 1) / row->min + 1);
	return 0;
}

static int parse_keepalive(const struct row *row, const char *text, void *field,
			   struct sfront_error *err)
{
	(void)row;
	return sfront_parse_keepalive(text, field, err);
}

static int parse_mode(const struct row *row, const char *text, void *field,
		      struct sfront_error *err)
{
	static const struct {
		const char *word;
		int mode;
	} words[] = { { "owner", 0600 }, { "group", 0660 }, { "everybody", 0666 } };
	char *end;
	unsigned long mode;

	(void)row;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(text, words[i].word) == 0) {
			*(int *)field = words[i].mode;
			return 0;
		}
	}
	mode = strtoul(text, &end, 8);
	if (text[0] < '0' || text[0] > '7' || *end != '\0' || strlen(text) > 5)
		return sfront_fail(
			err, -EINVAL,
			"\"%.64s\" is not a mode: owner, group, everybody, or octal such "
			"as 660",
			text);
	if (mode > 0777)
		return sfront_fail(err, -ERANGE, "\"%.64s\" is not a mode from 0 to 777", text);
	*(int *)field = (int)mode;
	return 0;
}

/* Asks the user database, or that of groups, for @name.  Returns 0, -ENOENT or another -errno. */
static int look_up(const char *name, bool group, uint32_t *ret)
{
	char *buf = NULL, *bigger;
	int r = ERANGE;

	for (size_t size = 4096; r == ERANGE && size <= 16 * 1024 * 1024; size *= 4) {
		struct passwd pw, *found_pw = NULL;
		struct group gr, *found_gr = NULL;

		bigger = realloc(buf, size);
		if (!bigger) {
			r = ENOMEM;
			break;
		}
		buf = bigger;
		r = group ? getgrnam_r(name, &gr, buf, size, &found_gr)
			  : getpwnam_r(name, &pw, buf, size, &found_pw);
		if (r == 0 && found_pw)
			*ret = pw.pw_uid;
		else if (r == 0 && found_gr)
			*ret = gr.gr_gid;
		else if (r == 0)
			r = ENOENT;
	}
	free(buf);
	return -r;
}

static int parse_owner(const char *text, bool group, uint32_t *ret, struct sfront_error *err)
{
	const char *what = group ? "group" : "user";
	uint64_t number;
	int r;

	r = sfront_parse_digits(text, strlen(text), &number);
	if (r == -ERANGE || (r == 0 && number >= UINT32_MAX))
		return sfront_fail(err, -ERANGE, "\"%.64s\" is too large for the number of a %s",
				   text, what);
	if (r == 0) {
		*ret = (uint32_t)number;
		return 0;
	}
	r = look_up(text, group, ret);
	if (r == -ENOMEM)
		return sfront_fail(err, r, "out of memory");
	if (r < 0)
		return sfront_fail(err, -EINVAL,
				   "there is no %s \"%.64s\": a number or a known name", what,
				   text);
	return 0;
}

static int parse_user(const struct row *row, const char *text, void *field,
		      struct sfront_error *err)
{
	(void)row;
	_Static_assert(sizeof(uid_t) == sizeof(uint32_t), "a uid has 32 bits");
	return parse_owner(text, false, field, err);
}

static int parse_group(const struct row *row, const char *text, void *field,
		       struct sfront_error *err)
{
	(void)row;
	_Static_assert(sizeof(gid_t) == sizeof(uint32_t), "a gid has 32 bits");
	return parse_owner(text, true, field, err);
}

/* A mark is mostly written in hexadecimal. */
static int parse_mark(const struct row *row, const char *text, void *field,
		      struct sfront_error *err)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	size_t len = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
	unsigned long long mark = strtoull(digits, NULL, hex ? 16 : 10);

	(void)row;
	if (len == 0 || digits[len] != '\0')
		return sfront_fail(err, -EINVAL,
				   "\"%.64s\" is not a mark: a number such as 7 or 0x7", text);
	if (len > 16 || mark > UINT32_MAX)
		return sfront_fail(err, -ERANGE, "\"%.64s\" is not a mark from 0 to 0xffffffff",
				   text);
	*(int *)field = (int)(uint32_t)mark;
	return 0;
}

static int parse_word(const struct row *row, const char *text, void *field,
		      struct sfront_error *err)
{
	size_t len = strlen(text);

	bool good = len > 0 && len < row->max;

	/* A semicolon would begin a comment where options are written to a file. */
	for (size_t i = 0; good && i < len; i++)
		good = (unsigned char)text[i] > ' ' && text[i] != 0x7f && !strchr("/;", text[i]);
	if (!good)
		return sfront_fail(err, -EINVAL,
				   "\"%.64s\" is not a name of 1 to %d bytes without spaces, "
				   "slashes and semicolons",
				   text, (int)row->max - 1);
	memcpy(field, text, len + 1);
	return 0;
}

static int format_switch(const struct row *row, const void *field, char *buf, size_t size)
{
	(void)row;
	return snprintf(buf, size, "%s", *(const int *)field ? "yes" : "no");
}

static int format_number(const struct row *row, const void *field, char *buf, size_t size)
{
	(void)row;
	return snprintf(buf, size, "%d", *(const int *)field);
}

static int format_time(const struct row *row, const void *field, char *buf, size_t size)
{
	return snprintf(buf, size, "%llums",
			(unsigned long long)*(const int *)field * (unsigned long long)row->min);
}

/* A part of a keepalive setting: nothing for the system's value. */
static void format_part(int value, int unit, char *buf, size_t size)
{
	if (value)
		snprintf(buf, size, "%d", value * unit);
	else
		snprintf(buf, size, "%s", "");
}

static int format_keepalive(const struct row *row, const void *field, char *buf, size_t size)
{
	const struct sfront_keepalive *keepalive = field;
	char time[16], count[16], interval[16];

	(void)row;
	if (!keepalive->on)
		return snprintf(buf, size, "no");
	if (!keepalive->time_s && !keepalive->count && !keepalive->interval_s)
		return snprintf(buf, size, "yes");
	format_part(keepalive->time_s, 1000, time, sizeof(time));
	format_part(keepalive->count, 1, count, sizeof(count));
	format_part(keepalive->interval_s, 1000, interval, sizeof(interval));
	return snprintf(buf, size, "%s:%s:%s", time, count, interval);
}

static int format_mode(const struct row *row, const void *field, char *buf, size_t size)
{
	(void)row;
	return snprintf(buf, size, "%04o", *(const unsigned int *)field);
}

static int format_owner(const struct row *row, const void *field, char *buf, size_t size)
{
	(void)row;
	return snprintf(buf, size, "%u", *(const uint32_t *)field);
}

static int format_mark(const struct row *row, const void *field, char *buf, size_t size)
{
	(void)row;
	return snprintf(buf, size, "0x%x", *(const unsigned int *)field);
}

static int format_word(const struct row *row, const void *field, char *buf, size_t size)
{
	(void)row;
	return snprintf(buf, size, "%s", (const char *)field);
}

#define AT(field)     .offset = offsetof(struct sfront_options, field)
#define AS(kind)      .parse = parse_##kind, .format = format_##kind
#define SWITCH(field) AT(field), AS(switch)
#define NUMBER(field) AT(field), AS(number)
#define YES_NO        "yes|no"

static const struct row rows[OPTIONS_COUNT] = {
	[OPTION_UNIX_UNLINK] = { { "unix-listen-unlink", YES_NO,
				   "remove a dead socket that is in the way of a UNIX path", true },
				 OWN(KIND_PATH),
				 SWITCH(unix_unlink) },
	[OPTION_UNIX_MODE] = { { "unix-listen-chmod", "MODE",
				 "mode of the socket file: owner, group, everybody, or octal",
				 false },
			       OWN(KIND_PATH),
			       AT(unix_mode),
			       AS(mode) },
	[OPTION_UNIX_UID] = { { "unix-listen-uid", "USER",
				"owner of the socket file, a number or a name", false },
			      OWN(KIND_PATH),
			      AT(unix_uid),
			      .parse = parse_user,
			      .format = format_owner },
	[OPTION_UNIX_GID] = { { "unix-listen-gid", "GROUP",
				"group of the socket file, a number or a name", false },
			      OWN(KIND_PATH),
			      AT(unix_gid),
			      .parse = parse_group,
			      .format = format_owner },
	[OPTION_SD_IGNORE_ENVIRONMENT] = { { "sd-accept-ignore-environment", YES_NO,
					     "let sd-listen take descriptor 3 without LISTEN_PID and LISTEN_FDS",
					     true },
					   INHERITED(KIND_SD_LISTEN) | CONNECTED(KIND_SD_LISTEN),
					   SWITCH(sd_ignore_environment) },
	[OPTION_KEEPALIVE] = { { "tcp-keepalive", "TIME:COUNT:INTERVAL",
				 "probe silent clients, as in 60s:3:5s; each part is optional, no turns it off",
				 false },
			       EVERY(KIND_TCP),
			       AT(keepalive),
			       AS(keepalive) },
	[OPTION_REUSE_PORT] = { { "tcp-reuse-port", YES_NO,
				  "let other sockets bind the same port (SO_REUSEPORT)", true },
				OWN(KIND_TCP),
				SWITCH(reuse_port) },
	[OPTION_RECV_BUFFER] = { { "recv-buffer-size", "BYTES", "receive buffer of each connection",
				   false },
				 EVERY(KIND_TCP | KIND_UNIX | KIND_VSOCK),
				 AT(recv_buffer),
				 .parse = parse_size,
				 .format = format_number },
	[OPTION_SEND_BUFFER] = { { "send-buffer-size", "BYTES", "send buffer of each connection",
				   false },
				 EVERY(KIND_TCP | KIND_UNIX | KIND_VSOCK),
				 AT(send_buffer),
				 .parse = parse_size,
				 .format = format_number },
	[OPTION_ONLY_V6] = { { "tcp-only-v6", YES_NO, "keep IPv4 clients off an IPv6 socket",
			       true },
			     OWN(KIND_TCP6),
			     SWITCH(only_v6) },
	[OPTION_BACKLOG] = { { "tcp-listen-backlog", "N",
			       "clients that may wait to be accepted, 4096 by default", false },
			     LISTENING(KIND_TCP | KIND_UNIX | KIND_VSOCK),
			     NUMBER(backlog),
			     1,
			     INT_MAX },
	[OPTION_NODELAY] = { { "tcp-nodelay", YES_NO, "send small pieces at once, yes by default",
			       true },
			     EVERY(KIND_TCP),
			     SWITCH(nodelay) },
	[OPTION_USER_TIMEOUT] = { { "tcp-user-timeout", "TIME",
				    "end a connection whose data goes unacknowledged so long",
				    false },
				  EVERY(KIND_TCP),
				  AT(user_timeout_ms),
				  AS(time),
				  1,
				  INT_MAX },
	[OPTION_FAST_OPEN] = { { "tcp-fast-open", "N",
				 "accept data in the first packet of up to N clients at once",
				 false },
			       LISTENING(KIND_TCP),
			       NUMBER(fast_open),
			       1,
			       65535 },
	[OPTION_DEFER_ACCEPT] = { { "tcp-defer-accept", "TIME",
				    "hold a client back so long until it has sent something",
				    false },
				  LISTENING(KIND_TCP),
				  AT(defer_accept_s),
				  AS(time),
				  1000,
				  32767 },
	[OPTION_FREEBIND] = { { "ip-freebind", YES_NO,
				"bind an address that the machine does not have yet", true },
			      OWN(KIND_TCP),
			      SWITCH(freebind) },
	[OPTION_TRANSPARENT] = { { "ip-transparent", YES_NO,
				   "accept what is routed here for other addresses", true },
				 OWN(KIND_TCP),
				 SWITCH(transparent) },
	[OPTION_DEVICE] = { { "bind-to-device", "INTERFACE",
			      "accept only what arrives on this interface", false },
			    OWN(KIND_TCP),
			    AT(device),
			    AS(word),
			    0,
			    IFNAMSIZ },
	[OPTION_MARK] = { { "socket-mark", "MARK", "firewall mark of what is sent, as in 0x7",
			    false },
			  EVERY(KIND_TCP),
			  AT(mark),
			  AS(mark) },
	[OPTION_CONGESTION] = { { "tcp-congestion", "NAME", "congestion control, such as bbr",
				  false },
				EVERY(KIND_TCP),
				AT(congestion),
				AS(word),
				0,
				CONGESTION_SIZE },
	[OPTION_MPTCP] = { { "mptcp", YES_NO, "accept Multipath TCP", true },
			   OWN(KIND_TCP),
			   SWITCH(mptcp) },
	[OPTION_TYPE_OF_SERVICE] = { { "type-of-service", "N",
				       "type of service (traffic class) of what is sent, 0 to 255",
				       false },
				     EVERY(KIND_TCP),
				     NUMBER(type_of_service),
				     0,
				     255 },
	/*
	 * Not listed: a program that offered it, and knew nothing of headers, would
	 * take them for the client's bytes.
	 */
	[OPTION_ACCEPT_PROXY_PROTOCOL] = { { "accept-proxy-protocol", YES_NO,
					     "expect a PROXY protocol header of every client",
					     true },
					   EVERY(ANY_KIND),
					   SWITCH(accept_proxy_protocol) },
};

const struct sfront_option *sfront_option_at(size_t index)
{
	return index < OPTIONS_LISTED ? &rows[index].public : NULL;
}

/* The row's number, or OPTIONS_COUNT. */
static size_t row_of(const char *name)
{
	size_t i = 0;

	while (i < OPTIONS_COUNT && strcmp(rows[i].public.name, name) != 0)
		i++;
	return i;
}

const struct sfront_option *sfront_option_find(const char *name)
{
	return sfront_option_at(row_of(name));
}

int sfront_options_set(struct sfront_options *options, const char *name, const char *value,
		       struct sfront_error *err)
{
	size_t i = row_of(name);
	const struct row *row = &rows[i];
	struct sfront_error reason = { "" };
	int r;

	if (i == OPTIONS_COUNT)
		return sfront_fail(err, -ENOENT, "there is no option \"%.64s\"", name);
	if (!value && !row->public.is_switch)
		return sfront_fail(err, -EINVAL, "%s: a value is missing: %s", name,
				   row->public.argument);

	r = row->parse(row, value ? value : "yes", (char *)options + row->offset, &reason);
	if (r < 0)
		return sfront_fail(err, r, "%s: %.560s", name, reason.message);

	options->given |= 1u << i;
	if (i == OPTION_KEEPALIVE)
		options->keepalive_is_suspect = value && sfront_keepalive_is_suspect(value);
	return 0;
}

int sfront_options_get(const struct sfront_options *options, const char *name, char *buf,
		       size_t size)
{
	const struct row *row = &rows[row_of(name)];

	if (!sfront_options_is_set(options, name))
		return -ENOENT;
	return row->format(row, (const char *)options + row->offset, buf, size);
}

size_t sfront_options_format(const struct sfront_options *options, char *buf, size_t size)
{
	char value[64];
	size_t len = 0;

	if (size > 0)
		buf[0] = '\0';
	for (size_t i = 0; i < OPTIONS_COUNT; i++) {
		const char *name = rows[i].public.name;
		bool room = len < size;

		if (sfront_options_get(options, name, value, sizeof(value)) < 0)
			continue;
		len += (size_t)snprintf(room ? buf + len : NULL, room ? size - len : 0, "%s = %s\n",
					name, value);
	}
	return len;
}

bool sfront_options_is_set(const struct sfront_options *options, const char *name)
{
	size_t i = row_of(name);

	return i < OPTIONS_COUNT && sfront_option_given(options, (enum sfront_option_id)i);
}

bool sfront_option_given(const struct sfront_options *options, enum sfront_option_id option)
{
	return options->given >> option & 1;
}

/* As text, which has no bytes after the end of a word, nor parts of what is off. */
static bool same_value(size_t i, const struct sfront_options *a, const struct sfront_options *b)
{
	char text_a[64], text_b[64];

	rows[i].format(&rows[i], (const char *)a + rows[i].offset, text_a, sizeof(text_a));
	rows[i].format(&rows[i], (const char *)b + rows[i].offset, text_b, sizeof(text_b));
	return strcmp(text_a, text_b) == 0;
}

bool sfront_option_differs(enum sfront_option_id option, const struct sfront_options *a,
			   const struct sfront_options *b)
{
	if (!rows[option].public.is_switch &&
	    sfront_option_given(a, option) != sfront_option_given(b, option))
		return true;
	return !same_value(option, a, b);
}

bool sfront_options_equal(const struct sfront_options *a, const struct sfront_options *b)
{
	if (!a)
		a = &sfront_default_options;
	if (!b)
		b = &sfront_default_options;
	for (size_t i = 0; i < OPTIONS_COUNT; i++)
		if (!same_value(i, a, b))
			return false;
	return a->given == b->given;
}

bool sfront_option_applies(enum sfront_option_id option, unsigned int target)
{
	return (rows[option].applies & target) != 0;
}

/* "A, B and 3 more" */
static void format_list(const struct sfront_address *addresses, size_t n, char *buf, size_t size)
{
	const size_t most = 3;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < n && i < most && len < size; i++) {
		sfront_address_format(&addresses[i], text, sizeof(text));
		len += (size_t)snprintf(buf + len, size - len, "%s%s", i ? ", " : "", text);
	}
	if (n > most && len < size)
		snprintf(buf + len, size - len, " and %zu more", n - most);
}

void sfront_warn_of_idle(unsigned int targets, const struct sfront_address *addresses, size_t n,
			 const struct sfront_options *options)
{
	char text[480];

	format_list(addresses, n, text, sizeof(text));
	for (unsigned int i = 0; i < OPTIONS_COUNT; i++)
		if (sfront_option_given(options, i) && !sfront_option_applies(i, targets))
			sfront_warn(options, "%s has no effect on %s", sfront_option_name(i), text);
}

const char *sfront_option_name(enum sfront_option_id option)
{
	return rows[option].public.name;
}

void sfront_option_set_number(struct sfront_options *options, enum sfront_option_id option,
			      int number)
{
	*(int *)((char *)options + rows[option].offset) = number;
}

int sfront_option_number(const struct sfront_options *options, enum sfront_option_id option)
{
	return *(const int *)((const char *)options + rows[option].offset);
}
