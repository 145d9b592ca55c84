/* SPDX-License-Identifier: MIT */
/*
 * Inherited sockets for lines that do not ask for them: see spare_sockets.h.
 */
#include "daemon/handover/spare_sockets.h"

#include <sys/socket.h> /* before <linux/vm_sockets.h>, which needs it in older versions */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <sockfront/listener.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "conf/conf.h"
#include "conf/hash.h"
#include "daemon/base/log.h"
#include "daemon/base/netns.h"
#include "daemon/handover/socket_name.h"
#include "daemon/proxy/listener.h"

/* One of them. */
struct spare_socket {
	struct sfront_inherited inherited; /* taken: by spare_sockets_open() */
	uint64_t key;                      /* of what it is bound to */
};

/* ---- keys: a line that may be served by a socket has the same ---- */

enum key_kind { KEY_TCP, KEY_VSOCK, KEY_NAME };

static uint64_t key_of(enum key_kind kind, const void *bytes, size_t n)
{
	return hash_bytes(HASH_START + kind, bytes, n);
}

static uint64_t key_of_port(enum key_kind kind, uint32_t port)
{
	return key_of(kind, &port, sizeof(port));
}

/* By its last part: the path of a line may be relative, or lead through links. */
static uint64_t key_of_name(const char *name, size_t n)
{
	const char *slash = memrchr(name, '/', n);
	const char *leaf = slash ? slash + 1 : name;

	return key_of(KEY_NAME, leaf, n - (size_t)(leaf - name));
}

static uint64_t key_of_unix(const struct sfront_sockaddr *addr)
{
	const char *name = addr->sa.un.sun_path;
	size_t n = addr->len - offsetof(struct sockaddr_un, sun_path);

	if (addr->len <= offsetof(struct sockaddr_un, sun_path))
		return 0;
	return *name ? key_of_name(name, strnlen(name, n)) : key_of(KEY_NAME, name, n);
}

static uint64_t key_of_socket(int fd)
{
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa) };
	struct sockaddr_vm vm;

	if (getsockname(fd, &addr.sa.any, &addr.len) < 0)
		return 0;
	switch (addr.sa.any.sa_family) {
	case AF_INET:
		return key_of_port(KEY_TCP, ntohs(addr.sa.in.sin_port));
	case AF_INET6:
		return key_of_port(KEY_TCP, ntohs(addr.sa.in6.sin6_port));
	case AF_UNIX:
		return key_of_unix(&addr);
	case AF_VSOCK:
		memcpy(&vm, &addr.sa, sizeof(vm));
		return key_of_port(KEY_VSOCK, vm.svm_port);
	default:
		return 0;
	}
}

static uint64_t key_of_abstract(const char *name)
{
	char bytes[SFRONT_PATH_MAX + 2] = "";
	size_t n = strlen(name);

	memcpy(bytes + 1, name, n + 1);
	return key_of(KEY_NAME, bytes, n + 1);
}

/* Of an address of our own. */
static uint64_t key_of_address(const struct sfront_address *address)
{
	uint16_t port = 0;

	switch (address->kind) {
	case SFRONT_UNIX:
		return key_of_name(address->u.local.name, strlen(address->u.local.name));
	case SFRONT_ABSTRACT:
		return key_of_abstract(address->u.local.name);
	case SFRONT_VSOCK:
		return key_of_port(KEY_VSOCK, address->u.vsock.port);
	default:
		(void)sfront_address_port(address, &port, NULL);
		return key_of_port(KEY_TCP, port);
	}
}

/* The same key is in the order in which they came. */
static int compare(const void *a, const void *b)
{
	const struct spare_socket *one = a, *other = b;

	if (one->key != other->key)
		return one->key < other->key ? -1 : 1;
	return (one->inherited.fd > other->inherited.fd) -
	       (one->inherited.fd < other->inherited.fd);
}

/* The first with that key, or what would follow it. */
static size_t lower_bound(const struct spare_sockets *spare, uint64_t key)
{
	size_t low = 0, high = spare->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (spare->all[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- which are spare ---- */

/* The lines that ask for descriptors. */
struct asking {
	struct {
		const struct sfront_address *address;
		const struct sfront_options *options;
	} * lines; /* owned array */
	size_t n;
};

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
			asking->lines[asking->n].address = &section.lines[j].address;
			asking->lines[asking->n++].options = section.options;
		}
	return 0;
}

static bool is_wanted(const struct asking *asking, int fd)
{
	for (size_t i = 0; i < asking->n; i++)
		if (sfront_inherited_is_wanted(asking->lines[i].address, asking->lines[i].options,
					       fd))
			return true;
	return false;
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
	       is_here(inherited->fd) && !is_wanted(asking, inherited->fd);
}

static size_t count_inherited(void)
{
	struct sfront_inherited inherited;
	size_t n = 0;

	while (sfront_inherited_at(n, &inherited) == 0)
		n++;
	return n;
}

static void fill(struct spare_sockets *spare, const struct asking *asking, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct spare_socket *socket = &spare->all[spare->n];

		if (sfront_inherited_at(i, &socket->inherited) < 0 ||
		    !is_spare(&socket->inherited, asking))
			continue;
		/* Who has it may lend it by the time it is opened. */
		socket->inherited.taken = false;
		socket->key = key_of_socket(socket->inherited.fd);
		spare->n++;
	}
	qsort(spare->all, spare->n, sizeof(*spare->all), compare);
}

int spare_sockets_list(struct spare_sockets *spare, const struct config *config)
{
	size_t n = count_inherited();
	struct asking asking;

	*spare = (struct spare_sockets){ 0 };
	if (n == 0)
		return 0;
	spare->all = calloc(n, sizeof(*spare->all));
	if (!spare->all || list_asking(&asking, config) < 0) {
		spare_sockets_clear(spare);
		return -ENOMEM;
	}
	fill(spare, &asking, n);
	free(asking.lines);
	return 0;
}

void spare_sockets_clear(struct spare_sockets *spare)
{
	free(spare->all);
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

struct listener *spare_sockets_open(struct spare_sockets *spare, const struct listen_config *listen,
				    const struct sfront_options *options)
{
	struct sfront_listener *open;
	struct sfront_error err;
	uint64_t key;

	if (spare->n == 0 || !address_is_own(&listen->address))
		return NULL;
	key = key_of_address(&listen->address);
	for (size_t i = lower_bound(spare, key); i < spare->n && spare->all[i].key == key; i++) {
		struct sfront_inherited *inherited = &spare->all[i].inherited;
		int r = inherited->taken
				? -EBUSY
				: sfront_listener_open_inherited(&listen->address, inherited->fd,
								 options, &open, &err);

		inherited->taken |= r == 0;
		if (r == 0)
			return make_listener(listen, options, inherited, open);
		if (r != -EADDRNOTAVAIL && r != -EBUSY)
			log_line(LOG_WARNING, "%s", err.message);
	}
	return NULL;
}
