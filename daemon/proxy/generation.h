/* SPDX-License-Identifier: MIT */
/*
 * A configuration at work.  The first is opened at the start; each reload opens
 * another, which shares the listeners that did not change.  A session stays with
 * the generation that accepted it, which therefore lives until the last of them
 * has ended.
 */
#ifndef DAEMON_PROXY_GENERATION_H
#define DAEMON_PROXY_GENERATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "daemon/base/mailbox.h"
#include "daemon/proxy/proxy.h"

struct accept_source;
struct process;

struct generation {
	struct process *process;
	struct config
		config;   /* the strings of the command line and of the file's name stay alive */
	const char *file; /* NULL: the command line alone */
	struct proxy *proxies;
	size_t n_proxies;
	struct accept_source *sources; /* owned array; in use by the acceptor */
	size_t n_sources;
	atomic_uint refs; /* being the current one, each session, each look-up */
	struct message unused;
};

/*
 * Makes a generation of a configuration.
 *
 * @config: its contents are taken, in any case
 * @find:   gives the listeners that are open already: see proxy.h
 *
 * Returns it with one reference, or NULL with @err saying why; what it opened is
 * closed again then, and inherited descriptors are left to others.
 */
struct generation *generation_open(struct process *process, struct config *config, const char *file,
				   proxy_finder *find, void *data, struct sfront_error *err);

/* Any thread. */
struct generation *generation_ref(struct generation *generation);

/* Any thread; the main thread frees it after the last one. */
void generation_unref(struct generation *generation);

/*
 * Lets go of the inherited descriptors that no other generation has, for one that
 * will not be used: whoever had them before goes on with them.
 */
void generation_give_back(struct generation *generation);

/* One that was never used; or at the end, when no other thread is left. */
void generation_free(struct generation *generation);

/* The open listener of that address, borrowed; NULL without one. */
struct listener *generation_listener(const struct generation *generation,
				     const struct sfront_address *address, unsigned int nth);

/* Calls @visit for each listener; returns how many times that said true. */
size_t generation_each(struct generation *generation,
		       bool (*visit)(struct listener *listener, void *data), void *data);

/*
 * From now on this is the newest generation that has those listeners, and its
 * options are the ones in force.  The main thread's.
 */
void generation_become_newest(struct generation *generation);

/* Whether @addr leads back to a listener of the generation.  Any thread. */
bool generation_listens_on(const struct generation *generation, const struct sfront_sockaddr *addr);

#endif
