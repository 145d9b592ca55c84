/* SPDX-License-Identifier: MIT */
/*
 * A configuration at work: its proxies, what they share, and where questions about them
 * are answered.  The first is opened at
 * the start; each reload opens another, which shares the listeners that did not change.
 * All of it is the main thread's: a session stays with the proxy that accepted it,
 * and needs nothing else of its generation.
 */
#ifndef DAEMON_PROXY_GENERATION_H
#define DAEMON_PROXY_GENERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "conf/conf.h"
#include "daemon/base/mailbox.h"
#include "daemon/proxy/proxy.h"

struct loop;
struct loop_guard;
struct status_section;

struct generation {
	struct process_config process;
	unsigned int number;    /* no other one of the process has it */
	time_t opened;          /* by the wall clock */
	const char *file;       /* NULL: the command line alone; its text stays alive */
	struct proxy **proxies; /* owned array; a reference each */
	size_t n_proxies;
	struct status_section *status;   /* owned; NULL: there is none */
	struct listener_key *by_address; /* owned array: see generation_listener() */
	size_t n_listeners;
	struct loop_guard *guard; /* every address that they listen on */
	struct generation *older; /* whose last listeners are still accepted from */
};

/* What a generation is opened with, beside its configuration. */
struct generation_source {
	listener_finder *find; /* gives the listeners that are open already: see listeners.h */
	void *data;
	struct loop *home;      /* the main thread's */
	unsigned int n_workers; /* that there are, or will be */
};

/*
 * Makes a generation of a configuration.
 *
 * @config: its contents are taken, in any case
 *
 * Returns it, or NULL with @err saying why; what it opened is closed again then, and
 * inherited descriptors are left to others.
 */
struct generation *generation_open(struct config *config, const char *file,
				   const struct generation_source *source,
				   struct sfront_error *err);

/* Says in the log which keys of a configuration have no effect; generation_open() does. */
void generation_warn(const struct config *config);

/*
 * Lets go of the inherited descriptors that no other generation has, for one that
 * will not be used: whoever had them before goes on with them.
 */
void generation_give_back(struct generation *generation);

/* Begins to look after its servers: to probe them, to look up their names.  The loop is there. */
void generation_start_probes(struct generation *generation);

/* Ends the probes of its servers, for good: whoever frees the main thread's loop has to. */
void generation_stop_probes(struct generation *generation);

/* The proxies that sessions still have live on, but probe no server any more. */
void generation_free(struct generation *generation);

/* The open listener of that address, borrowed; NULL without one. */
struct listener *generation_listener(const struct generation *generation,
				     const struct sfront_address *address, unsigned int nth);

typedef bool listener_visitor(struct listener *listener, void *data);

/* Calls @visit for each listener; returns how many times that said true. */
size_t generation_each(struct generation *generation, listener_visitor *visit, void *data);

/* The same, for those of proxies alone, or of [status] alone. */
size_t generation_each_of_proxies(struct generation *generation, listener_visitor *visit,
				  void *data);
size_t generation_each_of_status(struct generation *generation, listener_visitor *visit,
				 void *data);

/*
 * The connections of each proxy of @next are counted with those of the one of that name in
 * @before, which is older; what is known of their servers is known to both.
 */
void generation_share(struct generation *next, const struct generation *before);

/* Clients of its proxies that are held go on at the newest ones: see proxy_be_replaced(). */
void generation_be_replaced(struct generation *generation);

/*
 * From now on this is the newest generation that has those listeners, and its
 * options are the ones in force.
 */
void generation_become_newest(struct generation *generation);

#endif
