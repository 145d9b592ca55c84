/* SPDX-License-Identifier: MIT */
/*
 * RLIMIT_NOFILE and what becomes of it.
 */
#include "daemon/descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conf/conf.h"
#include "daemon/log.h"

/* For each worker: its event base, its wake-up, and the pipes' margin. */
#define DESCRIPTORS_A_WORKER 6

/* For the resolver, the log and whatever else needs one for a moment. */
#define RESERVE 16

#define MAX_PIPES 512

void descriptors_fill_standard(bool inetd)
{
	for (int fd = inetd ? STDERR_FILENO : STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		int null;

		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		null = open("/dev/null", O_RDWR);
		if (null >= 0 && null != fd) {
			(void)dup2(null, fd);
			close(null);
		}
	}
}

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

static unsigned long count_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned long n = 0;

	if (dir == NULL)
		return RESERVE;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

struct descriptor_plan descriptors_plan(const struct process_config *config)
{
	struct descriptor_plan plan = { .limit = raise_limit() };
	unsigned long long used =
		count_open() + RESERVE + DESCRIPTORS_A_WORKER * (unsigned long long)config->workers;
	unsigned long pipes = plan.limit / 16 < MAX_PIPES ? plan.limit / 16 : MAX_PIPES;
	unsigned long long possible = 1;

	plan.pipes_a_worker = (unsigned int)(pipes / config->workers);
	used += 2 * pipes;
	if (plan.limit > used + 2)
		possible = (plan.limit - used) / 2;

	plan.max_connections = (unsigned int)possible;
	if (config->max_connections > possible)
		log_line(LOG_WARNING,
			 "max-connections %llu wants %llu descriptors and the limit of open files "
			 "is %lu: %llu connections at once; raise LimitNOFILE= or ulimit -n",
			 (unsigned long long)config->max_connections,
			 used + 2ULL * config->max_connections, plan.limit, possible);
	else if (config->max_connections > 0)
		plan.max_connections = (unsigned int)config->max_connections;
	return plan;
}
