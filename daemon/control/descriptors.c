/* SPDX-License-Identifier: MIT */
/*
 * RLIMIT_NOFILE and what becomes of it.
 */
#include "daemon/control/descriptors.h"

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

/* Nobody passes higher numbers. */
#define ASKED_WITHOUT_PROC 4096

/* The first of those that systemd passes. */
#define FIRST_PASSED 3

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

/* The numbers that were open at the start. */
static struct {
	int *fds;
	size_t n;
} inherited;

/* exec() would have closed those that are to be closed: they are ours. */
static void note_if_inherited(int fd)
{
	int flags = fcntl(fd, F_GETFD), *grown;

	if (flags < 0 || (flags & FD_CLOEXEC))
		return;
	grown = reallocarray(inherited.fds, inherited.n + 1, sizeof(*grown));
	if (!grown)
		return;
	inherited.fds = grown;
	inherited.fds[inherited.n++] = fd;
}

void descriptors_note_inherited(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!dir) { /* not every container has it */
		for (int fd = 0; fd < ASKED_WITHOUT_PROC; fd++)
			note_if_inherited(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			note_if_inherited(atoi(entry->d_name));
	closedir(dir);
}

static bool is_inherited(int fd)
{
	for (size_t i = 0; i < inherited.n; i++)
		if (inherited.fds[i] == fd)
			return true;
	return false;
}

/* The descriptor that @listen takes whoever says that it was passed; -1: none. */
static int number_of(const struct proxy_config *proxy, const struct listen_config *listen)
{
	const struct sfront_address *address = &listen->address;

	if (address->kind == SFRONT_FD)
		return address->u.fd.number;
	if (address->kind == SFRONT_SD_LISTEN &&
	    address->u.sd_listen.which == SFRONT_SD_LISTEN_FIRST &&
	    proxy_config_is_yes(proxy, "sd-accept-ignore-environment"))
		return FIRST_PASSED;
	return -1;
}

static void check_descriptor(const struct proxy_config *proxy, const struct listen_config *listen,
			     struct problems *problems)
{
	int fd = number_of(proxy, listen);
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	if (fd < 0 || is_inherited(fd))
		return;
	sfront_address_format(&listen->address, text, sizeof(text));
	problem(problems, &listen->place,
		"listen: \"%s\": descriptor %d was not open when the process started, so that "
		"nobody can have passed it",
		text, fd);
}

void descriptors_check(const struct config *config, struct problems *problems)
{
	for (size_t i = 0; i < config->n_proxies; i++)
		for (size_t j = 0; j < config->proxies[i].n_listen; j++)
			check_descriptor(&config->proxies[i], &config->proxies[i].listen[j],
					 problems);
}

int descriptors_inherited_at(size_t index)
{
	return index < inherited.n ? inherited.fds[index] : -1;
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

bool descriptors_suffice(const struct process_config *config)
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
		 "descriptor(s) where %llu are wanted; raise LimitNOFILE= or ulimit -n",
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

unsigned int descriptors_max_connections(const struct process_config *config)
{
	unsigned long long possible = 1;

	if (reserved.limit > reserved.used + 2)
		possible = (reserved.limit - reserved.used) / 2;
	if (config->max_connections == 0)
		return (unsigned int)possible;
	if (config->max_connections <= possible)
		return (unsigned int)config->max_connections;
	log_line(LOG_WARNING,
		 "max-connections %llu wants %llu descriptors and the limit of open files is %lu: "
		 "%llu connections at once; raise LimitNOFILE= or ulimit -n",
		 (unsigned long long)config->max_connections,
		 reserved.used + 2ULL * config->max_connections, reserved.limit, possible);
	return (unsigned int)possible;
}

struct descriptor_plan descriptors_plan(const struct process_config *config)
{
	struct descriptor_plan plan = { .limit = raise_limit() };
	unsigned long pipes = plan.limit / 16 < MAX_PIPES ? plan.limit / 16 : MAX_PIPES;

	reserved.limit = plan.limit;
	reserved.used = count_open() + RESERVE +
			DESCRIPTORS_A_WORKER * (unsigned long long)config->workers + 2 * pipes;
	plan.pipes_a_worker = (unsigned int)(pipes / config->workers);
	plan.max_connections = descriptors_max_connections(config);
	return plan;
}
