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
 *
 * One thread at a time uses a listener, sfront_listener_accept_at() aside, or a
 * connection.  Different ones may be used by different threads.
 *
 * Sections of this file:
 *
 *	Types               enum sfront_stream, struct sfront_connection
 *	Opening, closing    open, open_each, adopt, update, close
 *	Lending             lend, take_back, restore
 *	Asking              count, fd, format, local, kind, stream, is_single,
 *	                    is_inherited, header_due, check, verify, path_id,
 *	                    remove_path
 *	Taking out          release
 *	Accepting           accept, accept_at, sfront_accept_should_pause
 *	Connections         sfront_connection_*: format, from_fds, credentials,
 *	                    pidfd, close
 *	Other transports    struct sfront_listener_ops, new
 *	Passed descriptors  sfront_inherited_at, sfront_inherited_reserve,
 *	                    sfront_inherited_is_wanted, open_inherited,
 *	                    sfront_former_format, sfront_former_parse
 *
 * Who owns a listening descriptor, and closes it in the end:
 *
 *	an address --open-->  +----------+  --lend------->  +----------------------+
 *	                      | listener |                  | listener, and others |
 *	the caller --adopt->  +----------+  <--take_back--  | may open it as well  |
 *	                       |   |   |                    +----------------------+
 *	       close: nobody,  |   |   |  release:                     | close:
 *	       it is closed  <-+   |   +-> the caller,                 v
 *	                           |       it listens       whoever passed it here,
 *	                           | accept                 it listens
 *	                           v
 *	              a connection, the caller's
 */
#ifndef SOCKFRONT_LISTENER_H
#define SOCKFRONT_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <sockfront/address.h>
#include <sockfront/error.h>
#include <sockfront/options.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sfront_listener;

/* --- Types --- */

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
	/*
	 * A PROXY protocol header comes before the client's first byte: the
	 * listener's option accept-proxy-protocol says so.  Until
	 * sfront_proxy_read() has read it (sockfront/proxy_protocol.h), the peer
	 * is the proxy.
	 */
	bool header_due;
	bool is_proxied; /* the peer is who a header said, not who connected */
	/*
	 * A UNIX client's, who came before the kernel was told to refuse passed
	 * descriptors: whoever reads with recv() closes those that came by then,
	 * which can take long.
	 */
	bool fds_may_come;
	struct sfront_sockaddr peer; /* len 0 where there is none */
};

/* --- Opening, closing --- */

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
 * Opens a listener of its own for each address, all or none: for a program that
 * may close one and keep another.  Options that have an effect on some of them
 * are not warned of.
 *
 * @addresses: @n of them
 * @listeners: @n places.  Where one is not NULL, that listener is open already
 *             and stays as it is; in the others the new ones are put, for the
 *             caller to close
 *
 * Returns 0, or a negative errno with @err naming the address and what to do;
 * @listeners is as it was then.
 */
int sfront_listener_open_each(const struct sfront_address *addresses, size_t n,
			      const struct sfront_options *options,
			      struct sfront_listener **listeners, struct sfront_error *err);

