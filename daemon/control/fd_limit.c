/* SPDX-License-Identifier: MIT */
/*
 * RLIMIT_NOFILE and what becomes of it.
 */
#include "daemon/control/fd_limit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conf/conf.h"
#include "daemon/base/log.h"

/* An event base with its way to hear of signals, and a mailbox. */
#define DESCRIPTORS_A_BASE 4

/* What tells that a UNIX path was removed. */
#define WATCHES 1

/* For each worker: those, and the pipes' margin. */
#define DESCRIPTORS_A_WORKER (DESCRIPTORS_A_BASE + 2)

/* For the resolver, the log and whatever else needs one for a moment. */
#define RESERVE 16

#define MAX_PIPES 512

static unsigned long raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			limit.rlim_cur = before;
	}
	return limit.rlim_cur < INT32_MAX ? (unsigned long)limit.rlim_cur : INT32_MAX;
}

bool fd_limit_suffices(const struct process_config *config)
{
	unsigned long limit = raise_limit();
	unsigned long long wanted =
		2 + WATCHES + DESCRIPTORS_A_BASE * (1 + (unsigned long long)config->workers);
	unsigned long long found = 0;

	for (int fd = 0; (unsigned long)fd < limit && found < wanted; fd++)
		found += fcntl(fd, F_GETFD) < 0;
	if (found == wanted)
		return true;
	log_line(LOG_ERR,
		 "cannot start %llu worker(s): the limit of open files is %lu, which leaves %llu "
		 "descriptor(s) where %llu are needed; raise LimitNOFILE= or ulimit -n",
		 (unsigned long long)config->workers, limit, found, wanted);
	return false;
}

static unsigned long count_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned long n = 0;

	if (!dir)
		return RESERVE;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* What connections leave to everything else, as it was at the start. */
static struct {
	unsigned long limit;
	unsigned long long used;
} reserved;

static unsigned int possible_connections(void)
{
	if (reserved.limit > reserved.used + 2)
		return (unsigned int)((reserved.limit - reserved.used) / 2);
	return 1;
}

unsigned int fd_limit_max_connections(const struct process_config *config)
{
	unsigned int possible = possible_connections();

	if (config->max_connections == 0)
		return possible;
	if (config->max_connections <= possible)
		return (unsigned int)config->max_connections;
	log_line(LOG_WARNING,
		 "max-connections %llu needs %llu descriptors, and the limit of open files is %lu: "
		 "%u connections at once; raise LimitNOFILE= or ulimit -n",
		 (unsigned long long)config->max_connections,
		 reserved.used + 2ULL * config->max_connections, reserved.limit, possible);
	return possible;
}

struct fd_plan fd_limit_plan(const struct process_config *config, unsigned int others)
{
	struct fd_plan plan = { .limit = raise_limit() };
	unsigned long pipes = plan.limit / 16 < MAX_PIPES ? plan.limit / 16 : MAX_PIPES;

	reserved.limit = plan.limit;
	reserved.used = count_open() + RESERVE + others +
			DESCRIPTORS_A_WORKER * (unsigned long long)config->workers + 2 * pipes;
	plan.pipes_a_worker = (unsigned int)(pipes / config->workers);
	plan.possible_connections = possible_connections();
	plan.max_connections = fd_limit_max_connections(config);
	return plan;
}
