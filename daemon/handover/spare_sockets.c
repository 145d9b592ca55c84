/* SPDX-License-Identifier: MIT */
/*
 * Inherited sockets for lines that do not ask for them: see spare_sockets.h.
 */
#include "daemon/handover/spare_sockets.h"

#include <errno.h>
#include <sockfront/listener.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "conf/conf.h"
#include "conf/hash.h"
#include "daemon/backend/address.h"
#include "daemon/backend/target.h"
#include "daemon/base/log.h"
#include "daemon/base/netns.h"
#include "daemon/handover/socket_name.h"
#include "daemon/proxy/listener.h"

/* One of them. */
struct spare_socket {
	struct sfront_inherited inherited; /* taken: by spare_sockets_open() */
	uint64_t key;                      /* the first of its keys */
};

/* A way to find one: a line that may be served by it has one of its keys. */
struct spare_key {
	uint64_t key;
	size_t socket; /* its place */
};

/* ---- keys ---- */

/* The address, and for a path its place: a line may be relative, or lead through links. */
#define KEYS_MAX 2

/*
 * The place of a path: its directory, and its name in that.  The directory may be one that we
 * may not search, so that nothing is looked up in it, not even ".".
 */
static bool key_of_place(const struct sfront_sockaddr *addr, uint64_t *ret)
{
	char path[sizeof(addr->sa.un.sun_path) + 1], *slash;
	const char *directory = ".", *leaf = path;
	struct stat st;

	snprintf(path, sizeof(path), "%.*s", (int)sizeof(addr->sa.un.sun_path),
		 addr->sa.un.sun_path);
	slash = strrchr(path, '/');
	if (slash) {
		*slash = '\0';
		directory = slash > path ? path : "/";
		leaf = slash + 1;
	}
	if (!*leaf || stat(directory, &st) < 0)
		return false;
	*ret = address_key_of_file(&st, leaf);
	return true;
}

/* Returns how many there are. */
static size_t keys_of(const struct sfront_sockaddr *addr, uint64_t ret[KEYS_MAX])
{
	size_t n = 0;

	ret[n++] = address_key(addr);
	if (addr->sa.any.sa_family == AF_UNIX && key_of_place(addr, &ret[n]))
		n++;
	return n;
}

/* What a line of our own would bind; false: no socket can be told to be that. */
static bool address_of_line(const struct listen_config *listen, struct sfront_sockaddr *ret)
{
	return target_fill(&listen->address, ret) ||
	       (sfront_address_is_literal(&listen->address) &&
		sfront_address_resolve(&listen->address, ret, 1, NULL) == 1);
}

/* The same key is in the order in which they came. */
static int compare_keys(const void *a, const void *b)
{
	const struct spare_key *one = a, *other = b;

	if (one->key != other->key)
		return one->key < other->key ? -1 : 1;
	return (one->socket > other->socket) - (one->socket < other->socket);
}

