/* SPDX-License-Identifier: MIT */
/*
 * Looking after the sessions in which bytes coalesce.  Between relay/coalesce.c, which knows an
 * end, and session.c, which tells of every turn.
 */
#ifndef DAEMON_SESSION_COALESCING_H
#define DAEMON_SESSION_COALESCING_H

#include <event2/event.h>

struct coalescing;
struct endpoint;
struct session;

void coalescing_init(struct coalescing *coalescing, struct event_base *base);

/* No session coalesces any more. */
void coalescing_clear(struct coalescing *coalescing);

/* Bytes from @from have moved, or are waiting to: the session may begin or end to coalesce. */
void coalescing_note(struct session *session, struct endpoint *from);

/* Nothing coalesces in the session any more; its descriptors are open. */
void coalescing_stop(struct session *session);

#endif
