/* SPDX-License-Identifier: MIT */
/*
 * Names of listening sockets: see socket_name.h.
 */
#include "daemon/handover/socket_name.h"

#include <inttypes.h>
#include <sockfront/listener.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/conf.h"
#include "conf/hash.h"
#include "daemon/proxy/listener.h"

static void format(const char *line, unsigned int nth, dev_t device, ino_t inode, char *buf)
{
	char whole[SFRONT_ADDRESS_TEXT_SIZE + 64];

	snprintf(whole, sizeof(whole), "%u %llu %llu %s", nth, (unsigned long long)device,
		 (unsigned long long)inode, line);
	snprintf(buf, SOCKET_NAME_SIZE, SOCKET_NAME_PREFIX "%016" PRIx64,
		 hash_bytes(HASH_START, whole, strlen(whole)));
}

bool socket_name_is_ours(const char *name)
{
	return strncmp(name, SOCKET_NAME_PREFIX, strlen(SOCKET_NAME_PREFIX)) == 0;
}

void socket_name_format(const struct listener *listener, char *buf)
{
	dev_t device = 0;
	ino_t inode = 0;

	if (sfront_listener_path_id(listener->open, 0, &device, &inode) < 0)
		device = inode = 0;
	format(listener->line, listener->nth, device, inode, buf);
}

void socket_name_format_wanted(const struct listen_config *listen, char *buf)
{
	char line[SFRONT_ADDRESS_TEXT_SIZE];
	struct stat st = { 0 };

	sfront_address_format(&listen->address, line, sizeof(line));
	if (listen->address.kind == SFRONT_UNIX && lstat(listen->address.u.local.name, &st) < 0)
		st.st_dev = st.st_ino = 0;
	format(line, listen->nth, st.st_dev, st.st_ino, buf);
}
