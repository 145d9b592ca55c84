/* SPDX-License-Identifier: MIT */
/*
 * What the process says of itself over HTTP, where there is a [status] section.  The main
 * thread's; control/lifecycle.c says when it begins and ends.
 */
#ifndef DAEMON_STATUS_STATUS_H
#define DAEMON_STATUS_STATUS_H

#include <stdbool.h>

struct http;
struct process;

/* The caller's memory, zeroed; routes read it. */
struct status {
	struct process *process; /* borrowed */
	struct http *http;       /* owned; NULL: there was never a section */
	bool is_draining;        /* it is being stopped, or another one has taken over */
};

/* Begins to answer, if the current generation of @process has a section. */
void status_start(struct status *status, struct process *process);

/* The process has another generation: answers on what that says.  Before the listeners of the
 * older one are closed.  Nothing before status_start(). */
void status_follow(struct status *status);

/* The process drains from now on. */
void status_drain(struct status *status);

/* Answers nobody new any more: another process does. */
void status_leave(struct status *status);

/* Ends every connection. */
void status_stop(struct status *status);

#endif
