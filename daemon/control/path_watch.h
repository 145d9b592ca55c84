/* SPDX-License-Identifier: MIT */
/*
 * Notices that the path of a UNIX socket was removed or replaced under us: clients
 * fail from then on, and nothing else would say why.
 */
#ifndef DAEMON_CONTROL_PATH_WATCH_H
#define DAEMON_CONTROL_PATH_WATCH_H

struct event_base;
struct generation;

/*
 * Watches the paths that @generation has bound, and no others any more.  Costs
 * one descriptor where there are any.  The main thread's.
 */
void path_watch_start(struct event_base *base, struct generation *generation);

void path_watch_stop(void);

#endif
