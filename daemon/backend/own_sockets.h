/* SPDX-License-Identifier: MIT */
/*
 * Connections of our own that may come back to us.  Which address leads where is known to
 * the kernel alone, and may change at any time; so the connection itself is recognised when
 * it arrives: its two addresses are those of a socket that we have connected, or, of a UNIX
 * socket, the process that has connected it is this one.  dial.c notes those that go to a port
 * on which we listen, and whoever serves a client asks.
 */
#ifndef DAEMON_BACKEND_OWN_SOCKETS_H
#define DAEMON_BACKEND_OWN_SOCKETS_H

#include <sockfront/address.h>
#include <stdbool.h>

/*
 * As connect(), and notes the connection before anybody can accept it.  Any thread.
 *
 * Returns 0, or -errno; -EINPROGRESS is success.
 */
int own_sockets_connect(int fd, const struct sfront_sockaddr *addr);

/*
 * Whether a connection that was accepted is one of those: forgets it then.  Costs no system
 * call unless its peer has the address of one of ours; of a UNIX socket two, once we have
 * connected one.  Any thread.
 *
 * @fd:   its socket
 * @peer: its peer's address
 */
bool own_sockets_take(int fd, const struct sfront_sockaddr *peer);

#endif
