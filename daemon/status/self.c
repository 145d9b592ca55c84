/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says of this process: see self.h.
 */
#include "daemon/status/self.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double seconds_of(const struct timespec *time)
{
	return (double)time->tv_sec + (double)time->tv_nsec / 1e9;
}

static double now_by(clockid_t clock)
{
	struct timespec now = { 0 };

	clock_gettime(clock, &now);
	return seconds_of(&now);
}

static bool read_stat(char *buf, size_t size)
{
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	return true;
}

/*
 * By the wall clock.  Worked out once: two looks at two clocks differ a little each time, and
 * the wall clock may be set.
 *
 * @start: in ticks since boot
 */
static double began_at(unsigned long long start)
{
	static double began;

	if (began == 0)
		began = now_by(CLOCK_REALTIME) - now_by(CLOCK_BOOTTIME) +
			(double)start / (double)sysconf(_SC_CLK_TCK);
	return began;
}

/* The name of the program, which stands between parentheses, may be anything. */
static void look_at_stat(struct self *self)
{
	unsigned long long start, virtual;
	long resident;
	char buf[1024], *after;

	if (!read_stat(buf, sizeof(buf)))
		return;
	after = strrchr(buf, ')');
	if (!after ||
	    sscanf(after + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
		   "%llu %llu %ld",
		   &start, &virtual, &resident) != 3)
		return;
	self->virtual_bytes = virtual;
	self->resident_bytes = (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
	self->started = began_at(start);
}

uint64_t self_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (!dir)
		return 0;
	for (struct dirent *entry; (entry = readdir(dir));)
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n > 0 ? n - 1 : 0; /* the directory itself */
}

void self_look(struct self *ret)
{
	struct rlimit limit;

	*ret = (struct self){ .cpu_seconds = now_by(CLOCK_PROCESS_CPUTIME_ID) };
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		ret->max_fds = limit.rlim_cur;
	look_at_stat(ret);
}
