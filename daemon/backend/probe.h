/* SPDX-License-Identifier: MIT */
/*
 * Probes of servers that are not up: connections of our own, on the main thread, so that no
 * client has to find out whether one answers again.  A backend of one server has none: its
 * clients have nowhere else to go.
 */
#ifndef DAEMON_BACKEND_PROBE_H
#define DAEMON_BACKEND_PROBE_H

struct backend;
struct loop;
struct prober;

/*
 * Looks after the servers of @backend from now on.
 *
 * @loop:    the main thread's, which may begin to run later
 * @backend: borrowed until prober_stop()
 *
 * Returns NULL when out of memory.
 */
struct prober *prober_new(struct loop *loop, struct backend *backend);

/* Looks after the servers that are not up already.  Main thread. */
void prober_start(struct prober *prober);

/* Ends what is under way, for good.  Main thread. */
void prober_stop(struct prober *prober);

/* Main thread.  NULL is allowed. */
void prober_free(struct prober *prober);

#endif
