/* SPDX-License-Identifier: MIT */
/*
 * What the process says of itself over HTTP, where there is a [status] section: which paths
 * there are, and when they are answered.  The main thread's; control/lifecycle.c says when it
 * begins and ends.
 */
#ifndef DAEMON_STATUS_STATUS_SERVER_H
#define DAEMON_STATUS_STATUS_SERVER_H

#include "daemon/status/status.h"

struct generation;
struct http;

/* The caller's memory, zeroed. */
struct status_server {
	struct status status;
	struct http *http; /* owned; NULL: there was never a section */
};

/* How many descriptors it may want, if the generation has a section. */
unsigned int status_server_descriptors(const struct generation *generation);

/* Begins to answer, if the current generation of @process has a section. */
void status_server_start(struct status_server *server, struct process *process);

/*
 * The process has another generation: answers on what that says, before what the older one
 * listens on is closed.  Nothing before the start.
 */
void status_server_follow(struct status_server *server);

/* The process drains from now on. */
void status_server_drain(struct status_server *server);

/* Answers nobody new any more: another process does. */
void status_server_leave(struct status_server *server);

/* Ends every connection. */
void status_server_stop(struct status_server *server);

/* After that, once the workers' threads have ended: frees what they were asked with. */
void status_server_clear(void);

#endif
