/* SPDX-License-Identifier: MIT */
/*
 * Processor time of a tree of processes: see cpu.h.  Read by meter.c where a
 * measurement begins and ends.
 */
#include "tests/bench/cpu.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Returns how much was read, at most @size - 1, and terminates it.  0: whoever it was is gone. */
static size_t read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t n;

	if (fd < 0)
		return 0;
	while ((n = read(fd, text + length, size - 1 - length)) > 0)
		length += (size_t)n;
	close(fd);
	text[length] = '\0';
	return length;
}

/*
 * What children that have ended had used, from the 16th and 17th field of
 * "stat".  Counted in ticks, which is coarse: only a proxy that forks has any.
 */
static uint64_t waited_for(pid_t pid)
{
	char path[64], text[1024], *at;
	uint64_t user = 0, kernel = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_file(path, text, sizeof(text)) == 0)
		return 0;
	at = strrchr(text, ')');
	if (at == NULL || sscanf(at + 1,
				 " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u"
				 " %" SCNu64 " %" SCNu64,
				 &user, &kernel) != 2)
		return 0;
	return (user + kernel) * (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK));
}

static uint64_t of_thread(pid_t pid, const char *thread)
{
	char path[512], text[128];

	snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, thread);
	if (read_file(path, text, sizeof(text)) == 0)
		return 0;
	return strtoull(text, NULL, 10);
}

/* A child may end at any moment: then its parent has its time. */
static uint64_t of_children(pid_t pid, const char *thread)
{
	const size_t size = 65536;
	char path[512], *text = malloc(size), *at, *next;
	uint64_t total = 0, ns;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/children", pid, thread);
	if (text == NULL || read_file(path, text, size) == 0) {
		free(text);
		return 0;
	}
	for (at = text;; at = next) {
		long child = strtol(at, &next, 10);

		if (next == at)
			break;
		if (cpu_of_tree((pid_t)child, &ns) == 0)
			total += ns;
	}
	free(text);
	return total;
}

int cpu_of_tree(pid_t pid, uint64_t *ret_ns)
{
	char path[64];
	struct dirent *entry;
	uint64_t total;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (tasks == NULL)
		return -ESRCH;
	total = waited_for(pid);
	while ((entry = readdir(tasks)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		total += of_thread(pid, entry->d_name);
		total += of_children(pid, entry->d_name);
	}
	closedir(tasks);
	*ret_ns = total;
	return 0;
}