/*
 * Makes a listener of sockets that an earlier process opened for the same
 * address and passed on, through exec() or a service manager's store.
 *
 * @address:      host and port, UNIX path, abstract name or vsock
 * @fds:          listening sockets: one, or as many as a host has addresses
 * @options:      borrowed for the call; NULL: the sockets stay as they are, as
 *                for who cannot be sure yet to be the one that takes over;
 *                sfront_listener_update() can follow
 * @ret_listener: the caller closes it
 *
 * From then on it is as if sfront_listener_open() had opened it: its descriptors
 * are its own, not inherited ones, and a path is removed when it is closed.  So
 * that it is the right one to remove: a path must be a socket, and the program
 * compares sfront_listener_path_id() with what the earlier process had.
 *
 * Options that can be set on a listening socket, or on its path, are set, with
 * the default backlog where none is given.  Those that take effect only before
 * a socket is bound stay as they are, with a warning where one that was given
 * is seen to differ; so does what the earlier process set and @options do not.
 * Options that have no effect on such a socket are not spoken of: the listener may
 * be one of several with the same options, see sfront_listener_open_each().
 *
 * @fds are taken on success, and claimed as inherited descriptors are: no other
 * listener can have that number as long as the process lives.  On failure they
 * stay open and the caller's, in the blocking mode that they had; options that
 * were set before the one that failed stay set.
 *
 * Returns 0, or
 *   -EINVAL      no descriptor, or two for an address that can have one alone;
 *                a socket that is bound to another address; an address of
 *                another kind
 *   -EBADF       a descriptor is closed
 *   -ENOTSOCK,
 *   -EPROTOTYPE  it is no listening stream socket
 *   -EBUSY       a listener has it
 *   -ESTALE      the path is gone, or is not a socket
 *   other -errno
 * with @err naming the address and the descriptor.
 */
int sfront_listener_adopt(const struct sfront_address *address, const int *fds, size_t n_fds,
			  const struct sfront_options *options,
			  struct sfront_listener **ret_listener, struct sfront_error *err);

/*
 * Takes an open listener from the options that it was opened with to others.
 *
 * @from: NULL: the defaults; equal options are not looked at
 * @to:   NULL: the defaults; its warning function is told of what differs and
 *        cannot be changed while the socket is open, or set back
 *
 * Connections that were accepted keep what they have.  Mode and owner of a UNIX
 * path change only while it is the socket that was bound.  A listener of
 * sfront_listener_new() and a single connection have nothing to change.
 *
 * An option that @to no longer gives goes back to its default, on an inherited
 * socket to what that had when it was first set.  Where that is not known, or the
 * kernel has no way back (buffers, an inherited backlog), it stays, with a warning.
 *
 * Returns 0, or a negative errno with @err where the kernel refused a change.
 * Some others have been made then: the same call with @from and @to exchanged
 * goes back.
 */
int sfront_listener_update(struct sfront_listener *listener, const struct sfront_options *from,
			   const struct sfront_options *to, struct sfront_error *err);

/*
 * Closes every descriptor and frees the listener.  A UNIX path that the
 * listener bound is removed if it is still the socket that was bound; what was
 * lent stays open.  NULL is allowed.
 */
void sfront_listener_close(struct sfront_listener *listener);

/* --- Lending --- */

/*
 * Lets go of the inherited listening descriptors, so that another listener can
 * be opened on them while this one goes on accepting: for a program that reads
 * its configuration again.  Single connections, and sockets of the listener's
 * own, stay as they are.
 *
 * Closing a listener that has lent leaves those descriptors open, non-blocking,
 * and not taken unless another listener has them.  So either the old listener is
 * closed once the new one is open, or the new one is undone (one that is open:
 * lend, then close), and the old one takes back.
 *
 * Lending twice is lending once.
 */
void sfront_listener_lend(struct sfront_listener *listener);

/*
 * Takes back what was lent.  Needs no memory.
 *
 * Returns 0, or -EBUSY if another listener has one of them, or had it and closed
 * it without lending: that one stays lent, and the others are taken back.
 */
int sfront_listener_take_back(struct sfront_listener *listener);

/*
 * Gives the inherited listening sockets of the listener back as they were found:
 * every option that listeners of this program have set on them since, and the
 * blocking mode.  Lent ones are passed over.  To be called before the listener is
 * closed, by a program that ends and knows of no other of its own that goes on
 * with them: it could block in accepting.
 *
 * What cannot be set back: the backlog of a UNIX or vsock socket, the tuning of
 * a buffer before Linux 5.14, and a buffer above net.core.rmem_max or wmem_max
 * without CAP_NET_ADMIN.
 *
 * Returns 0, or the first -errno of what the kernel refused; all else is set
 * back then.
 */
