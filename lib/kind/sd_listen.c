/* SPDX-License-Identifier: MIT */
/*
 * sd-listen, sd-listen:NAME, sd-listen:*: the descriptors that LISTEN_FDS
 * counts.  The only file that calls libsystemd.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/kind/inherited.h"

#define LISTED_MAX 4096 /* more than any LISTEN_FDS that counts something */

/* What was passed; read once, since reading removes it from the environment. */
static struct {
	pthread_mutex_t lock;
	bool loaded;
	int count;    /* for this process, or a negative errno */
	int listed;   /* in LISTEN_FDS, for whichever process; 0: none */
	char **names; /* of LISTEN_FDNAMES, with what follows in one block that stays */
	int *by_name; /* their numbers, in the order of the names, and within one as they came */
	int n_names;  /* -1: there is no LISTEN_FDNAMES */
	int first;    /* how many come before the first that is not reserved */
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

/* What LISTEN_FDS says, for whoever ignores LISTEN_PID. */
static int count_listed(void)
{
	const char *fds = getenv("LISTEN_FDS");
	uint64_t number;

	if (!fds || sfront_parse_digits(fds, strlen(fds), &number) < 0 || number >= LISTED_MAX)
		return 0;
	return (int)number;
}

static int compare_names(const void *a, const void *b)
{
	int one = *(const int *)a, other = *(const int *)b;
	int r = strcmp(passed.names[one], passed.names[other]);

	return r != 0 ? r : (one > other) - (one < other);
}

/* Copies LISTEN_FDNAMES, split at its colons.  Returns 0 or -ENOMEM. */
static int copy_names(void)
{
	const char *text = getenv("LISTEN_FDNAMES");
	size_t n = 1;
	char *copy;

	passed.n_names = -1;
	if (!text)
		return 0;
	for (const char *at = text; *at; at++)
		n += *at == ':';
	passed.names = malloc(n * (sizeof(char *) + sizeof(int)) + strlen(text) + 1);
	if (!passed.names)
		return -ENOMEM;
	passed.by_name = (int *)(passed.names + n);
	copy = (char *)(passed.by_name + n);
	memcpy(copy, text, strlen(text) + 1);
	for (size_t i = 0; i < n; i++) {
		passed.names[i] = strsep(&copy, ":");
		passed.by_name[i] = (int)i;
	}
	qsort(passed.by_name, n, sizeof(int), compare_names);
	passed.n_names = (int)n;
	return 0;
}

/* How many were passed to this process, or a negative errno. */
static int load(void)
{
	int count = 0;

	pthread_mutex_lock(&passed.lock);
	if (!passed.loaded) {
		note_why_none();
		passed.listed = count_listed();
		count = copy_names(); /* without, all stays for the next time */
		if (count == 0)
			passed.count = sd_listen_fds(1);
		passed.loaded = count == 0;
	}
	if (passed.loaded)
		count = passed.count;
	pthread_mutex_unlock(&passed.lock);
	return count;
}

/*
 * The name of descriptor number @index, or NULL.  Where there are more or fewer
 * names than descriptors, as when one has a colon in it, nobody can tell which is
 * whose.
 */
static const char *name_of(int index)
{
	return passed.count > 0 && passed.n_names == passed.count ? passed.names[index] : NULL;
}

int sfront_inherited_at(size_t index, struct sfront_inherited *ret)
{
	int count = load();
	const char *name;

	if (count < 0)
		return count;
	if (index >= (size_t)count)
		return -ENOENT;

	name = name_of((int)index);
	ret->fd = SD_LISTEN_FDS_START + (int)index;
	ret->name = name ? name : "unknown";
	ret->taken = sfront_is_claimed(ret->fd);
	return 0;
}

static bool begins_with(const char *name, const char *prefix)
{
	return name && strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_reserved(int index)
{
	return passed.reserved[0] && begins_with(name_of(index), passed.reserved);
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
		if (!begins_with(name_of(i), prefix))
			continue;
		if (sfront_is_claimed(SD_LISTEN_FDS_START + i))
			return -EBUSY;
		n++;
	}
	memcpy(passed.reserved, prefix, len + 1);
	passed.first = 0;
	while (passed.first < count && is_reserved(passed.first))
		passed.first++;
	return n;
}

/* The address that takes stdin where that is a socket, or NULL. */
static const char *address_of_stdin(void)
{
	struct sfront_identity identity;
	char what[SFRONT_WHAT_SIZE];

	if (sfront_identify(STDIN_FILENO, &identity, what) < 0)
		return NULL;
	return identity.listening ? "accept-from-fd:0" : "-";
}

static const char *hint_of_option(enum sfront_sd_listen which)
{
	if (which == SFRONT_SD_LISTEN_FIRST)
		return ", or give sd-accept-ignore-environment to take descriptor 3 regardless";
	if (which == SFRONT_SD_LISTEN_ALL ? passed.listed > 0 : passed.n_names > 0)
		return ", or give sd-accept-ignore-environment to ignore LISTEN_PID";
	return "";
}

static int refuse_none(const struct sfront_address *address, const char *text, int count,
		       struct sfront_error *err)
{
	const char *instead = address_of_stdin();

