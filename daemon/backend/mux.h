/* SPDX-License-Identifier: MIT */
/*
 * The host's side of a virtual machine's vsock, as Firecracker and Cloud Hypervisor have it: a
 * UNIX socket on which one says "CONNECT 5000\n", and is connected once "OK 1073741824\n"
 * comes back.  It is closed instead if nobody listens on that port.
 */
#ifndef DAEMON_BACKEND_MUX_H
#define DAEMON_BACKEND_MUX_H

#include <stdint.h>

#define MUX_ANSWER_MAX 32

/* As much as has come of an answer. */
struct mux_answer {
	char text[MUX_ANSWER_MAX];
	unsigned int length;
};

/* Asks for @port on a socket that was just connected.  Returns 0 or -errno. */
int mux_ask(int fd, uint32_t port);

/*
 * Takes what has come of the answer, and no byte behind it: those are the server's.
 *
 * @answer: all 0 at first
 *
 * Returns 0 (it is connected), -EAGAIN (there is more to come), -ECONNREFUSED (nobody
 * listens there), -EPROTO (this is something else), or another -errno.
 */
int mux_read(int fd, struct mux_answer *answer);

#endif
