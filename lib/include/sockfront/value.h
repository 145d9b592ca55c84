/* SPDX-License-Identifier: MIT */
/*
 * The values that people give options: switches, sizes, durations,
 * counts and keepalive settings.  Pure text, no system calls.
 */
#ifndef SOCKFRONT_VALUE_H
#define SOCKFRONT_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include <sockfront/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A duration without end: "infinity". */
#define SFRONT_INFINITY_MS UINT64_MAX

/*
 * TCP keepalive: whether it is on, and the parameters that differ from the
 * system's (0: the system's value).  As the kernel counts: in seconds.
 */
struct sfront_keepalive {
	bool on;
	int time_s;     /* idle time before the first probe, 1..32767 */
	int count;      /* unanswered probes that end the connection, 1..127 */
	int interval_s; /* between probes, 1..32767 */
};

/*
 * Each parses the whole of @text, white space around it aside, into *ret and
 * returns 0, or -EINVAL with @err saying what is accepted (-ERANGE where the
 * form is right and the number is not).  *ret is untouched on failure.
 */

/* yes, true, on, 1; no, false, off, 0; in any letter case. */
int sfront_parse_switch(const char *text, bool *ret, struct sfront_error *err);

/* Bytes: "65536", "64K", "1M", "2G" (powers of 1024, any letter case). */
int sfront_parse_size(const char *text, uint64_t *ret, struct sfront_error *err);

/*
 * Milliseconds, written as in systemd: "5min 20s", "250ms", "1.5h", "infinity";
 * a bare number is seconds.  What is finer than a millisecond rounds up.
 */
int sfront_parse_duration(const char *text, uint64_t *ret_ms, struct sfront_error *err);

/* Decimal digits only, from @min to @max. */
int sfront_parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *ret,
		       struct sfront_error *err);

/*
 * "TIME:COUNT:INTERVAL", each part optional, blanks around it allowed; empty or a
 * yes: on with the system's values; a no: off.  Times are durations as above, but
 * a bare number is milliseconds.  They round up to the kernel's seconds.
 */
int sfront_parse_keepalive(const char *text, struct sfront_keepalive *ret,
			   struct sfront_error *err);

/*
 * Whether the first part of a keepalive setting that parses is a bare number below
 * 1000, and so most likely meant as seconds: worth a warning.
 */
bool sfront_keepalive_is_suspect(const char *text);

/*
 * Applies @keepalive to the TCP socket @fd.  Returns 0 or -errno of setsockopt.
 */
int sfront_keepalive_apply(int fd, const struct sfront_keepalive *keepalive);

#ifdef __cplusplus
}
#endif
#endif
