/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says of this process, as every program's metrics have it.
 */
#ifndef DAEMON_STATUS_SELF_H
#define DAEMON_STATUS_SELF_H

#include <stdint.h>

struct self {
	double cpu_seconds; /* of all threads */
	double started;     /* seconds of the epoch */
	uint64_t resident_bytes, virtual_bytes;
	uint64_t max_fds;
};

/* What cannot be learned stays 0. */
void self_look(struct self *ret);

/* How many descriptors are open.  Takes a millisecond for every few thousand. */
uint64_t self_count_fds(void);

#endif
