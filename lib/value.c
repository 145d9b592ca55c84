/* SPDX-License-Identifier: MIT */
/*
 * Text to value: switches, sizes, durations, counts, keepalive settings.  Pure;
 * used by options.c and, through the public header, by whoever reads options of
 * its own.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "internal.h"

#define NS_PER_MS  1000000ull
#define NS_PER_SEC 1000000000ull

#define KEEPALIVE_SECONDS_MAX 32767
#define KEEPALIVE_COUNT_MAX   127

/* A piece of somebody else's text. */
struct span {
	const char *at;
	size_t len;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static struct span trim_span(struct span span)
{
	while (span.len > 0 && is_space(span.at[0])) {
		span.at++;
		span.len--;
	}
	while (span.len > 0 && is_space(span.at[span.len - 1]))
		span.len--;
	return span;
}

static struct span trim(const char *text)
{
	return trim_span((struct span){ text, strlen(text) });
}

/* For "%.*s": enough of a value to recognise it, not so much that the reason gets lost. */
static int shown(struct span span)
{
	return span.len > 64 ? 64 : (int)span.len;
}

static bool span_is(struct span span, const char *word)
{
	return span.len == strlen(word) && strncasecmp(span.at, word, span.len) == 0;
}

int sfront_parse_digits(const char *text, size_t len, uint64_t *ret)
{
	uint64_t value = 0;
	bool overflow = false;

	if (len == 0)
		return -EINVAL;

	for (size_t i = 0; i < len; i++) {
		if (!is_digit(text[i]))
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
			overflow = true;
	}
	if (overflow)
		return -ERANGE;

	*ret = value;
	return 0;
}

static int switch_of(struct span span, bool *ret)
{
	static const char *const yes[] = { "yes", "true", "on", "1" };
	static const char *const no[] = { "no", "false", "off", "0" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (span_is(span, yes[i]) || span_is(span, no[i])) {
			*ret = span_is(span, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

int sfront_parse_switch(const char *text, bool *ret, struct sfront_error *err)
{
	struct span span = trim(text);

	if (switch_of(span, ret) < 0)
		return sfront_fail(err, -EINVAL,
				   "\"%.*s\" is neither yes nor no (true, on, 1, false, off and 0 "
				   "are taken too)",
				   shown(span), span.at);
	return 0;
}

/* The factor that a size's last letter means; 0: none. */
static unsigned int size_shift(char letter)
{
	switch (letter) {
	case 'k':
	case 'K':
		return 10;
	case 'm':
	case 'M':
		return 20;
	case 'g':
	case 'G':
		return 30;
	default:
		return 0;
	}
}

int sfront_parse_size(const char *text, uint64_t *ret, struct sfront_error *err)
{
	struct span span = trim(text);
	unsigned int shift = span.len > 0 ? size_shift(span.at[span.len - 1]) : 0;
	uint64_t number = 0;
	int r;

	r = sfront_parse_digits(span.at, span.len - (shift > 0), &number);
	if (r == 0 && number > UINT64_MAX >> shift)
		r = -ERANGE;
	if (r == -ERANGE)
		return sfront_fail(err, r, "\"%.*s\" is too large a size", shown(span), span.at);
	if (r < 0)
		return sfront_fail(err, r,
				   "\"%.*s\" is not a size: bytes as in 65536, 64K, 1M or 2G",
				   shown(span), span.at);

	*ret = number << shift;
	return 0;
}

int sfront_parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *ret,
		       struct sfront_error *err)
{
	struct span span = trim(text);
	uint64_t number = 0;
	int r;

	r = sfront_parse_digits(span.at, span.len, &number);
	if (r == 0 && (number < min || number > max))
		r = -ERANGE;
	if (r < 0)
		return sfront_fail(err, r, "\"%.*s\" is not a number from %llu to %llu",
				   shown(span), span.at, (unsigned long long)min,
				   (unsigned long long)max);

	*ret = number;
	return 0;
}

/* Nanoseconds of a unit as systemd.time(7) names them; 0: no such unit. */
static uint64_t unit_ns(struct span unit)
{
	static const struct {
		const char *names[5];
		uint64_t ns;
	} units[] = {
		{ { "ns", "nsec" }, 1 },
		{ { "us", "usec", "\xc2\xb5s", "\xce\xbcs" }, 1000 },
		{ { "ms", "msec" }, NS_PER_MS },
		{ { "", "s", "sec", "second", "seconds" }, NS_PER_SEC },
		{ { "m", "min", "minute", "minutes" }, 60 * NS_PER_SEC },
		{ { "h", "hr", "hour", "hours" }, 3600 * NS_PER_SEC },
		{ { "d", "day", "days" }, 86400 * NS_PER_SEC },
		{ { "w", "week", "weeks" }, 7 * 86400 * NS_PER_SEC },
		{ { "M", "month", "months" }, 2629800 * NS_PER_SEC },
		{ { "y", "year", "years" }, 31557600 * NS_PER_SEC },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		for (size_t j = 0; j < 5 && units[i].names[j]; j++)
			if (unit.len == strlen(units[i].names[j]) &&
			    memcmp(unit.at, units[i].names[j], unit.len) == 0)
				return units[i].ns;
	return 0;
}

/* Takes the leading digits off @rest. */
static struct span take_digits(struct span *rest)
{
	struct span digits = { rest->at, 0 };

	while (digits.len < rest->len && is_digit(rest->at[digits.len]))
		digits.len++;
	rest->at += digits.len;
	rest->len -= digits.len;
	return digits;
}

static void skip_space(struct span *rest)
{
	while (rest->len > 0 && is_space(rest->at[0])) {
		rest->at++;
		rest->len--;
	}
}

static struct span take_unit(struct span *rest)
{
	struct span unit;

	skip_space(rest);
	unit = (struct span){ rest->at, 0 };
	while (unit.len < rest->len && !is_space(rest->at[unit.len]) &&
	       !is_digit(rest->at[unit.len]) && rest->at[unit.len] != '.')
		unit.len++;
	rest->at += unit.len;
	rest->len -= unit.len;
	return unit;
}

/* Milliseconds, and the nanoseconds on top of them: no integer of C99 has room for both. */
struct duration {
	uint64_t ms;
	uint64_t ns; /* less than a millisecond */
};

/* Adds what may be no sum of 64 bits.  Returns 0 or -ERANGE. */
static int add_duration(struct duration *sum, uint64_t ms, uint64_t ns)
{
	sum->ns += ns;
	if (__builtin_add_overflow(sum->ms, ms, &sum->ms) ||
	    __builtin_add_overflow(sum->ms, sum->ns / NS_PER_MS, &sum->ms))
		return -ERANGE;
	sum->ns %= NS_PER_MS;
	return 0;
}

/* @number units of @unit_ns, which is made of whole milliseconds or makes up one. */
static int add_whole(struct duration *sum, uint64_t number, uint64_t unit_ns)
{
	uint64_t ms, per_ms;

	if (unit_ns >= NS_PER_MS) {
		if (__builtin_mul_overflow(number, unit_ns / NS_PER_MS, &ms))
			return -ERANGE;
		return add_duration(sum, ms, 0);
	}
	per_ms = NS_PER_MS / unit_ns;
	return add_duration(sum, number / per_ms, number % per_ms * unit_ns);
}

/* What the digits after the point are of @unit_ns, rounded up; from the last one to the first. */
static uint64_t fraction_ns(struct span digits, uint64_t unit_ns)
{
	uint64_t tenths, ns = 0;
	bool rest = false;

	for (size_t i = digits.len; i > 0; i--) {
		tenths = (uint64_t)(digits.at[i - 1] - '0') * unit_ns + ns;
		rest |= tenths % 10 != 0;
		ns = tenths / 10;
	}
	return ns + rest;
}

/* Takes one number with its unit, which seconds may do without, off @rest and adds it. */
static int take_duration(struct span *rest, bool bare_seconds, struct duration *sum)
{
	struct span whole, fraction = { NULL, 0 }, unit;
	uint64_t number = 0, unit_size, part;
	int r;

	whole = take_digits(rest);
	if (rest->len > 0 && rest->at[0] == '.') {
		rest->at++;
		rest->len--;
		fraction = take_digits(rest);
	}
	if (whole.len + fraction.len == 0)
		return -EINVAL;

	unit = take_unit(rest);
	unit_size = unit_ns(unit);
	if (unit_size == 0 || (unit.len == 0 && !bare_seconds) ||
	    (unit.len == 0 && rest->len > 0 && rest->at[0] == '.'))
		return -EINVAL;

	r = whole.len > 0 ? sfront_parse_digits(whole.at, whole.len, &number) : 0;
	if (r == 0)
		r = add_whole(sum, number, unit_size);
	if (r < 0)
		return r;
	part = fraction_ns(fraction, unit_size);
	skip_space(rest);
	return add_duration(sum, part / NS_PER_MS, part % NS_PER_MS);
}

static int duration_of(struct span span, bool bare_seconds, uint64_t *ret_ms)
{
	struct duration sum = { 0, 0 };
	int r;

	if (span.len == 0)
		return -EINVAL;
	if (span_is(span, "infinity")) {
		*ret_ms = SFRONT_INFINITY_MS;
		return 0;
	}

	while (span.len > 0) {
		r = take_duration(&span, bare_seconds, &sum);
		if (r < 0)
			return r;
	}
	/* Rounded up, it must be less than infinity. */
	if (sum.ms >= SFRONT_INFINITY_MS - (sum.ns > 0))
		return -ERANGE;
	*ret_ms = sum.ms + (sum.ns > 0);
	return 0;
}

int sfront_parse_duration(const char *text, uint64_t *ret_ms, struct sfront_error *err)
{
	struct span span = trim(text);
	int r;

	r = duration_of(span, true, ret_ms);
	if (r == -ERANGE)
		return sfront_fail(err, r, "\"%.*s\" is too long a time; infinity is accepted",
				   shown(span), span.at);
	if (r < 0)
		return sfront_fail(err, r,
				   "\"%.*s\" is not a time: as in 250ms, 30s, 5min 20s, 1.5h or "
				   "infinity (a bare number is seconds)",
				   shown(span), span.at);
	return 0;
}

static bool is_digits(struct span span)
{
	uint64_t number;

	return sfront_parse_digits(span.at, span.len, &number) != -EINVAL;
}

/* A time of a keepalive setting, rounded up to the kernel's seconds: empty is 0. */
static int keepalive_time(struct span part, int *ret_s)
{
	uint64_t ms = 0;
	int r;

	*ret_s = 0;
	if (part.len == 0)
		return 0;
	r = is_digits(part) ? sfront_parse_digits(part.at, part.len, &ms)
			    : duration_of(part, false, &ms);
	if (r < 0)
		return r;
	if (ms < 1 || ms > KEEPALIVE_SECONDS_MAX * 1000ull)
		return -ERANGE;
	*ret_s = (int)((ms + 999) / 1000);
	return 0;
}

static int keepalive_count(struct span part, int *ret)
{
	uint64_t count = 0;
	int r;

	*ret = 0;
	if (part.len == 0)
		return 0;
	r = sfront_parse_digits(part.at, part.len, &count);
	if (r < 0)
		return r;
	if (count < 1 || count > KEEPALIVE_COUNT_MAX)
		return -ERANGE;
	*ret = (int)count;
	return 0;
}

/* The parts between the colons, without the blanks around them.  Returns 0 or -EINVAL. */
static int split_keepalive(struct span span, struct span ret[3])
{
	size_t n = 0;

	for (size_t start = 0, i = 0; i <= span.len; i++) {
		if (i < span.len && span.at[i] != ':')
			continue;
		if (n == 3)
			return -EINVAL;
		ret[n++] = trim_span((struct span){ span.at + start, i - start });
		start = i + 1;
	}
	return 0;
}

static int keepalive_of(struct span span, struct sfront_keepalive *ret)
{
	struct sfront_keepalive keepalive = { .on = true };
	struct span part[3] = { { NULL, 0 } };
	int r;

	if (span.len == 0 || switch_of(span, &keepalive.on) == 0) {
		*ret = keepalive;
		return 0;
	}
	r = split_keepalive(span, part);
	if (r == 0)
		r = keepalive_time(part[0], &keepalive.time_s);
	if (r == 0)
		r = keepalive_count(part[1], &keepalive.count);
	if (r == 0)
		r = keepalive_time(part[2], &keepalive.interval_s);
	if (r == 0)
		*ret = keepalive;
	return r;
}

int sfront_parse_keepalive(const char *text, struct sfront_keepalive *ret, struct sfront_error *err)
{
	struct span span = trim(text);
	int r;

	r = keepalive_of(span, ret);
	if (r == -ERANGE)
		return sfront_fail(
			err, r,
			"\"%.*s\" is out of range: times from 1ms to 32767s, the count from 1 to "
			"127",
			shown(span), span.at);
	if (r < 0)
		return sfront_fail(
			err, r,
			"\"%.*s\" is not a keepalive setting: TIME:COUNT:INTERVAL as in "
			"60s:3:5s, each part optional, a bare number in milliseconds; or yes or no",
			shown(span), span.at);
	return 0;
}

bool sfront_keepalive_is_suspect(const char *text)
{
	struct span part[3] = { { NULL, 0 } }, span = trim(text);
	uint64_t ms = 0;
	bool on;

	return switch_of(span, &on) < 0 && split_keepalive(span, part) == 0 &&
	       sfront_parse_digits(part[0].at, part[0].len, &ms) == 0 && ms < 1000;
}
