/* SPDX-License-Identifier: MIT */
/*
 * The whole running process: what its threads share.  main.c and lifecycle.c set it up
 * before the workers start; afterwards only the members marked so change.
 */
#ifndef DAEMON_WORKER_PROCESS_H
#define DAEMON_WORKER_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "daemon/base/loop.h"
#include "daemon/worker/connection_limit.h"

struct acceptor;
struct generation;
struct roster;
struct worker;

struct process {
	struct process_config settings; /* in force; the main thread's */
	struct generation *generation;  /* the current one; the main thread's */
	struct roster *roster;          /* what is accepted from; the main thread's */
	struct worker *workers;
	unsigned int n_workers;
	struct acceptor *acceptor;     /* runs on the first worker's thread */
	bool interactive;              /* stdin is the connection, and a terminal */
	struct loop loop;              /* the main thread's: signals, timers of the whole */
	struct connection_limit limit; /* changes; any thread */
	atomic_int exit_status;        /* changes: 1 once a single connection has failed */
	atomic_uint cut;               /* changes: connections that were cut at a drain's end */
};

#endif
