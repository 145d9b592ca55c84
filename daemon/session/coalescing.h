/* SPDX-License-Identifier: MIT */
/*
 * The sessions of a host in which bytes coalesce, and the one timer that looks after
 * them all.  Between relay/coalesce.c, which knows an end, and session.c, which
 * tells of every turn.
 */
#ifndef DAEMON_SESSION_COALESCING_H
#define DAEMON_SESSION_COALESCING_H

#include <event2/event.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/base/fine_timer.h"

struct endpoint;
struct session;
struct session_timing;

/* Of a host. */
struct coalescing {
	struct fine_timer timer; /* set as long as the list has anybody */
	LIST_HEAD(, session_timing) sessions;
};

void coalescing_init(struct coalescing *coalescing, struct event_base *base);

/* No session coalesces any more. */
void coalescing_clear(struct coalescing *coalescing);

/* Bytes from @from have moved, or are waiting to: the session may begin or end to coalesce. */
void coalescing_note(struct session *session, struct endpoint *from);

/* Nothing coalesces in the session any more; its descriptors are open. */
void coalescing_stop(struct session *session);

#endif
