/* SPDX-License-Identifier: MIT */
/*
 * Inherited sockets for lines that do not ask for them: see spare_sockets.h.
 */
#include "daemon/handover/spare_sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "conf/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/netns.h"
#include "daemon/handover/socket_name.h"
#include "daemon/proxy/listener.h"

static bool is_wanted(const struct config *config, int fd)
{
	struct listen_section section;

	for (size_t i = 0; config_listen_section(config, i, &section); i++)
		for (size_t j = 0; j < section.n; j++)
			if (sfront_inherited_is_wanted(&section.lines[j].address, section.options,
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

static bool is_spare(const struct sfront_inherited *inherited, const struct config *config)
{
	return !socket_name_is_ours(inherited->name) && option_of(inherited->fd, SO_ACCEPTCONN) &&
	       is_here(inherited->fd) && !is_wanted(config, inherited->fd);
}

static size_t count_inherited(void)
{
	struct sfront_inherited inherited;
	size_t n = 0;

	while (sfront_inherited_at(n, &inherited) == 0)
		n++;
	return n;
}

int spare_sockets_list(struct spare_sockets *spare, const struct config *config)
{
	size_t n = count_inherited();

	*spare = (struct spare_sockets){ 0 };
	if (n == 0)
		return 0;
	spare->all = calloc(n, sizeof(*spare->all));
	if (!spare->all)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct sfront_inherited *inherited = &spare->all[spare->n];

		if (sfront_inherited_at(i, inherited) < 0 || !is_spare(inherited, config))
			continue;
		inherited->taken = false; /* who has it may lend it by the time it is opened */
		spare->n++;
	}
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

	if (!address_is_own(&listen->address))
		return NULL;
	for (size_t i = 0; i < spare->n; i++) {
		struct sfront_inherited *inherited = &spare->all[i];
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
