/* SPDX-License-Identifier: MIT */
/*
 * Names of sockets, and the few that wait between the start of a process and the
 * opening of its listeners.
 */
#include "daemon/store.h"

#include <inttypes.h>
#include <sockfront/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/generation.h"
#include "daemon/log.h"
#include "daemon/notify.h"

/* A .socket unit may be called sockfront-something: its names must not be taken for ours. */
#define PREFIX "sockfront-fdstore-"

/* As many addresses as a host name can have. */
#define SOCKETS_MAX 64

struct kept {
	char name[STORE_NAME_SIZE];
	int fd; /* owned; -1: taken, or closed */
};

static struct {
	struct kept *kept; /* owned array */
	size_t n;
} store;

/* ---- names ---- */

/* FNV-1a: spread well enough, and the same in every version. */
static uint64_t hash(uint64_t so_far, const void *data, size_t size)
{
	const unsigned char *byte = data;

	for (size_t i = 0; i < size; i++)
		so_far = (so_far ^ byte[i]) * UINT64_C(0x100000001b3);
	return so_far;
}

static void format_name(const struct sfront_address *address, unsigned int nth, dev_t device,
			ino_t inode, char *buf)
{
	const uint64_t numbers[] = { nth, device, inode };
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	sfront_address_format(address, text, sizeof(text));
	sum = hash(sum, text, strlen(text) + 1);
	sum = hash(sum, numbers, sizeof(numbers));
	snprintf(buf, STORE_NAME_SIZE, PREFIX "%016" PRIx64, sum);
}

void store_format_name(const struct listening *listening, char *buf)
{
	dev_t device;
	ino_t inode;

	if (sfront_listener_path_id(listening->listener, 0, &device, &inode) < 0)
		device = inode = 0;
	format_name(&listening->address, listening->nth, device, inode, buf);
}

/* What a socket for that line would be called, if it is the one at the path now. */
static void format_wanted(const struct config *config, const struct listen_config *listen,
			  char *buf)
{
	struct stat st = { 0 };

	if (listen->address.kind == SFRONT_UNIX && lstat(listen->address.u.local.name, &st) < 0)
		st.st_dev = st.st_ino = 0;
	format_name(&listen->address, config_listen_nth(config, listen), st.st_dev, st.st_ino, buf);
}

bool store_is_name(const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0;
}

/* ---- at the start ---- */

void store_add(const char *name, int fd)
{
	struct kept *kept = reallocarray(store.kept, store.n + 1, sizeof(*kept));

	if (kept == NULL) {
		close(fd);
		return;
	}
	store.kept = kept;
	kept[store.n].fd = fd;
	snprintf(kept[store.n++].name, sizeof(kept->name), "%s", name);
}

void store_receive(void)
{
	struct sfront_inherited inherited;

	if (sfront_inherited_reserve(PREFIX) <= 0)
		return;
	for (size_t i = 0; sfront_inherited_at(i, &inherited) == 0; i++)
		if (store_is_name(inherited.name))
			store_add(inherited.name, inherited.fd);
}

static bool is_wanted(const struct config *config, const char *name)
{
	char wanted[STORE_NAME_SIZE];

	for (size_t i = 0; i < config->n_proxies; i++) {
		for (size_t j = 0; j < config->proxies[i].n_listen; j++) {
			format_wanted(config, &config->proxies[i].listen[j], wanted);
			if (strcmp(wanted, name) == 0)
				return true;
		}
	}
	return false;
}

static void close_kept(struct kept *kept)
{
	if (kept->fd >= 0)
		close(kept->fd);
	kept->fd = -1;
}

void store_close_strangers(const struct config *config)
{
	for (size_t i = 0; i < store.n; i++) {
		if (is_wanted(config, store.kept[i].name))
			continue;
		log_line(LOG_DEBUG, "%s: nothing listens there any more", store.kept[i].name);
		close_kept(&store.kept[i]);
	}
}

