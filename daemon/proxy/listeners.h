/* SPDX-License-Identifier: MIT */
/*
 * The listeners of a section of the configuration, opened side by side: those of a proxy, or
 * of [status].
 */
#ifndef DAEMON_PROXY_LISTENERS_H
#define DAEMON_PROXY_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>

struct listen_config;
struct listen_section;
struct listener;
struct sfront_error;
struct sfront_options;

/*
 * Says which listener that is open already serves that listen line: a reference for the
 * caller, or NULL if one has to be opened, with @options.
 */
typedef struct listener *listener_finder(void *data, const struct listen_config *listen,
					 const struct sfront_options *options);

/*
 * Opens every line that @find does not know.
 *
 * @exits_idle: what the process listens on has to outlive it: a listener of our own is an
 *              error
 * @listeners:  zeroed, as many as there are lines.  Filled with a reference each; on failure,
 *              some of them may be, too
 *
 * Returns 0, or -errno with @err saying why.
 */
int listeners_open(const struct listen_section *section, bool exits_idle, listener_finder *find,
		   void *data, struct listener **listeners, struct sfront_error *err);

/*
 * Lets go of the inherited descriptors that nobody else has, with the options that they had,
 * for a section that will not be used: whoever had them before goes on with them.
 */
void listeners_give_back(struct listener **listeners, size_t n);

/* Gives up the references, and frees the array.  NULL is allowed. */
void listeners_free(struct listener **listeners, size_t n);

#endif
