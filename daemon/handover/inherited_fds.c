/* SPDX-License-Identifier: MIT */
/*
 * Which descriptors the process was started with: see inherited_fds.h.
 */
#include "daemon/handover/inherited_fds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf/conf.h"

/* Nobody passes higher numbers. */
#define ASKED_WITHOUT_PROC 4096

/* The first of those that systemd passes. */
#define FIRST_PASSED 3

static int fill(int fd)
{
	int null = open("/dev/null", O_RDWR), r = null;

	if (null < 0)
		return -errno;
	if (null != fd) {
		r = dup2(null, fd) < 0 ? -errno : 0;
		close(null);
	}
	return r < 0 ? r : 0;
}

int inherited_fds_fill_standard(bool inetd)
{
	int r = 0;

	for (int fd = inetd ? STDERR_FILENO : STDIN_FILENO; fd <= STDERR_FILENO && r == 0; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			r = fill(fd);
	return r;
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

static int compare_numbers(const void *a, const void *b)
{
	int one = *(const int *)a, other = *(const int *)b;

	return (one > other) - (one < other);
}

void inherited_fds_note(void)
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
	if (inherited.n > 0)
		qsort(inherited.fds, inherited.n, sizeof(*inherited.fds), compare_numbers);
}

static bool is_inherited(int fd)
{
	return inherited.n > 0 &&
	       bsearch(&fd, inherited.fds, inherited.n, sizeof(*inherited.fds), compare_numbers);
}

/* The descriptor that @listen takes whoever says that it was passed; -1: none. */
static int number_of(const struct sfront_options *options, const struct listen_config *listen)
{
	const struct sfront_address *address = &listen->address;

	if (address->kind == SFRONT_FD)
		return address->u.fd.number;
	if (address->kind == SFRONT_SD_LISTEN &&
	    address->u.sd_listen.which == SFRONT_SD_LISTEN_FIRST &&
	    options_are_yes(options, "sd-accept-ignore-environment"))
		return FIRST_PASSED;
	return -1;
}

static void check_descriptor(const struct sfront_options *options,
			     const struct listen_config *listen, struct problems *problems)
{
	int fd = number_of(options, listen);
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	if (fd < 0 || is_inherited(fd))
		return;
	sfront_address_format(&listen->address, text, sizeof(text));
	problem(problems, &listen->place,
		"listen: \"%s\": descriptor %d was not open when the process started, so that "
		"nobody can have passed it",
		text, fd);
}

void inherited_fds_check(const struct config *config, struct problems *problems)
{
	struct listen_section section;

	for (size_t i = 0; config_listen_section(config, i, &section); i++)
		for (size_t j = 0; j < section.n; j++)
			check_descriptor(section.options, &section.lines[j], problems);
}

int inherited_fds_at(size_t index)
{
	return index < inherited.n ? inherited.fds[index] : -1;
}