	if (count < 0)
		return sfront_fail(err, count,
				   "%s: LISTEN_PID and LISTEN_FDS do not fit the descriptors that "
				   "are open: %s (%s)",
				   text, strerror(-count), passed.why_none);
	if (count > 0)
		return sfront_fail(err, -ENOENT,
				   "%s: all that was passed to this process (LISTEN_FDS is %d) is "
				   "what it stored itself; start it from a systemd .socket unit",
				   text, count);
	if (instead)
		return sfront_fail(err, -ENOENT,
				   "%s: no socket was passed to this process: %s; its stdin is a "
				   "socket, which the address %s takes",
				   text, passed.why_none, instead);
	return sfront_fail(err, -ENOENT,
			   "%s: no socket was passed to this process: %s; start it from a systemd "
			   ".socket unit or with systemd-socket-activate -l ADDRESS%s",
			   text, passed.why_none, hint_of_option(address->u.sd_listen.which));
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

/* Before version 257, systemd has one name for every connection of Accept=yes. */
static const char *hint_of_connection(int count)
{
	return count == 1 && strcmp(passed.names[0], "connection") == 0
		       ? "; with Accept=yes, systemd before version 257 passes \"connection\" "
			 "whatever that says: sd-listen takes it"
		       : "";
}

static int refuse_name(const char *text, int count, struct sfront_error *err)
{
	char names[256];

	if (passed.n_names < 0)
		return sfront_fail(
			err, -ENOENT,
			"%s: LISTEN_FDNAMES is not set, so that no descriptor has a name; "
			"sd-listen takes the first, sd-listen:* all",
			text);
	if (passed.n_names != count)
		return sfront_fail(
			err, -ENOENT,
			"%s: LISTEN_FDNAMES has %d names for %d descriptors (a name with a "
			"colon counts as two), so that nobody can tell whose they are; "
			"FileDescriptorName= in the .socket unit sets a name, sd-listen "
			"takes the first descriptor, sd-listen:* all",
			text, passed.n_names, count);
	list_names(count, names, sizeof(names));
	return sfront_fail(err, -ENOENT,
			   "%s: no inherited descriptor has that name; there is %s "
			   "(FileDescriptorName= in a .socket unit sets it%s)",
			   text, names, hint_of_connection(count));
}

/* The first that is not reserved, or @count. */
static int first_of(int count)
{
	return passed.first < count ? passed.first : count;
}

/* The descriptors to choose from, and how their names are known. */
struct choice {
	const struct sfront_address *address;
	bool regardless; /* of LISTEN_PID */
	int count;
};

static struct choice choose(const struct sfront_address *address,
			    const struct sfront_options *options)
{
	struct choice choice = { .address = address, .count = load() };
	enum sfront_sd_listen which = address->u.sd_listen.which;

	if (!options->sd_ignore_environment ||
	    (choice.count > 0 &&
	     (which != SFRONT_SD_LISTEN_NAMED || passed.n_names == choice.count)))
		return choice;
	choice.regardless = true;
	if (which == SFRONT_SD_LISTEN_FIRST)
		choice.count = 1;
	else if (which == SFRONT_SD_LISTEN_ALL)
		choice.count = passed.listed;
	else
		choice.count = passed.n_names > 0 ? passed.n_names : 0;
	return choice;
}

static const char *name_in(const struct choice *choice, int index)
{
	if (!choice->regardless)
		return name_of(index);
	return index < passed.n_names &&
			       choice->address->u.sd_listen.which == SFRONT_SD_LISTEN_NAMED
		       ? passed.names[index]
		       : NULL;
}

static bool has_its_name(const struct choice *choice, int index)
{
	const char *name = name_in(choice, index);

	return name && strcmp(name, choice->address->u.sd_listen.name) == 0;
}

static bool is_wanted(const struct choice *choice, int index)
{
	if (is_reserved(index))
		return false;
	switch (choice->address->u.sd_listen.which) {
	case SFRONT_SD_LISTEN_ALL:
		return true;
	case SFRONT_SD_LISTEN_NAMED:
		return has_its_name(choice, index);
	case SFRONT_SD_LISTEN_FIRST:
	default:
		return index == (choice->regardless ? 0 : first_of(choice->count));
	}
}

/* The place of the first name, in their order, that does not come before @name. */
static int lower_bound(const char *name)
{
	int low = 0, high = passed.n_names;

	while (low < high) {
		int middle = low + (high - low) / 2;

		if (strcmp(passed.names[passed.by_name[middle]], name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What is wanted, one after the other: of thousands, those of a name are looked at alone. */
struct search {
	const struct choice *choice;
	bool by_name;
	int at; /* the next number, or the next in the order of the names */
};

static struct search search_begin(const struct choice *choice)
{
	struct search search = {
		.choice = choice,
		.by_name = choice->address->u.sd_listen.which == SFRONT_SD_LISTEN_NAMED,
	};

	if (search.by_name && passed.n_names != choice->count)
		search.at = choice->count; /* nobody can tell which is whose */
	else if (search.by_name)
		search.at = lower_bound(choice->address->u.sd_listen.name);
	return search;
}

/* Returns its number, or -1: there are no more. */
static int search_next(struct search *search)
{
	while (search->at < search->choice->count) {
		int index = search->by_name ? passed.by_name[search->at] : search->at;

		if (search->by_name && !has_its_name(search->choice, index))
			return -1;
		search->at++;
		if (is_wanted(search->choice, index))
			return index;
	}
	return -1;
}

/* What LISTEN_FDS counts was looked at when it was read. */
static int sd_listen_find(const struct sfront_address *address,
			  const struct sfront_options *options, struct sfront_error *err)
{
	const struct choice choice = choose(address, options);
	struct search search = search_begin(&choice);
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	int index, r = 0;

	if (!choice.regardless)
		return 0;
	sfront_address_format(address, text, sizeof(text));
	while (r == 0 && (index = search_next(&search)) >= 0)
		r = sfront_inherited_find(SD_LISTEN_FDS_START + index, text, err);
	return r;
}

static int open_wanted(struct sfront_listener *listener, const struct choice *choice,
		       const char *text, const struct sfront_options *options,
		       struct sfront_error *err)
{
	struct search search = search_begin(choice);
	bool found = false;
	int index, r;

	while ((index = search_next(&search)) >= 0) {
		found = true;
		r = sfront_inherited_open(listener, &sfront_sd_listen_class,
					  SD_LISTEN_FDS_START + index, text, name_in(choice, index),
					  KIND_SD_LISTEN, options, err);
		if (r < 0)
			return r;
	}
	return found ? 0 : refuse_name(text, choice->count, err);
}

static int sd_listen_open(struct sfront_listener *listener, const struct sfront_address *address,
			  const struct sfront_options *options, struct sfront_error *err)
{
	const struct choice choice = choose(address, options);
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	sfront_address_format(address, text, sizeof(text));
	if (choice.count <= 0 && choice.regardless &&
	    address->u.sd_listen.which == SFRONT_SD_LISTEN_NAMED)
		return refuse_name(text, 0, err);
	if (choice.count <= 0 || (!choice.regardless && first_of(choice.count) == choice.count))
		return refuse_none(address, text, load(), err);
	return open_wanted(listener, &choice, text, options, err);
}

static bool sd_listen_wants(const struct sfront_address *address,
			    const struct sfront_options *options, int fd)
{
	const struct choice choice = choose(address, options);
	int index = fd - SD_LISTEN_FDS_START;

	return index >= 0 && index < choice.count && is_wanted(&choice, index);
}

const struct sfront_class sfront_sd_listen_class = {
	.name = "sd-listen",
	.find = sd_listen_find,
	.open = sd_listen_open,
	.wants = sd_listen_wants,
	.accept = sfront_inherited_accept,
	.close = sfront_inherited_close,
	.release = sfront_inherited_release,
	.undo = sfront_inherited_undo,
	.verify = sfront_inherited_verify,
	.restore = sfront_inherited_restore,
};
