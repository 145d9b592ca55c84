/* SPDX-License-Identifier: MIT */
/*
 * What the service manager is told, in order, by a thread of its own: the
 * manager's socket blocks once it is full, and nobody else may wait for that.
 * Nothing happens where there is no manager.  The main thread's.
 */
#ifndef DAEMON_BASE_NOTIFY_H
#define DAEMON_BASE_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>

/* Whether there is a manager that listens. */
bool notify_wanted(void);

/* Lines such as "READY=1"; formatted as by printf.  False: out of memory. */
bool notify_send(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * The same, for what will be said again before long: dropped while the manager
 * does not read.  False: it was.
 */
bool notify_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Gives the manager a copy of a descriptor to keep under that name.  False: no room for it. */
bool notify_store(const char *name, int fd);

/*
 * Has the manager close its copies of that name.  What was to be stored under it and
 * has not been sent is not sent.
 */
void notify_unstore(const char *name);

/*
 * Forgets what was to be stored and has not been sent, and calls @dropped with the name
 * of each, also of the one that is being sent.  Returns how many.
 */
size_t notify_drop_stores(void (*dropped)(const char *name, void *data), void *data);

/* Waits until all has been sent, no longer than that.  Returns whether it has. */
bool notify_flush(unsigned int seconds);

/* Waits until the manager has acted upon what it was sent, no longer than that. */
void notify_barrier(unsigned int seconds);

/* Says nothing from now on, whatever it is asked to; or speaks again. */
void notify_mute(bool mute);

#endif
