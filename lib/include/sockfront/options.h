/* SPDX-License-Identifier: MIT */
/*
 * Options of a listener, set by name.  One table holds them all; command lines,
 * configuration files, help texts and manual pages read it from here.
 */
#ifndef SOCKFRONT_OPTIONS_H
#define SOCKFRONT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include <sockfront/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sfront_options;

/* One row of the table. */
struct sfront_option {
	const char *name;     /* "tcp-nodelay" */
	const char *argument; /* "BYTES", for help texts; "yes|no" for a switch */
	const char *help;     /* one line without a full stop */
	bool is_switch;       /* a yes/no: needs no value on a command line */
};

/*
 * Row number @index, or NULL past the last.  Rows are static.
 *
 * One option is in no row, and so is not offered by programs that know nothing
 * of it: accept-proxy-protocol, a switch.  With it each connection begins with a
 * PROXY protocol header, which the program reads (sockfront/proxy_protocol.h).
 * It is set by its name, as the others.
 */
const struct sfront_option *sfront_option_at(size_t index);

/* The row of that exact name, or NULL. */
const struct sfront_option *sfront_option_find(const char *name);

/*
 * A set of options, every one at its default.  The caller frees it.
 * Returns NULL when out of memory.
 */
struct sfront_options *sfront_options_new(void);

/* An independent copy, warning function included; NULL when out of memory. */
struct sfront_options *sfront_options_copy(const struct sfront_options *options);

/* NULL is allowed. */
void sfront_options_free(struct sfront_options *options);

/*
 * Sets one option.
 *
 * @value: as in a configuration file; NULL means "yes" for a switch
 *
 * User and group names are looked up at once.
 *
 * Returns 0, -ENOENT (no option of that name), -EINVAL or -ERANGE (a value that
 * it does not take; @err says what it takes), -ENOMEM.
 */
int sfront_options_set(struct sfront_options *options, const char *name, const char *value,
		       struct sfront_error *err);

/* Whether the option of that name was set, to whatever value. */
bool sfront_options_is_set(const struct sfront_options *options, const char *name);

/*
 * Whether both have the same options set, to the same values; where warnings go
 * does not count.  NULL: the defaults.
 */
bool sfront_options_equal(const struct sfront_options *a, const struct sfront_options *b);

/*
 * Writes the value of one option that was set, in the form that is read back as
 * the same: numbers for users and groups, milliseconds for keepalive.
 *
 * Returns the length of the whole text, as snprintf does, or -ENOENT if there
 * is no such option or it was not set.
 */
int sfront_options_get(const struct sfront_options *options, const char *name, char *buf,
		       size_t size);

/*
 * Writes every option that was set as lines "name = value" of an INI file, in
 * the order of the table, each with its newline.  Read back by whatever calls
 * sfront_options_set() for each, it gives the same options.
 *
 * Returns the length of the whole text, as snprintf does.
 */
size_t sfront_options_format(const struct sfront_options *options, char *buf, size_t size);

/*
 * What is worth saying but stops nothing, such as an option that has no effect
 * on the address it was given for, or a size that the kernel cut down: passed
 * to @warn while a listener is opened.  Without a function, it is dropped.
 *
 * @data: borrowed, handed back on each call
 */
void sfront_options_on_warning(struct sfront_options *options,
			       void (*warn)(void *data, const char *message), void *data);

#ifdef __cplusplus
}
#endif
#endif
