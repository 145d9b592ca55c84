/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets of our own that wait between the start of a process and the opening
 * of its listeners: those that the old process of an upgrade has passed, and those that
 * systemd has kept.  They come with the names of socket_name.h.
 */
#ifndef DAEMON_HANDOVER_RECEIVED_H
#define DAEMON_HANDOVER_RECEIVED_H

#include <stdbool.h>
#include <stddef.h>

struct config;
struct listen_config;
struct listener;
struct sfront_options;

/*
 * Notes one that the old process has passed, which is taken.  Those come first, and
 * are counted from 0.
 *
 * @name: copied
 *
 * False: out of memory.
 */
bool received_add(const char *name, int fd);

/* Notes those that systemd has kept.  Before anything is opened. */
void received_add_kept(void);

/* Whether number @index of those that were passed serves a listen line now. */
bool received_was_taken(size_t index);

/*
 * Closes those that the configuration has no line for, so that others can have the
 * address; systemd forgets its own, and their paths are removed.
 */
void received_close_strangers(const struct config *config);

/* Gives those that were opened for a listen line: the listener_finder of a process that
 * starts. */
struct listener *received_find(void *data, const struct listen_config *listen,
			       const struct sfront_options *options);

/* Closes what nobody wanted, at the latest when the listeners are open. */
void received_close_rest(void);

#endif
