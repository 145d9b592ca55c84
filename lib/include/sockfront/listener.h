/* SPDX-License-Identifier: MIT */
/*
 * Listeners and connections: whatever address the user typed becomes a set of
 * descriptors to poll and one non-blocking call that accepts.
 *
 *	struct sfront_address address;
 *	struct sfront_listener *listener;
 *
 *	if (sfront_address_parse(argv[1], &address, &err) < 0 ||
 *	    sfront_listener_open(&address, 1, NULL, &listener, &err) < 0)
 *		errx(1, "%s", err.message);
 */
#ifndef SOCKFRONT_LISTENER_H
#define SOCKFRONT_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include <sockfront/address.h>
#include <sockfront/error.h>
#include <sockfront/options.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sfront_listener;

/* What a descriptor of a connection is: which calls it takes, and what its end can express. */
enum sfront_stream {
	SFRONT_STREAM_TCP,      /* socket; knows half-close and reset */
	SFRONT_STREAM_UNIX,     /* socket; knows half-close, cannot be sent a reset */
	SFRONT_STREAM_VSOCK,    /* the same */
	SFRONT_STREAM_PIPE,     /* read() and write(); half-close is close() */
	SFRONT_STREAM_TERMINAL, /* the same */
	SFRONT_STREAM_FILE      /* the same, and always ready: epoll refuses it */
};

/*
 * A connection.  For a socket both descriptors are the same; under inetd stdin
 * and stdout may be two things.  Plain data: a program may take the descriptors
 * out and forget the rest.
 */
struct sfront_connection {
	int read_fd;
	int write_fd;
	enum sfront_stream read_stream;
	enum sfront_stream write_stream;
	/*
	 * The descriptor was handed to us in blocking mode and shares that mode
	 * with whoever gave it: clear O_NONBLOCK before closing.
	 */
	bool restore_read;
	bool restore_write;
	struct sfront_sockaddr peer; /* len 0 where there is none */
};

/*
 * Opens one listener over all of @addresses: all or none.
 *
 * @addresses:    at least one; may block while a host name is resolved
 * @options:      borrowed for the call; NULL: the defaults
 * @ret_listener: the caller closes it
 *
 * Descriptors are non-blocking and close-on-exec.  stdin and stdout under inetd
 * are taken over: descriptors 0 and 1 are /dev/null afterwards.
 *
 * Returns 0, or a negative errno with @err naming the address and what to do.
 */
int sfront_listener_open(const struct sfront_address *addresses, size_t n_addresses,
			 const struct sfront_options *options,
			 struct sfront_listener **ret_listener, struct sfront_error *err);

/*
 * Closes every descriptor and frees the listener.  A UNIX path that the
 * listener bound is removed if it is still the socket that was bound.  NULL is
 * allowed.
 */
void sfront_listener_close(struct sfront_listener *listener);

/*
 * How many descriptors there are to poll, and the one at @index (-1 past the
 * last).  Poll them for reading; they stay the same until the listener is
 * closed.  They belong to the listener: not for accept(), read() or close().
 */
size_t sfront_listener_count(const struct sfront_listener *listener);
int sfront_listener_fd(const struct sfront_listener *listener, size_t index);

/*
 * Writes the address that descriptor @index listens on, a port 0 resolved.
 * Returns the length of the whole text, as snprintf does; 0 past the last.
 */
size_t sfront_listener_format(const struct sfront_listener *listener, size_t index, char *buf,
			      size_t size);

/*
 * The bound socket address of descriptor @index.  Returns 0, or -ENOENT where
 * there is none (inetd over pipes, or past the last).
 */
int sfront_listener_local(const struct sfront_listener *listener, size_t index,
			  struct sfront_sockaddr *ret);

/* Whether descriptor @index gives one connection only: inetd, or an inherited connection. */
bool sfront_listener_is_single(const struct sfront_listener *listener, size_t index);

/*
 * Whether descriptor @index was inherited: somebody else may hold the same
 * socket, and clients in its backlog outlive us.
 */
bool sfront_listener_is_inherited(const struct sfront_listener *listener, size_t index);

/*
 * Takes one pending connection.  Never blocks.  Descriptors take turns: none is
 * asked twice in a row while another has a client waiting.
 *
 * @ret_connection: filled; the caller closes it
 *
 * Clients that went away while they waited are skipped.
 *
 * Returns 0, or
 *   -EAGAIN              nothing is pending: poll the descriptors
 *   -EMFILE, -ENFILE,
 *   -ENOBUFS, -ENOMEM    no room now: pause, then try again
 *   -ESHUTDOWN           every descriptor was for one connection, and all are taken
 *   other -errno         this listener is broken: close it
 */
int sfront_listener_accept(struct sfront_listener *listener,
			   struct sfront_connection *ret_connection);

/*
 * The same, from descriptor @index alone.  May be called by several threads at
 * once, unlike everything else here.
 */
int sfront_listener_accept_at(struct sfront_listener *listener, size_t index,
			      struct sfront_connection *ret_connection);

/* Whether @error (negative) of an accept says that there is no room now. */
bool sfront_accept_should_pause(int error);

/*
 * Writes who is at the other end: the peer's address; "unix(pid=1,uid=2,gid=3)"
 * with the credentials for a UNIX peer, "stdin" for pipes, files and terminals.
 * Returns the length of the whole text, as snprintf does.
 */
size_t sfront_connection_format(const struct sfront_connection *connection, char *buf, size_t size);

/* Closes both descriptors, restoring their blocking mode where that is owed. */
void sfront_connection_close(struct sfront_connection *connection);

/* A descriptor that this process inherited through LISTEN_FDS. */
struct sfront_inherited {
	int fd;
	const char *name; /* from LISTEN_FDNAMES, "unknown" without; lives as long as the process */
	bool taken;       /* a listener has it, or had it and closed it */
};

/*
 * The descriptors that LISTEN_FDS counts, whether taken or not: number @index.
 *
 * The first use, by this function or by opening an sd-listen address, reads the
 * LISTEN_* variables, removes them from the environment and marks the
 * descriptors close-on-exec; it must come before the program starts threads.
 *
 * Returns 0, -ENOENT past the last (so for 0 where nothing was passed to this
 * process), or another -errno if the variables are malformed.
 */
int sfront_inherited_at(size_t index, struct sfront_inherited *ret);

#ifdef __cplusplus
}
#endif
#endif
