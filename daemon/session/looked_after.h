/* SPDX-License-Identifier: MIT */
/*
 * The sessions of a host in which bytes coalesce, and the one timer that looks after them
 * all.  A part of the host; coalescing.c works with it.
 */
#ifndef DAEMON_SESSION_LOOKED_AFTER_H
#define DAEMON_SESSION_LOOKED_AFTER_H

#include <sys/queue.h>

#include "daemon/base/fine_timer.h"

struct session_timing;

struct coalescing {
	struct fine_timer timer; /* set as long as the list has anybody */
	LIST_HEAD(, session_timing) sessions;
};

#endif
