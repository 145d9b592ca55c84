/* SPDX-License-Identifier: MIT */
/*
 * The name of a listening socket of our own.  A process that gets the socket from
 * another, or from systemd's store, tells by it which listen line it was opened for.
 */
#ifndef DAEMON_HANDOVER_SOCKET_NAME_H
#define DAEMON_HANDOVER_SOCKET_NAME_H

#include <stdbool.h>

struct listen_config;
struct listener;

/* What every name begins with.  A .socket unit may be called sockfront-something. */
#define SOCKET_NAME_PREFIX "sockfront-fdstore-"

/* With 16 hexadecimal digits behind the prefix; names of other versions may be longer. */
#define SOCKET_NAME_SIZE 48

/* Whether an inherited descriptor of that name is one of ours. */
bool socket_name_is_ours(const char *name);

/*
 * The name of an open listener: of the address as it is written in the configuration
 * and, for a UNIX path, of the file.
 */
void socket_name_format(const struct listener *listener, char *buf);

/* What the listener of that line would be called, if it is the one at the path now. */
void socket_name_format_wanted(const struct listen_config *listen, char *buf);

#endif
