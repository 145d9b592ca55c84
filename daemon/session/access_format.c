/* SPDX-License-Identifier: MIT */
/*
 * Three forms of one record: see access_format.h.  Logfmt and JSON have the same strings, since
 * readers of logfmt take those of JSON.
 */
#include "daemon/session/access_format.h"

#include <endian.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/base/utf8.h"

/* Of a value, with its quotes. */
#define VALUE_MAX 700

/* The longest that one character becomes: \u001f. */
#define ESCAPE_MAX 6

struct text {
	char *buf; /* of ACCESS_TEXT_SIZE */
	size_t used;
};

/* ---- text ---- */

static struct text begin(char *buf)
{
	buf[0] = '\0';
	return (struct text){ .buf = buf };
}

static void put(struct text *text, const char *bytes, size_t n)
{
	if (n >= ACCESS_TEXT_SIZE - text->used)
		return;
	memcpy(text->buf + text->used, bytes, n);
	text->used += n;
}

static void put_words(struct text *text, const char *words)
{
	put(text, words, strlen(words));
}

__attribute__((format(printf, 2, 3))) static void put_format(struct text *text, const char *format,
							     ...)
{
	char words[64];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	put_words(text, words);
}

static void put_control(struct text *text, char c)
{
	switch (c) {
	case '\n':
		put_words(text, "\\n");
		break;
	case '\r':
		put_words(text, "\\r");
		break;
	case '\t':
		put_words(text, "\\t");
		break;
	default:
		put_format(text, "\\u%04x", (unsigned int)c);
	}
}

static bool is_control(char c)
{
	return (c > 0 && c < ' ') || c == 0x7f;
}

/* One character, or a byte that is none; returns how many bytes it has. */
static size_t put_character(struct text *text, const char *at)
{
	size_t length = utf8_length(at);

	if (length == 0)
		put_format(text, "\\\\x%02x", (unsigned int)(unsigned char)*at);
	else if (is_control(*at))
		put_control(text, *at);
	else if (*at == '"' || *at == '\\')
		put_format(text, "\\%c", *at);
	else
		put(text, at, length);
	return length > 0 ? length : 1;
}

static void put_string(struct text *text, const char *value)
{
	size_t end = text->used + VALUE_MAX - ESCAPE_MAX;

	put_words(text, "\"");
	while (*value && text->used < end)
		value += put_character(text, value);
	put_words(text, "\"");
}

static void put_seconds_us(struct text *text, uint64_t us)
{
	put_format(text, "%llu.%06llu", (unsigned long long)(us / 1000000),
		   (unsigned long long)(us % 1000000));
}

static void put_seconds_ms(struct text *text, uint64_t ms)
{
	put_format(text, "%llu.%03llu", (unsigned long long)(ms / 1000),
		   (unsigned long long)(ms % 1000));
}

static void put_number(struct text *text, uint64_t number)
{
	put_format(text, "%llu", (unsigned long long)number);
}

static size_t finish(struct text *text)
{
	text->buf[text->used] = '\0';
	return text->used;
}

void access_format_time(char buf[ACCESS_TIME_SIZE])
{
	struct timespec now;
	struct tm tm;
	size_t used;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	used = strftime(buf, ACCESS_TIME_SIZE, "%FT%T", &tm);
	snprintf(buf + used, ACCESS_TIME_SIZE - used, ".%03ldZ", now.tv_nsec / 1000000);
}

/* ---- logfmt ---- */

static bool is_bare(char c)
{
	return c != ' ' && c != '=' && c != '"' && !is_control(c);
}

static bool wants_quotes(const char *value)
{
	size_t n = 0;

	for (const char *at = value; *at && n < VALUE_MAX; at += utf8_length(at), n++)
		if (!is_bare(*at) || utf8_length(at) == 0)
			return true;
	return n == 0 || strlen(value) >= VALUE_MAX;
}

static void put_value(struct text *text, const char *key, const char *value)
{
	put_words(text, key);
	if (wants_quotes(value))
		put_string(text, value);
	else
		put_words(text, value);
}

static void put_time_or_dash(struct text *text, const char *key, uint64_t us)
{
	put_words(text, key);
	if (us == ACCESS_NEVER)
		put_words(text, "-");
	else
		put_seconds_us(text, us);
}

