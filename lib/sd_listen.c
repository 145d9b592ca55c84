/* SPDX-License-Identifier: MIT */
/*
 * sd-listen, sd-listen:NAME, sd-listen:*: the descriptors that LISTEN_FDS
 * counts.  The only file that calls libsystemd.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "internal.h"

/* What was passed; read once, since reading removes it from the environment. */
static struct {
	pthread_mutex_t lock;
	bool loaded;
	int count;    /* or a negative errno */
	char **names; /* lives as long as the process */
	char why_none[160];
} passed = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Why nothing is for us, while the variables are still there. */
static void note_why_none(void)
{
	const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");

	if (!fds)
		snprintf(passed.why_none, sizeof(passed.why_none), "LISTEN_FDS is not set");
	else if (!pid)
		snprintf(passed.why_none, sizeof(passed.why_none), "LISTEN_PID is not set");
	else if (strtol(pid, NULL, 10) != getpid())
		snprintf(passed.why_none, sizeof(passed.why_none),
			 "LISTEN_PID is %.16s, another process (this one is %d)", pid, getpid());
	else
		snprintf(passed.why_none, sizeof(passed.why_none), "LISTEN_FDS is \"%.16s\"", fds);
}

/* How many were passed to this process, or a negative errno. */
static int load(void)
{
	int count;

	pthread_mutex_lock(&passed.lock);
	if (!passed.loaded) {
		note_why_none();
		passed.count = sd_listen_fds_with_names(1, &passed.names);
		passed.loaded = true;
	}
	count = passed.count;
	pthread_mutex_unlock(&passed.lock);
	return count;
}

int sfront_inherited_at(size_t index, struct sfront_inherited *ret)
{
	int count = load();

	if (count < 0)
		return count;
	if (index >= (size_t)count)
		return -ENOENT;

	ret->fd = SD_LISTEN_FDS_START + (int)index;
	ret->name = passed.names[index];
	ret->taken = sfront_is_claimed(ret->fd);
	return 0;
}

static int refuse_none(const char *text, int count, struct sfront_error *err)
{
	if (count < 0)
		return sfront_fail(err, count,
				   "%s: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES do not fit the "
				   "descriptors that are open: %s (%s)",
				   text, strerror(-count), passed.why_none);
	return sfront_fail(err, -ENOENT,
			   "%s: no socket was passed to this process: %s; start it from a systemd "
			   ".socket unit or with systemd-socket-activate -l ADDRESS, or give "
			   "sd-accept-ignore-environment to take descriptor 3 regardless",
			   text, passed.why_none);
}

/* "a", "b" */
static void list_names(int count, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (int i = 0; i < count && len < size; i++) {
		bool repeated = false;

		for (int j = 0; j < i && !repeated; j++)
			repeated = strcmp(passed.names[i], passed.names[j]) == 0;
		if (!repeated)
			len += (size_t)snprintf(buf + len, size - len, "%s\"%s\"", len ? ", " : "",
						passed.names[i]);
	}
}

static bool is_wanted(const struct sfront_address *address, int index)
{
	switch (address->u.sd_listen.which) {
	case SFRONT_SD_LISTEN_ALL:
		return true;
	case SFRONT_SD_LISTEN_NAMED:
		return strcmp(passed.names[index], address->u.sd_listen.name) == 0;
	case SFRONT_SD_LISTEN_FIRST:
	default:
		return index == 0;
	}
}

static int open_wanted(struct sfront_listener *listener, const struct sfront_address *address,
		       const char *text, int count, const struct sfront_options *options,
		       struct sfront_error *err)
{
	char names[256];
	bool found = false;
	int r;

	for (int i = 0; i < count; i++) {
		if (!is_wanted(address, i))
			continue;
		found = true;
		r = sfront_inherited_open(listener, &sfront_sd_listen_class,
					  SD_LISTEN_FDS_START + i, text, passed.names[i],
					  KIND_SD_LISTEN, options, err);
		if (r < 0)
			return r;
	}
	if (found)
		return 0;
	list_names(count, names, sizeof(names));
	return sfront_fail(err, -ENOENT,
			   "%s: no inherited descriptor has that name; there is %s "
			   "(FileDescriptorName= in a .socket unit sets it)",
			   text, names);
}

static int sd_listen_open(struct sfront_listener *listener, const struct sfront_address *address,
			  const struct sfront_options *options, struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	int count = load();

	sfront_address_format(address, text, sizeof(text));
	if (options->sd_ignore_environment && address->u.sd_listen.which == SFRONT_SD_LISTEN_FIRST)
		return sfront_inherited_open(listener, &sfront_sd_listen_class, SD_LISTEN_FDS_START,
					     text, NULL, KIND_SD_LISTEN, options, err);
	if (count <= 0)
		return refuse_none(text, count, err);
	return open_wanted(listener, address, text, count, options, err);
}

const struct sfront_class sfront_sd_listen_class = {
	.name = "sd-listen",
	.open = sd_listen_open,
	.accept = sfront_inherited_accept,
	.close = sfront_inherited_close,
	.release = sfront_inherited_release,
	.undo = sfront_inherited_undo,
};
