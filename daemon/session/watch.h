/* SPDX-License-Identifier: MIT */
/*
 * The events of the two ends of a connection.  Whoever asks says what is waited for and
 * which function libevent is to call, with the end as its argument.
 */
#ifndef DAEMON_SESSION_WATCH_H
#define DAEMON_SESSION_WATCH_H

#include <event2/event.h>
#include <stdbool.h>

#include "daemon/relay/endpoint.h"

/*
 * Has @end wait for @watch instead of what it waits for.  False: out of memory, and it
 * waits for nothing.
 */
bool watch_end(struct event_base *base, struct endpoint *end, enum watch watch,
	       event_callback_fn ready);

/* What has come, for the function that libevent has called: what @end had waited for. */
enum watch watch_came(struct endpoint *end);

/*
 * If anything is pending from @from: waits, or no longer waits, until the peer takes it.
 * Ends by itself once nothing is.  False: out of memory, and it does not wait.
 */
bool watch_pending(struct event_base *base, struct endpoint *from, bool wanted,
		   event_callback_fn writable);

#endif