int sfront_listener_restore(struct sfront_listener *listener);

/* --- Asking --- */

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

/*
 * The kind of the address that descriptor @index was opened for: SFRONT_SD_LISTEN
 * for all that an sd-listen address took, whatever they are.  SFRONT_KINDS for a
 * listener of sfront_listener_new(), and past the last.
 */
enum sfront_kind sfront_listener_kind(const struct sfront_listener *listener, size_t index);

/*
 * What the connections of descriptor @index are read from: tells what an
 * inherited socket is.  @index: below sfront_listener_count().
 */
enum sfront_stream sfront_listener_stream(const struct sfront_listener *listener, size_t index);

/* Whether descriptor @index gives one connection only: inetd, or an inherited connection. */
bool sfront_listener_is_single(const struct sfront_listener *listener, size_t index);

/*
 * Whether descriptor @index was inherited: somebody else may hold the same
 * socket, and clients in its backlog outlive us.
 */
bool sfront_listener_is_inherited(const struct sfront_listener *listener, size_t index);

/*
 * Whether connections of descriptor @index begin with a PROXY protocol header:
 * what header_due of each will be.
 */
bool sfront_listener_header_due(const struct sfront_listener *listener, size_t index);

/*
 * Whether clients still reach descriptor @index at the UNIX path that the
 * listener bound or adopted, through the directories as they are now.
 *
 * Returns 0 (for every other kind of address, always), or
 *   -ENOENT  the path is gone
 *   -ESTALE  something else is there
 *   -EINVAL  past the last
 *   other -errno if it cannot be told
 */
int sfront_listener_check(const struct sfront_listener *listener, size_t index);

/*
 * Whether an open listener still is what its address and options ask for, so that
 * there is no reason to open it anew.
 *
 * @address: the one that it was opened for
 * @options: those that it has now; NULL: the defaults
 *
 * Looks at each descriptor that listens: whether it still does, or another
 * process that has it shut it down; whether the interface of bind-to-device or of
 * a link-local address is still the one that it was bound to; whether the UNIX
 * path, through the directories as they are now, is the socket that was bound, or
 * that was there when an inherited one was taken.  Names are not resolved again.
 *
 * Returns 0, or with @err
 *   -ESHUTDOWN  it listens no more
 *   -ENODEV     the interface is gone
 *   -ENOENT     the UNIX path is gone
 *   -ESTALE     another interface has the name, or something else is at the path
 *   other -errno if it cannot be told
 */
int sfront_listener_verify(const struct sfront_listener *listener,
			   const struct sfront_address *address,
			   const struct sfront_options *options, struct sfront_error *err);

/*
 * Device and inode number of the UNIX path that descriptor @index was bound to.
 * While the socket is open they are no other file's.  Returns 0, or -ENOENT
 * where there is no path of the listener's making.
 */
int sfront_listener_path_id(const struct sfront_listener *listener, size_t index, dev_t *ret_device,
			    ino_t *ret_inode);

/*
 * Removes the UNIX path that descriptor @index was bound to, if it is still that
 * socket's.  It is removed from the directory that it was made in, wherever that
 * is by now.  The socket stays open: clients that have connected are accepted.
 *
 * Returns 0, or
 *   -ENOENT  the path is gone, or the listener has not bound or adopted one
 *   -ESTALE  something else is there, which stays
 *   -EINVAL  past the last
 *   other -errno of unlinkat()
 */
int sfront_listener_remove_path(struct sfront_listener *listener, size_t index);

/* --- Taking out --- */

/*
 * Takes the listening descriptor @index out of the listener, for a program that
 * accepts by itself or passes it on.  The caller closes it.  It stays
 * non-blocking and close-on-exec, and listening; a UNIX path stays, and nobody
 * removes it but the caller.
 *
 * Other descriptors keep their index; this one's is -1 from then on, and
 * accepting from it says -ESHUTDOWN.  Not for use while another thread accepts.
 *
 * Returns the descriptor, or
 *   -EOPNOTSUPP  it gives one connection only (accept takes that one's
 *                descriptors out), or is of sfront_listener_new()
 *   -EBADF       it was taken out already
 *   -EINVAL      past the last
 */
