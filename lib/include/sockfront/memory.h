/* SPDX-License-Identifier: MIT */
/*
 * A listener without an address, for unit tests of servers: the test connects
 * to it from within the process.  Nothing is bound, so that no port can be
 * taken and tests may run at the same time.
 */
#ifndef SOCKFRONT_MEMORY_H
#define SOCKFRONT_MEMORY_H

#include <sockfront/error.h>
#include <sockfront/listener.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes such a listener; sfront_listener_format() calls it "memory".
 *
 * @ret_listener: the caller closes it; clients that nobody accepted see an end
 *
 * Its connections are UNIX stream sockets whose peer is this very process.
 *
 * Returns 0, or -EMFILE, -ENFILE or -ENOMEM.
 */
int sfront_memory_listener_new(struct sfront_listener **ret_listener, struct sfront_error *err);

/*
 * Connects to @listener, which sfront_memory_listener_new() made.  Never
 * blocks: the connection waits until it is accepted, however many there are.
 * May be called by several threads at once, while others accept.
 *
 * Returns the client's descriptor, blocking and close-on-exec, which the caller
 * closes; or -EINVAL (another kind of listener), -EMFILE, -ENFILE, -ENOMEM.
 */
int sfront_memory_connect(struct sfront_listener *listener);

#ifdef __cplusplus
}
#endif
#endif
