/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets that outlive a process: handed over by the one that is
 * upgraded, or kept by systemd over a restart (FDSTORE).  Either way they come
 * with a name that says which listen line they were opened for.
 */
#ifndef DAEMON_HANDOVER_FDSTORE_H
#define DAEMON_HANDOVER_FDSTORE_H

#include <stdbool.h>

#include "daemon/proxy/proxy.h"

struct generation;

/* sockfront-fdstore-0123456789abcdef */
#define STORE_NAME_SIZE 48

/* Whether an inherited descriptor of that name is one of those. */
bool store_is_name(const char *name);

/*
 * The name of a listener of our own: the address as it is written in the
 * configuration and, for a UNIX path, which file it is.
 */
void store_format_name(const struct listener *listener, char *buf);

/* Notes the sockets that came back from systemd's store.  Before anything is opened. */
void store_receive(void);

/*
 * Notes one that another process handed over, which is taken.  Those come first,
 * and are counted from 0.
 *
 * @name: copied
 *
 * False: out of memory.
 */
bool store_add(const char *name, int fd);

/* Whether number @index of those serves a listen line now. */
bool store_was_taken(size_t index);

/*
 * Gets rid of those that the configuration has no line for, so that others can
 * have the address: in systemd's store, too.
 */
void store_close_strangers(const struct config *config);

/* Gives what was noted for a listen line: the proxy_finder of a process that starts. */
struct listener *store_find(void *data, const struct proxy *proxy, size_t line);

/* Closes what nobody wanted, at the latest when the listeners are open. */
void store_close_rest(void);

/* Says which inherited sockets no proxy has, whose clients nobody accepts. */
void store_warn_of_untaken(void);

/* Whether systemd keeps sockets for this unit. */
bool store_is_kept(void);

/*
 * Tells systemd which sockets to keep: those of our own that @generation has, and
 * none that are gone.
 */
void store_update(struct generation *generation);

/* And which not any more: it is about to be closed. */
void store_forget(const struct listener *listener);

#endif
