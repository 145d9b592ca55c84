/* SPDX-License-Identifier: MIT */
/*
 * The two kinds of address that the bench talks to, and sockets for them.
 * Its own, and not the library's: what measures must not share the faults of
 * what is measured.  Used by the load generator and by the raw-epoll relay.
 */
#ifndef BENCH_ADDRESS_H
#define BENCH_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_un un;
	} sa;
	socklen_t len;
};

/* "A.B.C.D:PORT", or a path that begins with '/'.  Returns 0 or -EINVAL. */
int address_parse(const char *text, struct address *ret_address);

/* A non-blocking, close-on-exec stream socket; TCP_NODELAY where there is TCP.  Or -errno. */
int address_socket(const struct address *address);

/* The same, listening.  Or -errno. */
int address_listen(const struct address *address);

/* Waits until it is connected, 5 seconds at most; non-blocking from then on.  Or -errno. */
int address_connect(const struct address *address);

#endif