int sfront_listener_release(struct sfront_listener *listener, size_t index);

/* --- Accepting --- */

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
 *   -EPERM, -EACCES      accepting is forbidden, for as long as whoever forbids it
 *                        does: pause, then try again
 *   -ESHUTDOWN           no more connections: every descriptor was for one
 *                        alone, and all are taken
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

/* Whether @error (negative) of an accept may be gone later: no room, or forbidden. */
bool sfront_accept_should_pause(int error);

/* --- Connections --- */

/*
 * Writes who is at the other end: the peer's address; "unix(pid=1,uid=2,gid=3)"
 * with the credentials for a UNIX peer, "stdin" for pipes, files and terminals.
 * Of a proxied connection, the peer's address in every case.
 * Returns the length of the whole text, as snprintf does.
 */
size_t sfront_connection_format(const struct sfront_connection *connection, char *buf, size_t size);

/*
 * Makes a connection of two descriptors that the program has: a socket pair, a
 * pipe each way, what a child process was given.  They may be the same one.
 *
 * @read_fd, @write_fd: taken on success: they belong to the connection, which
 *                      sfront_connection_close() closes.  Made non-blocking,
 *                      files and devices that never block aside; restored on
 *                      close if they were not.  Otherwise left as they are.
 *
 * Returns 0, or
 *   -EBADF       a descriptor is closed, or not open in that direction
 *   -EPROTOTYPE  a socket that is not connected, or not a stream
 *   -EISDIR      a directory
 *   other -errno of fcntl()
 * with @err naming the descriptor and what it is.  Nothing has changed then.
 */
int sfront_connection_from_fds(int read_fd, int write_fd, struct sfront_connection *ret_connection,
			       struct sfront_error *err);

/* Who is at the other end of a UNIX socket, as the kernel saw it when it connected. */
struct sfront_credentials {
	pid_t pid; /* 0: in a process namespace that this one cannot see into */
	uid_t uid;
	gid_t gid;
};

/*
 * Fills @ret with the credentials of whoever connected, which may be a proxy.
 * Returns 0, -EOPNOTSUPP where the connection is read from anything but a UNIX
 * socket, or -errno of getsockopt().
 */
int sfront_connection_credentials(const struct sfront_connection *connection,
				  struct sfront_credentials *ret);

/*
 * Opens a descriptor of the process at the other end of a UNIX socket
 * (SO_PEERPIDFD), which unlike its number is never used again for another.
 * Close-on-exec; the caller closes it.
 *
 * Returns the descriptor, or
 *   -EOPNOTSUPP   not a UNIX socket
 *   -ENOPROTOOPT  the kernel is older than 6.5
 *   -ESRCH, -EINVAL, -ENODATA  the process has ended, or there was none
 *   other -errno of getsockopt()
 */
int sfront_connection_pidfd(const struct sfront_connection *connection);

/* Closes both descriptors, restoring their blocking mode where that is owed. */
void sfront_connection_close(struct sfront_connection *connection);

/* --- Other transports --- */

/*
 * What a listener of the program's own does, for a transport that this library
 * does not know or for a test.  @data is what sfront_listener_new() was given.
 */
struct sfront_listener_ops {
	size_t size; /* sizeof(struct sfront_listener_ops): later versions add members at the end */

	/*
	 * Gives one connection, never blocking; returns as sfront_listener_accept()
	 * does.  The program that calls sfront_listener_accept_at() from several
	 * threads has it called by several threads.
	 */
	int (*accept)(void *data, struct sfront_connection *ret_connection);

	/* Ends everything, the descriptor to poll included.  Called once.  NULL: nothing to do. */
	void (*close)(void *data);

