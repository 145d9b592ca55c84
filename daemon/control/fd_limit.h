/* SPDX-License-Identifier: MIT */
/*
 * How the process's descriptors are shared out between connections, pipes and everything
 * else.
 */
#ifndef DAEMON_CONTROL_FD_LIMIT_H
#define DAEMON_CONTROL_FD_LIMIT_H

#include <stdbool.h>
#include <stddef.h>

struct process_config;

struct fd_plan {
	unsigned long limit;               /* RLIMIT_NOFILE, raised as far as allowed */
	unsigned int max_connections;      /* two descriptors each; at least 1 */
	unsigned int possible_connections; /* without max-connections */
	unsigned int pipes_a_worker;       /* two descriptors each */
};

/*
 * Raises the limit of open files to what is allowed.  To be called when the listeners
 * are open.
 *
 * False: too few are left to start the workers and to serve a single
 * connection; the log says so.  libevent would end the process without a word
 * of advice, and with its UNIX paths left behind.
 */
bool fd_limit_suffices(const struct process_config *config);

/*
 * Shares out the limit of open files.  To be called when everything but the workers is
 * open.
 *
 * @others: what others may want than connections and workers
 */
struct fd_plan fd_limit_plan(const struct process_config *config, unsigned int others);

/*
 * How many connections there may be at once under other settings, by the plan that
 * was made at the start.  At least 1.
 */
unsigned int fd_limit_max_connections(const struct process_config *config);

#endif
