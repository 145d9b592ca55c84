/* SPDX-License-Identifier: MIT */
/*
 * Network namespaces.  The same address can be in several, and a socket stays in that of
 * the process which made it, whoever has it later.
 */
#ifndef DAEMON_BASE_NETNS_H
#define DAEMON_BASE_NETNS_H

#include <stdbool.h>

/*
 * Whether the socket is in the namespace where sockets of our own are made.  Yes, if the
 * kernel cannot tell: before Linux 5.14, or out of descriptors.  Any thread.
 */
bool netns_is_ours(int fd);

#endif