static void put_logfmt(struct text *text, const struct access_record *record)
{
	put_value(text, "id=", record->id);
	put_value(text, " proxy=", record->proxy);
	put_value(text, " client=", record->client);
	put_value(text, " listener=", record->listener);
	put_value(text, " backend=", record->backend);
	put_time_or_dash(text, " queue=", record->queued_us);
	put_time_or_dash(text, " connect=", record->connect_us);
	put_words(text, " up=");
	put_number(text, record->up);
	put_words(text, " down=");
	put_number(text, record->down);
	put_words(text, " duration=");
	put_seconds_ms(text, record->duration_ms);
	put_words(text, " reason=");
	put_string(text, record->reason);
}

size_t access_format_logfmt(const struct access_record *record, const char *time,
			    char buf[ACCESS_TEXT_SIZE])
{
	struct text text = begin(buf);

	if (time)
		put_format(&text, "time=%s ", time);
	put_logfmt(&text, record);
	return finish(&text);
}

/* ---- JSON ---- */

static void put_member(struct text *text, const char *key, const char *value)
{
	put_words(text, key);
	put_string(text, value);
}

static void put_time_or_null(struct text *text, const char *key, uint64_t us)
{
	put_words(text, key);
	if (us == ACCESS_NEVER)
		put_words(text, "null");
	else
		put_seconds_us(text, us);
}

size_t access_format_json(const struct access_record *record, const char *time,
			  char buf[ACCESS_TEXT_SIZE])
{
	struct text text = begin(buf);

	put_words(&text, "{");
	if (time)
		put_format(&text, "\"time\":\"%s\",", time);
	put_member(&text, "\"id\":", record->id);
	put_member(&text, ",\"proxy\":", record->proxy);
	put_member(&text, ",\"client\":", record->client);
	put_member(&text, ",\"listener\":", record->listener);
	put_member(&text, ",\"backend\":", record->backend);
	put_time_or_null(&text, ",\"queue\":", record->queued_us);
	put_time_or_null(&text, ",\"connect\":", record->connect_us);
	put_words(&text, ",\"up\":");
	put_number(&text, record->up);
	put_words(&text, ",\"down\":");
	put_number(&text, record->down);
	put_words(&text, ",\"duration\":");
	put_seconds_ms(&text, record->duration_ms);
	put_member(&text, ",\"reason\":", record->reason);
	put_words(&text, "}");
	return finish(&text);
}

/* ---- the journal ---- */

/* A value with a newline in it has its length in front instead. */
static void put_field(struct text *text, const char *name, const char *value)
{
	size_t length = strnlen(value, VALUE_MAX);
	uint64_t little_endian = htole64(length);

	put_words(text, name);
	if (memchr(value, '\n', length)) {
		put_words(text, "\n");
		put(text, (const char *)&little_endian, sizeof(little_endian));
	} else {
		put_words(text, "=");
	}
	put(text, value, length);
	put_words(text, "\n");
}

static void put_time_field(struct text *text, const char *name, uint64_t us)
{
	if (us == ACCESS_NEVER)
		return;
	put_words(text, name);
	put_seconds_us(text, us);
	put_words(text, "\n");
}

static void put_message(struct text *text, const struct access_record *record)
{
	put_words(text, "MESSAGE=");
	put_logfmt(text, record);
	put_words(text, "\nPRIORITY=6\nSYSLOG_IDENTIFIER=sockfront\n");
}

size_t access_format_journal(const struct access_record *record, char buf[ACCESS_TEXT_SIZE])
{
	struct text text = begin(buf);

	put_message(&text, record);
	put_field(&text, "SOCKFRONT_ID", record->id);
	put_field(&text, "SOCKFRONT_PROXY", record->proxy);
	put_field(&text, "SOCKFRONT_CLIENT", record->client);
	put_field(&text, "SOCKFRONT_LISTENER", record->listener);
	put_field(&text, "SOCKFRONT_BACKEND", record->backend);
	put_time_field(&text, "SOCKFRONT_QUEUE=", record->queued_us);
	put_time_field(&text, "SOCKFRONT_CONNECT=", record->connect_us);
	put_words(&text, "SOCKFRONT_UP=");
	put_number(&text, record->up);
	put_words(&text, "\nSOCKFRONT_DOWN=");
	put_number(&text, record->down);
	put_words(&text, "\nSOCKFRONT_DURATION=");
	put_seconds_ms(&text, record->duration_ms);
	put_words(&text, "\n");
	put_field(&text, "SOCKFRONT_REASON", record->reason);
	return finish(&text);
}