	/* As sfront_listener_local().  NULL: there is no such address. */
	int (*local)(void *data, struct sfront_sockaddr *ret);
};

/*
 * Makes a listener of operations of the program's own.  It has one descriptor.
 *
 * @ops:          copied; accept must be there
 * @data:         borrowed until ops->close() was called
 * @fd:           to poll: readable while accept would give a connection; borrowed
 * @text:         what sfront_listener_format() says; copied
 * @ret_listener: the caller closes it
 *
 * Returns 0, -EINVAL (no accept, no descriptor, a size of zero, a text that is
 * too long) or -ENOMEM.  ops->close() has not been called then.
 */
int sfront_listener_new(const struct sfront_listener_ops *ops, void *data, int fd, const char *text,
			struct sfront_listener **ret_listener, struct sfront_error *err);

/* --- Passed descriptors --- */

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

/*
 * Keeps the inherited descriptors whose names begin with @prefix for the program
 * itself, which stored them with its service manager: sd-listen in every form
 * passes over them from now on, as if they had not been passed;
 * sfront_inherited_at() still lists them.  To be called before an sd-listen
 * address is opened.  Reads the variables as sfront_inherited_at() does.
 *
 * @prefix: copied; replaces that of an earlier call
 *
 * Returns how many there are, 0 where nothing was passed to this process, or
 *   -EINVAL  a prefix that is empty, or longer than a name can be
 *   -EBUSY   a listener has one of them already
 *   other -errno if the variables are malformed
 */
int sfront_inherited_reserve(const char *prefix);

/*
 * Whether opening @address would take descriptor @fd: an sd-listen address one of
 * those that it stands for, accept-from-fd the one of that number, taken or not.
 *
 * @options: NULL: the defaults
 */
bool sfront_inherited_is_wanted(const struct sfront_address *address,
				const struct sfront_options *options, int fd);

/*
 * Opens an address of the program's own on a listening socket that it inherited,
 * where that is bound to exactly this address: so that one program, with one
 * configuration, serves with a service manager that holds its sockets and without.
 * From then on the listener is as one of an sd-listen address.  Network namespaces
 * are not looked at.
 *
 * @address: host and port, UNIX path, abstract name or vsock.  A host name, or a
 *           port that is 0, is never exactly what a socket is bound to; ":PORT" is
 *           a socket for IPv6 and IPv4, or for IPv6 with tcp-only-v6
 * @fd:      inherited; which one, sfront_inherited_at() tells
 * @options: borrowed for the call; NULL: the defaults.  What counts before a socket
 *           is bound alone is warned of where the socket has it otherwise;
 *           bind-to-device has to be what the socket is bound to
 *
 * Returns 0, or
 *   -EADDRNOTAVAIL  the descriptor listens on another address, or not at all
 *   -EBUSY          a listener has it
 *   -EINVAL         an address of another kind
 *   other -errno    it cannot be taken
 * with @err naming the address and the descriptor.
 */
int sfront_listener_open_inherited(const struct sfront_address *address, int fd,
				   const struct sfront_options *options,
				   struct sfront_listener **ret_listener, struct sfront_error *err);

/*
 * Writes what the inherited descriptor @fd had before listeners set anything on
 * it, as text for sfront_former_parse() of a process that takes over.  Returns
 * the length of the whole text, as snprintf does; 0 where nothing is known.
 */
size_t sfront_former_format(int fd, char *buf, size_t size);

/*
 * Tells what descriptor @fd had before an earlier process of this program set
 * anything on it, so that sfront_listener_restore() gives that back.  To be
 * called before the descriptor is opened as an address.
 *
 * @text: of sfront_former_format(); words of a later version are ignored
 *
 * Returns 0, or
 *   -EINVAL  @text has another form
 *   -EBUSY   it is known already
 *   -ENOMEM
 */
int sfront_former_parse(int fd, const char *text);

#ifdef __cplusplus
}
#endif
#endif
