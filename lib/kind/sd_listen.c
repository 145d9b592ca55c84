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

#include "lib/kind/inherited.h"

/* What was passed; read once, since reading removes it from the environment. */
static struct {
	pthread_mutex_t lock;
	bool loaded;
	int count;    /* or a negative errno */
	char **names; /* lives as long as the process */
	char why_none[160];
	char reserved[SFRONT_NAME_SIZE]; /* what names of the program's own begin with, or "" */
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

static bool is_reserved(int index)
{
	size_t len = strlen(passed.reserved);

	return len > 0 && strncmp(passed.names[index], passed.reserved, len) == 0;
}

int sfront_inherited_reserve(const char *prefix)
{
	size_t len = strlen(prefix);
	int count = load(), n = 0;

	if (len == 0 || len >= sizeof(passed.reserved))
		return -EINVAL;
	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		if (strncmp(passed.names[i], prefix, len) != 0)
			continue;
		if (sfront_is_claimed(SD_LISTEN_FDS_START + i))
			return -EBUSY;
		n++;
	}
	memcpy(passed.reserved, prefix, len + 1);
	return n;
}

static int refuse_none(const struct sfront_address *address, const char *text, int count,
		       struct sfront_error *err)
{
	bool is_first = address->u.sd_listen.which == SFRONT_SD_LISTEN_FIRST;

	if (count < 0)
		return sfront_fail(err, count,
				   "%s: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES do not fit the "
				   "descriptors that are open: %s (%s)",
				   text, strerror(-count), passed.why_none);
	if (count > 0)
		return sfront_fail(err, -ENOENT,
				   "%s: all that was passed to this process (LISTEN_FDS is %d) is "
				   "what it stored itself; start it from a systemd .socket unit",
				   text, count);
	return sfront_fail(err, -ENOENT,
			   "%s: no socket was passed to this process: %s; start it from a systemd "
			   ".socket unit or with systemd-socket-activate -l ADDRESS%s",
			   text, passed.why_none,
			   is_first ? ", or give sd-accept-ignore-environment to take descriptor 3 "
				      "regardless"
				    : "");
}

/* "a", "b" */
static void list_names(int count, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (int i = 0; i < count && len < size; i++) {
		bool skipped = is_reserved(i);

		for (int j = 0; j < i && !skipped; j++)
			skipped = strcmp(passed.names[i], passed.names[j]) == 0;
		if (!skipped)
			len += (size_t)snprintf(buf + len, size - len, "%s\"%s\"", len ? ", " : "",
						passed.names[i]);
	}
}

/* The first that is not reserved, or @count. */
static int first_of(int count)
{
	int i = 0;

	while (i < count && is_reserved(i))
		i++;
	return i;
}

static bool is_wanted(const struct sfront_address *address, int index, int first)
{
	if (is_reserved(index))
		return false;
	switch (address->u.sd_listen.which) {
	case SFRONT_SD_LISTEN_ALL:
		return true;
	case SFRONT_SD_LISTEN_NAMED:
		return strcmp(passed.names[index], address->u.sd_listen.name) == 0;
	case SFRONT_SD_LISTEN_FIRST:
	default:
		return index == first;
	}
}

static int open_wanted(struct sfront_listener *listener, const struct sfront_address *address,
		       const char *text, int count, const struct sfront_options *options,
		       struct sfront_error *err)
{
	int first = first_of(count);
	char names[256];
	bool found = false;
	int r;

	for (int i = 0; i < count; i++) {
		if (!is_wanted(address, i, first))
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

/* Descriptor 3, whoever has passed it. */
static bool is_any_third(const struct sfront_address *address, const struct sfront_options *options,
			 int count)
{
	return options->sd_ignore_environment &&
	       address->u.sd_listen.which == SFRONT_SD_LISTEN_FIRST && first_of(count) == 0;
}

static int sd_listen_find(const struct sfront_address *address,
			  const struct sfront_options *options, struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	int count = load(); /* which looks at the descriptors that it counts */

	if (!is_any_third(address, options, count))
		return 0;
	sfront_address_format(address, text, sizeof(text));
	return sfront_inherited_find(SD_LISTEN_FDS_START, text, err);
}

static int sd_listen_open(struct sfront_listener *listener, const struct sfront_address *address,
			  const struct sfront_options *options, struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	int count = load();

	sfront_address_format(address, text, sizeof(text));
	if (is_any_third(address, options, count))
		return sfront_inherited_open(listener, &sfront_sd_listen_class, SD_LISTEN_FDS_START,
					     text, NULL, KIND_SD_LISTEN, options, err);
	if (count <= 0 || first_of(count) == count)
		return refuse_none(address, text, count, err);
	return open_wanted(listener, address, text, count, options, err);
}

const struct sfront_class sfront_sd_listen_class = {
	.name = "sd-listen",
	.find = sd_listen_find,
	.open = sd_listen_open,
	.accept = sfront_inherited_accept,
	.close = sfront_inherited_close,
	.release = sfront_inherited_release,
	.undo = sfront_inherited_undo,
	.verify = sfront_inherited_verify,
	.restore = sfront_inherited_restore,
};