/* Those of that name, which are the caller's from now on. */
static size_t take(const char *name, int *fds)
{
	size_t n = 0;

	for (size_t i = 0; i < store.n && n < SOCKETS_MAX; i++) {
		if (store.kept[i].fd < 0 || strcmp(store.kept[i].name, name) != 0)
			continue;
		fds[n++] = store.kept[i].fd;
		store.kept[i].fd = -1;
	}
	return n;
}

static struct listening *adopt(const struct listen_config *listen, unsigned int nth,
			       const struct sfront_options *options, const int *fds, size_t n)
{
	struct sfront_listener *listener;
	struct listening *listening;
	struct sfront_error err;

	if (sfront_listener_adopt(&listen->address, fds, n, options, &listener, &err) < 0) {
		log_line(LOG_WARNING, "%s; it is opened anew", err.message);
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
		return NULL;
	}
	listening = listening_new(&listen->address, nth, options, listener);
	if (listening == NULL)
		sfront_listener_close(listener);
	else
		listening->is_shared = true;
	return listening;
}

struct listening *store_find(void *data, const struct proxy *proxy, size_t line)
{
	const struct config *config = &proxy->generation->config;
	const struct listen_config *listen = &proxy->config->listen[line];
	char name[STORE_NAME_SIZE];
	int fds[SOCKETS_MAX];
	size_t n;

	(void)data;
	format_wanted(config, listen, name);
	n = take(name, fds);
	if (n == 0)
		return NULL;
	return adopt(listen, config_listen_nth(config, listen), proxy->config->options, fds, n);
}

void store_close_rest(void)
{
	for (size_t i = 0; i < store.n; i++)
		close_kept(&store.kept[i]);
}

/* Those hang until the socket unit is stopped. */
void store_warn_of_untaken(void)
{
	struct sfront_inherited inherited;
	int r = 0;

	for (size_t i = 0; (r = sfront_inherited_at(i, &inherited)) == 0; i++)
		if (!inherited.taken && !store_is_name(inherited.name))
			log_line(LOG_WARNING,
				 "inherited descriptor %d (name \"%s\") is listened on by no "
				 "proxy: its clients will hang; add sd-listen:%s or sd-listen:*",
				 inherited.fd, inherited.name, inherited.name);
	if (r != -ENOENT)
		log_line(LOG_WARNING,
			 "LISTEN_FDS, LISTEN_PID or LISTEN_FDNAMES is malformed; no descriptor was "
			 "inherited");
}

/* ---- systemd's store ---- */

/* systemd says so by itself from version 254 on; before, the unit does. */
bool store_is_kept(void)
{
	const char *most = getenv("FDSTORE");

	return notify_wanted() && most != NULL && atoi(most) > 0;
}

static bool keep(struct listening *listening, void *data)
{
	char name[STORE_NAME_SIZE];

	(void)data;
	/* Without a store, the path is ours alone from the moment that nobody else has it. */
	listening->is_shared = store_is_kept();
	if (!listening_is_own(listening) || !store_is_kept())
		return false;
	store_format_name(listening, name);
	for (size_t i = 0; i < listening->n_sockets; i++)
		notify_store(name, sfront_listener_fd(listening->listener, i));
	return true;
}

struct named {
	const char *name;
};

static bool has_name(struct listening *listening, void *data)
{
	const struct named *named = data;
	char name[STORE_NAME_SIZE];

	if (!listening_is_own(listening))
		return false;
	store_format_name(listening, name);
	return strcmp(name, named->name) == 0;
}

void store_update(struct generation *generation)
{
	/* What systemd keeps and nobody has taken is kept for nothing. */
	for (size_t i = 0; i < store.n && store_is_kept(); i++) {
		struct named named = { store.kept[i].name };

		if (generation_each(generation, has_name, &named) == 0)
			notify_send("FDSTOREREMOVE=1\nFDNAME=%s", named.name);
	}
	free(store.kept);
	store.kept = NULL;
	store.n = 0;
	(void)generation_each(generation, keep, NULL);
}

void store_forget(const struct listening *listening)
{
	char name[STORE_NAME_SIZE];

	if (!store_is_kept() || !listening_is_own(listening) || listening->listener == NULL)
		return;
	store_format_name(listening, name);
	notify_send("FDSTOREREMOVE=1\nFDNAME=%s", name);
}