/* The first with that key, or what would follow it. */
static size_t lower_bound(const struct spare_sockets *spare, uint64_t key)
{
	size_t low = 0, high = spare->n_keys;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (spare->keys[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- which are spare ---- */

/* A line that asks for descriptors. */
struct asking_line {
	uint64_t key; /* of the name or the number that it has */
	const struct sfront_address *address;
	const struct sfront_options *options;
};

struct asking {
	struct asking_line *lines; /* owned array, by key */
	size_t n;
};

/* What has no name in LISTEN_FDNAMES. */
#define NAMELESS "unknown"

/* Of lines that have neither name nor number, of which there are few. */
#define KEY_OF_OTHERS 0

static uint64_t key_of_name(const char *name)
{
	return hash_bytes(HASH_START, name, strlen(name));
}

static uint64_t key_of_number(int number)
{
	return hash_bytes(HASH_START, &number, sizeof(number));
}

static uint64_t key_of_asking(const struct sfront_address *address)
{
	if (address->kind == SFRONT_FD)
		return key_of_number(address->u.fd.number);
	if (address->kind == SFRONT_SD_LISTEN &&
	    address->u.sd_listen.which == SFRONT_SD_LISTEN_NAMED)
		return key_of_name(address->u.sd_listen.name);
	return KEY_OF_OTHERS;
}

static int compare_asking(const void *a, const void *b)
{
	const struct asking_line *one = a, *other = b;

	return (one->key > other->key) - (one->key < other->key);
}

static size_t count_lines(const struct config *config)
{
	struct listen_section section;
	size_t n = 0;

	for (size_t i = 0; config_listen_section(config, i, &section); i++)
		n += section.n;
	return n;
}

static int list_asking(struct asking *asking, const struct config *config)
{
	struct listen_section section;

	*asking = (struct asking){
		.lines = calloc(count_lines(config) + 1, sizeof(*asking->lines)),
	};
	if (!asking->lines)
		return -ENOMEM;
	for (size_t i = 0; config_listen_section(config, i, &section); i++)
		for (size_t j = 0; j < section.n; j++) {
			if (address_is_own(&section.lines[j].address))
				continue;
			asking->lines[asking->n++] = (struct asking_line){
				.key = key_of_asking(&section.lines[j].address),
				.address = &section.lines[j].address,
				.options = section.options,
			};
		}
	qsort(asking->lines, asking->n, sizeof(*asking->lines), compare_asking);
	return 0;
}

static bool wants(const struct asking_line *line, int fd)
{
	return sfront_inherited_is_wanted(line->address, line->options, fd);
}

static bool is_wanted_by(const struct asking *asking, uint64_t key, int fd)
{
	const struct asking_line *end = asking->lines + asking->n, *line;
	const struct asking_line wanted = { .key = key };

	line = bsearch(&wanted, asking->lines, asking->n, sizeof(*line), compare_asking);
	if (!line)
		return false;
	while (line > asking->lines && line[-1].key == key)
		line--;
	for (; line < end && line->key == key; line++)
		if (wants(line, fd))
			return true;
	return false;
}

/* Which name one has is known to the library alone, where LISTEN_FDNAMES does not fit. */
static bool is_wanted_by_any(const struct asking *asking, int fd)
{
	for (size_t i = 0; i < asking->n; i++)
		if (wants(&asking->lines[i], fd))
			return true;
	return false;
}

static bool is_wanted(const struct asking *asking, const struct sfront_inherited *inherited)
{
	int fd = inherited->fd;

	if (strcmp(inherited->name, NAMELESS) == 0)
		return is_wanted_by_any(asking, fd);
	return is_wanted_by(asking, key_of_name(inherited->name), fd) ||
	       is_wanted_by(asking, key_of_number(fd), fd) ||
	       is_wanted_by(asking, KEY_OF_OTHERS, fd);
}

static int option_of(int fd, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? 0 : value;
}

/* A UNIX path is the same in every network namespace; a name that is none is not opened here. */
static bool is_here(int fd)
{
	struct sockaddr_un local = { 0 };
	socklen_t len = sizeof(local);

	if (option_of(fd, SO_DOMAIN) == AF_UNIX &&
	    getsockname(fd, (struct sockaddr *)&local, &len) == 0 && local.sun_path[0] == '/')
		return true;
	return netns_is_ours(fd);
}

static bool is_spare(const struct sfront_inherited *inherited, const struct asking *asking)
{
	return !socket_name_is_ours(inherited->name) && option_of(inherited->fd, SO_ACCEPTCONN) &&
	       is_here(inherited->fd) && !is_wanted(asking, inherited);
}

static size_t count_inherited(void)
{
	struct sfront_inherited inherited;
	size_t n = 0;

	while (sfront_inherited_at(n, &inherited) == 0)
		n++;
	return n;
}

static void add(struct spare_sockets *spare, struct sfront_inherited *inherited)
{
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa) };
	uint64_t keys[KEYS_MAX];
	size_t n;

	if (getsockname(inherited->fd, &addr.sa.any, &addr.len) < 0)
		return;
	/* Who has it may lend it by the time it is opened. */
	inherited->taken = false;
	n = keys_of(&addr, keys);
	for (size_t i = 0; i < n; i++)
		spare->keys[spare->n_keys++] =
			(struct spare_key){ .key = keys[i], .socket = spare->n };
	spare->all[spare->n++] = (struct spare_socket){ .inherited = *inherited, .key = keys[0] };
}

static void fill(struct spare_sockets *spare, const struct asking *asking)
{
	struct sfront_inherited inherited;

	for (size_t i = 0; sfront_inherited_at(i, &inherited) == 0; i++)
		if (is_spare(&inherited, asking))
			add(spare, &inherited);
	qsort(spare->keys, spare->n_keys, sizeof(*spare->keys), compare_keys);
}

int spare_sockets_list(struct spare_sockets *spare, const struct config *config)
{
	size_t n = count_inherited();
	struct asking asking;

	*spare = (struct spare_sockets){ 0 };
	if (n == 0)
		return 0;
	spare->all = calloc(n, sizeof(*spare->all));
	spare->keys = calloc(n, KEYS_MAX * sizeof(*spare->keys));
	if (!spare->all || !spare->keys || list_asking(&asking, config) < 0) {
		spare_sockets_clear(spare);
		return -ENOMEM;
	}
	fill(spare, &asking);
	free(asking.lines);
	return 0;
}

void spare_sockets_clear(struct spare_sockets *spare)
{
	free(spare->all);
	free(spare->keys);
	*spare = (struct spare_sockets){ 0 };
}

static struct listener *make_listener(const struct listen_config *listen,
				      const struct sfront_options *options,
				      const struct sfront_inherited *inherited,
				      struct sfront_listener *open)
{
	struct listener *listener = listener_new(&listen->address, listen->nth, options, open);

	if (!listener) {
		(void)sfront_listener_restore(open);
		sfront_listener_lend(open);
		sfront_listener_close(open);
		return NULL;
	}
	log_line(LOG_INFO, "%s: taken as inherited, descriptor %d (name \"%s\")",
		 listener->sockets[0].text, inherited->fd, inherited->name);
	return listener;
}

/* NULL: the socket is not what the line would bind, or taken, or cannot be opened. */
static struct listener *open_one(struct spare_socket *socket, const struct listen_config *listen,
				 const struct sfront_options *options)
{
	struct sfront_inherited *inherited = &socket->inherited;
	struct sfront_listener *open;
	struct sfront_error err;
	int r;

	if (inherited->taken)
		return NULL;
	r = sfront_listener_open_inherited(&listen->address, inherited->fd, options, &open, &err);
	if (r == 0) {
		inherited->taken = true;
		return make_listener(listen, options, inherited, open);
	}
	if (r != -EADDRNOTAVAIL && r != -EBUSY)
		log_line(LOG_WARNING, "%s", err.message);
	return NULL;
}

struct listener *spare_sockets_open(struct spare_sockets *spare, const struct listen_config *listen,
				    const struct sfront_options *options)
{
	struct listener *listener = NULL;
	struct sfront_sockaddr addr;
	uint64_t keys[KEYS_MAX];
	size_t n;

	if (spare->n == 0 || !address_is_own(&listen->address) || !address_of_line(listen, &addr))
		return NULL;
	n = keys_of(&addr, keys);
	for (size_t i = 0; i < n && !listener; i++)
		for (size_t at = lower_bound(spare, keys[i]);
		     at < spare->n_keys && spare->keys[at].key == keys[i] && !listener; at++) {
			struct spare_socket *socket = &spare->all[spare->keys[at].socket];

			/* Those that have the first one, too, were tried. */
			if (i == 0 || socket->key != keys[0])
				listener = open_one(socket, listen, options);
		}
	return listener;
}
