/* SPDX-License-Identifier: MIT */
/*
 * What one "listen" line of a configuration stands for: an open listener, and
 * what the daemon has to know of each of its sockets.  Between the library's
 * listeners and proxy.c; generations share those that did not change.
 */
#ifndef DAEMON_PROXY_LISTENER_H
#define DAEMON_PROXY_LISTENER_H

#include <sockfront/listener.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct generation;

/* A descriptor of the listener, as noted when it was opened: workers read it when that is closed.
 */
struct listener_socket {
	char *text;        /* owned: what it listens on */
	bool is_single;    /* it is for one connection */
	bool takes_ipv4;   /* an IPv6 socket that IPv4 clients reach too */
	bool is_elsewhere; /* it is in another network namespace than we */
	bool done;         /* that one is taken; the acceptor's alone */
	/* The main thread's, of a path that somebody else has bound: see path_watch.c. */
	bool path_said;
	dev_t path_device;
	ino_t path_inode; /* 0: it is not watched */
};

struct listener {
	const struct generation *newest;      /* of those that have it; the main thread's */
	const struct sfront_options *options; /* what is in force; borrowed from that */
	char *line;                      /* owned: the address of its line, in canonical form */
	struct sfront_listener *open;    /* NULL once it is closed */
	struct listener_socket *sockets; /* owned array */
	size_t n_sockets;
	atomic_uint refs; /* a section each */
	unsigned int nth; /* of that address in its configuration: free ports may repeat */
	/*
	 * Another process has the sockets too, or the service manager keeps them: a UNIX
	 * path of our making and the queue stay when we close, and options that we set are
	 * not set back.
	 */
	atomic_bool is_shared;
	bool is_own;        /* of our making: not inherited, not a connection */
	bool is_taken_over; /* by the process of an upgrade, which has them too */
	bool is_adopted;    /* with the options that it had: see listener_settle() */
	bool path_lost;     /* it was said in the log that the path is gone */
};

/*
 * Makes one of an open listener, which is taken on success.
 *
 * @address: that of its line; copied
 * @options: those it was opened with; borrowed: see listener.options
 *
 * Returns it with one reference, or NULL when out of memory.
 */
struct listener *listener_new(const struct sfront_address *address, unsigned int nth,
			      const struct sfront_options *options, struct sfront_listener *open);

struct listener *listener_ref(struct listener *listener);

/* The last one closes the listener, if it is open still. */
void listener_unref(struct listener *listener);

/* Closes the listener: nobody may be accepting from it any more. */
void listener_close(struct listener *listener);

/* Closes the descriptors of @listener and leaves what they were bound to in the file system. */
void listener_close_unshared(struct sfront_listener *open);

/* Sets the options of one that was adopted, now that it is ours. */
void listener_settle(struct listener *listener);

/* Removes the path of one that nobody shall find any more; those who are queued stay so. */
void listener_hide(const struct listener *listener);

/*
 * Turns clients away as a close would, but leaves the listener to a thread that
 * still looks at it.
 */
void listener_refuse(const struct listener *listener);

/* The address of its line. */
struct sfront_address listener_address(const struct listener *listener);

/* What socket @index is bound to; len 0 for a connection, and once the listener is closed. */
struct sfront_sockaddr listener_local(const struct listener *listener, size_t index);

/* Whether others than this machine's own reach that socket by TCP. */
bool listener_is_open_to_others(const struct listener *listener, size_t index);

/* As sfront_listener_verify(), by its line and the options that are in force. */
int listener_verify(const struct listener *listener, struct sfront_error *err);

/* Whether the socket is of our own making: not inherited, not a connection. */
bool listener_is_own(const struct listener *listener);

#endif
