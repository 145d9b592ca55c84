/* SPDX-License-Identifier: MIT */
/*
 * Names of sockets, and the few that wait between the start of a process and the
 * opening of its listeners.
 */
#include "daemon/handover/fdstore.h"

#include <errno.h>
#include <inttypes.h>
#include <sockfront/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/notify.h"
#include "daemon/proxy/generation.h"

/* A .socket unit may be called sockfront-something: its names must not be taken for ours. */
#define PREFIX "sockfront-fdstore-"

/* For systemd to let go of a socket. */
#define PATIENCE_S 5

/* As many addresses as a host name can have. */
#define SOCKETS_MAX 64

struct kept {
	char name[STORE_NAME_SIZE];
	int fd; /* owned; -1: taken, or closed */
	bool is_systemd_s;
	bool taken;
};

static struct {
	struct kept *kept; /* owned array */
	size_t n;
} store;

/* ---- names ---- */

/* FNV-1a: spread well enough, and the same in every version. */
static uint64_t hash(const char *text)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (; *text != '\0'; text++)
		sum = (sum ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return sum;
}

static void format_name(const struct sfront_address *address, unsigned int nth, dev_t device,
			ino_t inode, char *buf)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE], whole[SFRONT_ADDRESS_TEXT_SIZE + 64];

	sfront_address_format(address, text, sizeof(text));
	snprintf(whole, sizeof(whole), "%u %llu %llu %s", nth, (unsigned long long)device,
		 (unsigned long long)inode, text);
	snprintf(buf, STORE_NAME_SIZE, PREFIX "%016" PRIx64, hash(whole));
}

void store_format_name(const struct listener *listener, char *buf)
{
	dev_t device = 0;
	ino_t inode = 0;

	if (sfront_listener_path_id(listener->open, 0, &device, &inode) < 0)
		device = inode = 0;
	format_name(&listener->address, listener->nth, device, inode, buf);
}

/* What a socket for that line would be called, if it is the one at the path now. */
static void format_wanted(const struct listen_config *listen, char *buf)
{
	struct stat st = { 0 };

	if (listen->address.kind == SFRONT_UNIX && lstat(listen->address.u.local.name, &st) < 0)
		st.st_dev = st.st_ino = 0;
	format_name(&listen->address, listen->nth, st.st_dev, st.st_ino, buf);
}

bool store_is_name(const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0;
}

/* ---- at the start ---- */

static bool add(const char *name, int fd, bool is_systemd_s)
{
	struct kept *kept = reallocarray(store.kept, store.n + 1, sizeof(*kept));

	if (!kept) {
		close(fd);
		return false;
	}
	store.kept = kept;
	kept[store.n] = (struct kept){ .fd = fd, .is_systemd_s = is_systemd_s };
	snprintf(kept[store.n++].name, sizeof(kept->name), "%s", name);
	return true;
}

bool store_add(const char *name, int fd)
{
	return add(name, fd, false);
}

bool store_was_taken(size_t index)
{
	return index < store.n && store.kept[index].taken;
}

void store_receive(void)
{
	struct sfront_inherited inherited;

	if (sfront_inherited_reserve(PREFIX) <= 0)
		return;
	for (size_t i = 0; sfront_inherited_at(i, &inherited) == 0; i++)
		if (store_is_name(inherited.name))
			(void)add(inherited.name, inherited.fd, true);
}

struct name {
	char text[STORE_NAME_SIZE];
};

/* The names that the lines of a configuration want; an array for the caller to free. */
static struct name *wanted_names(const struct config *config, size_t *ret_n)
{
	struct name *names;
	size_t n = 0;

	for (size_t i = 0; i < config->n_proxies; i++)
		n += config->proxies[i].n_listen;
	names = calloc(n, sizeof(*names));
	if (!names)
		return NULL;
	*ret_n = 0;
	for (size_t i = 0; i < config->n_proxies; i++)
		for (size_t j = 0; j < config->proxies[i].n_listen; j++)
			format_wanted(&config->proxies[i].listen[j], names[(*ret_n)++].text);
	return names;
}

static bool is_among(const char *name, const struct name *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i].text, name) == 0)
			return true;
	return false;
}

static void close_kept(struct kept *kept)
{
	if (kept->fd >= 0)
		close(kept->fd);
	kept->fd = -1;
}

/* The path of a socket that nobody will listen on any more, if it is that socket's still. */
static void remove_path(const struct kept *kept)
{
	struct sfront_sockaddr bound = { .len = sizeof(bound.sa) };
	struct listen_config listen = { 0 };
	char text[SFRONT_ADDRESS_TEXT_SIZE], name[STORE_NAME_SIZE];
	struct sfront_error ignored;

	if (getsockname(kept->fd, &bound.sa.any, &bound.len) < 0 ||
	    bound.sa.any.sa_family != AF_UNIX)
		return;
	sfront_sockaddr_format(&bound, text, sizeof(text));
	if (sfront_address_parse(text, &listen.address, &ignored) < 0 ||
	    listen.address.kind != SFRONT_UNIX)
		return;
	format_wanted(&listen, name);
	if (strcmp(name, kept->name) == 0)
		(void)unlink(listen.address.u.local.name);
}

