/* SPDX-License-Identifier: MIT */
/*
 * What is counted of the process: see counters.h.
 */
#ifndef DAEMON_WORKER_PROCESS_COUNTS_H
#define DAEMON_WORKER_PROCESS_COUNTS_H

#include "daemon/base/counters.h"

enum process_count {
	PROCESS_RELOADS,
	PROCESS_RELOADS_FAILED,
	PROCESS_UPGRADES,
	PROCESS_UPGRADES_FAILED,
	PROCESS_PAUSES_FULL,      /* of accepting: there was no slot */
	PROCESS_PAUSES_RESOURCES, /* no descriptor, or no memory */
	N_PROCESS_COUNTS
};

#endif
