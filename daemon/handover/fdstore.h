/* SPDX-License-Identifier: MIT */
/*
 * The listening sockets that systemd keeps for us over a restart, up to
 * FileDescriptorStoreMax=, under the names of socket_name.h.  What it has been sent is
 * remembered: each socket once, and no more than it keeps.
 */
#ifndef DAEMON_HANDOVER_FDSTORE_H
#define DAEMON_HANDOVER_FDSTORE_H

#include <stdbool.h>

struct generation;
struct listener;

/* Whether systemd keeps sockets for this unit. */
bool fdstore_is_on(void);

/* Notes that systemd keeps a socket of that name: to be called for each. */
void fdstore_note_kept(const char *name);

/* Whether it keeps those of that name. */
bool fdstore_has(const char *name);

/*
 * Tells systemd which sockets to keep: those of our own that @generation has, as many
 * as there is room for, and none that are gone.  Those that it keeps are marked as
 * shared, and no others.
 */
void fdstore_update(struct generation *generation);

/* And which not any more: it is about to be closed. */
void fdstore_forget(const struct listener *listener);

/* The same, of those that have no listener. */
void fdstore_forget_name(const char *name);

/*
 * Before the listeners are closed at the end: what systemd has not even read is not
 * kept, and such a listener is not shared any more.  Nothing after a hand-over.
 */
void fdstore_settle(struct generation *generation);

#endif