static void make_systemd_forget(const struct kept *kept)
{
	if (kept->is_systemd_s && store_is_kept())
		notify_send("FDSTOREREMOVE=1\nFDNAME=%s", kept->name);
}

void store_close_strangers(const struct config *config)
{
	size_t n_wanted = 0;
	struct name *wanted;
	bool waits = false;

	if (store.n == 0)
		return;
	wanted = wanted_names(config, &n_wanted);
	for (size_t i = 0; i < store.n && wanted; i++) {
		struct kept *kept = &store.kept[i];

		if (is_among(kept->name, wanted, n_wanted))
			continue;
		log_line(LOG_DEBUG, "%s: nothing listens there any more", kept->name);
		if (kept->is_systemd_s) {
			/* systemd's copy listens too, until it hears that it is not wanted. */
			waits |= shutdown(kept->fd, SHUT_RDWR) < 0; /* vsock cannot */
			make_systemd_forget(kept);
			remove_path(kept);
		}
		close_kept(kept);
	}
	free(wanted);
	if (waits)
		notify_barrier(PATIENCE_S);
}

/* Those of that name.  Returns how many. */
static size_t find(const char *name, struct kept **found)
{
	size_t n = 0;

	for (size_t i = 0; i < store.n && n < SOCKETS_MAX; i++)
		if (store.kept[i].fd >= 0 && strcmp(store.kept[i].name, name) == 0)
			found[n++] = &store.kept[i];
	return n;
}

/* Whoever handed them over goes on with the options that they have, if this process fails. */
static struct listener *adopt(const struct listen_config *listen,
			      const struct sfront_options *options, struct kept **found, size_t n)
{
	struct sfront_listener *open;
	struct listener *listener;
	struct sfront_error err;
	int fds[SOCKETS_MAX];

	for (size_t i = 0; i < n; i++)
		fds[i] = found[i]->fd;
	if (sfront_listener_adopt(&listen->address, fds, n, NULL, &open, &err) < 0) {
		log_line(LOG_WARNING, "%s; it is opened anew", err.message);
		return NULL;
	}
	listener = listener_new(&listen->address, listen->nth, options, open);
	if (!listener) {
		listener_close_unshared(open);
	} else {
		listener->is_shared = true;
		listener->is_adopted = true;
	}
	for (size_t i = 0; i < n; i++) {
		found[i]->fd = -1;
		found[i]->taken = listener;
	}
	return listener;
}

struct listener *store_find(void *data, const struct proxy *proxy, size_t line)
{
	const struct listen_config *listen = &proxy->config.listen[line];
	struct kept *found[SOCKETS_MAX];
	struct listener *listener;
	char name[STORE_NAME_SIZE];
	size_t n;

	(void)data;
	format_wanted(listen, name);
	n = find(name, found);
	if (n == 0)
		return NULL;
	listener = adopt(listen, proxy->config.options, found, n);
	if (listener)
		return listener;
	make_systemd_forget(found[0]);
	for (size_t i = 0; i < n; i++)
		close_kept(found[i]);
	if (found[0]->is_systemd_s)
		notify_barrier(PATIENCE_S);
	return NULL;
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
				 "proxy: its clients will hang; listen on sd-listen:%s or "
				 "sd-listen:* (instead of sd-listen)",
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

	return notify_wanted() && most && atoi(most) > 0;
}

static bool keep(struct listener *listener, void *data)
{
	char name[STORE_NAME_SIZE];

	(void)data;
	/* Without a store, the path is ours alone from the moment that nobody else has it. */
	listener->is_shared = store_is_kept();
	if (!listener_is_own(listener) || !store_is_kept())
		return false;
	store_format_name(listener, name);
	for (size_t i = 0; i < listener->n_sockets; i++) {
		if (notify_store(name, sfront_listener_fd(listener->open, i)))
			continue;
		log_line(LOG_WARNING, "%s: systemd cannot keep this socket: %s",
			 listener->sockets[i].text, strerror(errno));
		listener->is_shared = false;
	}
	return true;
}

static bool has_name(struct listener *listener, void *data)
{
	char name[STORE_NAME_SIZE];

	if (!listener_is_own(listener))
		return false;
	store_format_name(listener, name);
	return strcmp(name, data) == 0;
}

void store_update(struct generation *generation)
{
	/* What systemd keeps and nobody has taken is kept for nothing. */
	for (size_t i = 0; i < store.n && store_is_kept(); i++) {
		char *name = store.kept[i].name;

		if (generation_each(generation, has_name, name) == 0)
			notify_send("FDSTOREREMOVE=1\nFDNAME=%s", name);
	}
	free(store.kept);
	store.kept = NULL;
	store.n = 0;
	(void)generation_each(generation, keep, NULL);
}

void store_forget(const struct listener *listener)
{
	char name[STORE_NAME_SIZE];

	if (!store_is_kept() || !listener_is_own(listener) || !listener->open)
		return;
	store_format_name(listener, name);
	notify_send("FDSTOREREMOVE=1\nFDNAME=%s", name);
}
