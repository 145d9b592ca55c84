/* SPDX-License-Identifier: MIT */
/*
 * What the answers of the status address are about.
 */
#ifndef DAEMON_STATUS_STATUS_H
#define DAEMON_STATUS_STATUS_H

#include <stdbool.h>

struct process;

struct status {
	struct process *process; /* borrowed */
	bool is_draining;        /* it is being stopped, or another one has taken over */
};

#endif
