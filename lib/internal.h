/* SPDX-License-Identifier: MIT */
/*
 * What the files of lib/ share and nobody else sees: a listener and its
 * sockets, the class of each kind of address, the options as a
 * structure.  The public headers are below this one, lib/kind/ and lib/adapter/
 * above it; of the kinds the core knows their classes alone.
 */
#ifndef SOCKFRONT_INTERNAL_H
#define SOCKFRONT_INTERNAL_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <sockfront/address.h>
#include <sockfront/error.h>
#include <sockfront/listener.h>
#include <sockfront/options.h>
#include <sockfront/value.h>

/*
 * What a socket is, for the question which options have an effect on it: one
 * kind, and where the socket came from.
 */
#define KIND_TCP4      (1u << 0)
#define KIND_TCP6      (1u << 1)
#define KIND_PATH      (1u << 2)
#define KIND_ABSTRACT  (1u << 3)
#define KIND_VSOCK     (1u << 4)
#define KIND_SD_LISTEN (1u << 5) /* together with another one: from LISTEN_FDS */
#define KIND_FILE      (1u << 6) /* stdin and stdout where stdin is no socket */
#define KIND_TCP       (KIND_TCP4 | KIND_TCP6)
#define KIND_UNIX      (KIND_PATH | KIND_ABSTRACT)

#define OWN(kinds)       (kinds)         /* a listening socket of our making */
#define INHERITED(kinds) ((kinds) << 8)  /* a listening socket that was handed to us */
#define CONNECTED(kinds) ((kinds) << 16) /* a connection that was handed to us */
#define LISTENING(kinds) (OWN(kinds) | INHERITED(kinds))
#define EVERY(kinds)     (LISTENING(kinds) | CONNECTED(kinds))

/* The kinds that a target is made of. */
#define KINDS_OF(target) (((target) | (target) >> 8 | (target) >> 16) & ANY_KIND)
#define ANY_KIND         0xffu

enum sfront_option_id {
	OPTION_UNIX_UNLINK,
	OPTION_UNIX_MODE,
	OPTION_UNIX_UID,
	OPTION_UNIX_GID,
	OPTION_SD_IGNORE_ENVIRONMENT,
	OPTION_KEEPALIVE,
	OPTION_REUSE_PORT,
	OPTION_RECV_BUFFER,
	OPTION_SEND_BUFFER,
	OPTION_ONLY_V6,
	OPTION_BACKLOG,
	OPTION_NODELAY,
	OPTION_USER_TIMEOUT,
	OPTION_FAST_OPEN,
	OPTION_DEFER_ACCEPT,
	OPTION_FREEBIND,
	OPTION_TRANSPARENT,
	OPTION_DEVICE,
	OPTION_MARK,
	OPTION_CONGESTION,
	OPTION_MPTCP,
	OPTION_TYPE_OF_SERVICE,
	OPTIONS_LISTED, /* the first that sfront_option_at() does not tell of */
	OPTION_ACCEPT_PROXY_PROTOCOL = OPTIONS_LISTED,
	OPTIONS_COUNT
};

#define CONGESTION_SIZE 16 /* TCP_CA_NAME_MAX of the kernel */

/*
 * Whether descriptors may be passed over a UNIX socket, which connections inherit
 * of the listening one.  Linux 6.16; most headers lack it.
 */
#ifndef SO_PASSRIGHTS
#if defined(__hppa__)
#define SO_PASSRIGHTS 0x4051
#elif defined(__sparc__)
#define SO_PASSRIGHTS 0x005c
#else
#define SO_PASSRIGHTS 83
#endif
#endif

/* Switches are int, as setsockopt() wants them. */
struct sfront_options {
	uint32_t given; /* a bit for each enum sfront_option_id */
	int unix_unlink;
	int unix_mode;
	uid_t unix_uid;
	gid_t unix_gid;
	int sd_ignore_environment;
	struct sfront_keepalive keepalive;
	bool keepalive_is_suspect; /* as it was given: not worth comparing */
	int reuse_port;
	int recv_buffer;
	int send_buffer;
	int only_v6;
	int backlog;
	int nodelay;
	int user_timeout_ms;
	int fast_open;
	int defer_accept_s;
	int freebind;
	int transparent;
	char device[IFNAMSIZ];
	int mark;
	char congestion[CONGESTION_SIZE];
	int mptcp;
	int type_of_service;
	int accept_proxy_protocol;
	void (*warn)(void *data, const char *message);
	void *warn_data; /* borrowed */
};

/* Mode and owner of a socket file; each may be -1: as it is, or not known. */
struct sfront_access {
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

/* A descriptor of a listener. */
struct sfront_socket {
	const struct sfront_class *class;
	enum sfront_kind kind;     /* of the address; set once the class has opened it */
	unsigned int target;       /* OWN(), INHERITED() or CONNECTED() of a KIND_ */
	int fd;                    /* to poll, and to accept from unless single; owned */
	enum sfront_stream stream; /* of the connections */
	int send_buffer;           /* to be set on each connection; 0: not; accessed atomically */
	int header_due;            /* of the connections; accessed atomically */
	bool inherited;
	bool was_blocking; /* an inherited or adopted one, before it was taken */
	bool bent;         /* somebody else made it blocking again; accessed atomically */
	bool lent;         /* another listener may claim it; ours to serve, not to close */
	bool first;        /* an inherited one: no other listener had set anything on it */
	bool single;       /* gives .only, once; .fd is an eventfd then */
	bool taken;        /* .only was given; accessed atomically */
	/*
	 * Whether there may be clients who were in the queue of a UNIX socket before its options
	 * were set: until one is accepted who came later.
	 */
	bool has_early; /* accessed atomically */
	/*
	 * The same of an inherited TCP socket, whose number is known: they have none of the
	 * options, and as many are given theirs one by one.
	 */
	unsigned int n_early;                 /* accessed atomically */
	struct sfront_options *early_options; /* owned; for .n_early */
	/* Before any options were set, as far as it was noted; NULL: nothing was.  Owned. */
	struct sfront_options *had;
	struct sfront_sockaddr local;
	/*
	 * How .local is shown: owned by the listener that the socket is part of; before that a
	 * buffer of SFRONT_ADDRESS_TEXT_SIZE bytes.
	 */
	char *text;
	/* There may be thousands: what only some have shares its place. */
	union {
		/* A UNIX path of our making: its directory (owned), and what we bound. */
		struct {
			int dir_fd;
			bool seen; /* an inherited one, which was there when it was taken */
			dev_t dev;
			ino_t ino;
			struct sfront_access made; /* what no option set; -1: one did */
		} path;
		struct sfront_connection *only; /* owned; of .single */
		/* Of sfront_listener_new(): the program's own operations. */
		struct {
			struct sfront_listener_ops ops;
			void *data; /* theirs */
		};
	};
};

struct sfront_listener {
	struct sfront_socket *sockets; /* owned array */
	size_t n_sockets;
	size_t turn; /* the one to be asked first by the next accept */
};

/* One kind of address. */
struct sfront_class {
	const char *name;

	/*
	 * Before anything of the same call is opened: whether what somebody else
	 * has to have opened is there.  A socket of our own could take its number
	 * otherwise, and pass for it.  NULL where nobody else has to.
	 */
	int (*find)(const struct sfront_address *address, const struct sfront_options *options,
		    struct sfront_error *err);

	/*
	 * Opens what @address stands for, and adds a socket for each descriptor
	 * with sfront_listener_add().  May block while a name is resolved or a
	 * directory is locked.
	 *
	 * Returns 0, or a negative errno with @err naming the address; what it
	 * has added by then is undone by the caller.
	 */
	int (*open)(struct sfront_listener *listener, const struct sfront_address *address,
		    const struct sfront_options *options, struct sfront_error *err);

	/* As sfront_listener_accept_at().  Never blocks; called by several threads at once. */
	int (*accept)(struct sfront_socket *socket, struct sfront_connection *ret_connection);

	/* Closes every descriptor of @socket, and removes from the file system what it made. */
	void (*close)(struct sfront_socket *socket);

	/*
	 * Gives up the descriptor that listens, which stays open, and frees
	 * whatever else belongs to @socket.  Returns the descriptor or -errno.
	 * NULL where there is none that listens.
	 */
	int (*release)(struct sfront_socket *socket);

	/*
	 * Instead of close() when another address of the same listener failed:
	 * leaves what was inherited as it was found, to be opened again.  NULL:
	 * close() does.
	 */
	void (*undo)(struct sfront_socket *socket);

	/*
	 * Makes @socket, of which fd (a listening stream socket), local and target
	 * are filled, what open() of @address with @options would have added.
	 * Changes nothing about the descriptor, which release() gives up again.
	 *
	 * Returns 0; -EINVAL without @err if the socket is bound to anything else;
	 * or another negative errno with @err.  NULL: no such address has sockets
	 * that an earlier process could have opened.
	 */
	int (*adopt)(struct sfront_socket *socket, const struct sfront_address *address,
		     const struct sfront_options *options, struct sfront_error *err);

	/*
	 * Whether a listening socket that somebody else bound is bound to exactly what
	 * open() of @address with @options would bind; fd, local and target of @socket
	 * are filled.  NULL: no such address is anybody's to bind.
	 */
	bool (*fits)(const struct sfront_socket *socket, const struct sfront_address *address,
		     const struct sfront_options *options);

	/* As sfront_inherited_is_wanted().  NULL: it wants none. */
	bool (*wants)(const struct sfront_address *address, const struct sfront_options *options,
		      int fd);

	/*
	 * Changes what options set on something else than the descriptor.  Returns
	 * 0, or a negative errno with @err.  NULL: there is nothing.
	 */
	int (*update)(struct sfront_socket *socket, const struct sfront_options *from,
		      const struct sfront_options *to, struct sfront_error *err);

	/* As sfront_listener_check().  NULL: clients always reach it. */
	int (*check)(const struct sfront_socket *socket);

	/*
	 * As sfront_listener_verify(), of one socket that listens.  NULL: nothing
	 * that it was bound to can go away.
	 */
	int (*verify)(const struct sfront_socket *socket, const struct sfront_address *address,
		      const struct sfront_options *options, struct sfront_error *err);

	/* As sfront_listener_restore(), of one socket.  NULL: there is nothing to set back. */
	int (*restore)(struct sfront_socket *socket);

	/* As sfront_listener_remove_path().  NULL: there is none. */
	int (*remove_path)(const struct sfront_socket *socket);
};

extern const struct sfront_class sfront_tcp_class;
extern const struct sfront_class sfront_unix_class;
extern const struct sfront_class sfront_abstract_class;
extern const struct sfront_class sfront_vsock_class;
extern const struct sfront_class sfront_sd_listen_class;
extern const struct sfront_class sfront_fd_class;
extern const struct sfront_class sfront_inetd_class;

/* What a build leaves out has another file of that name in lib/absent/. */

/* error.c */

/* Writes the message, if @err is not NULL, and returns @error for the caller to return. */
int sfront_fail(struct sfront_error *err, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* value.c */

/* @len decimal digits.  Returns 0, -EINVAL if there is anything else or nothing, -ERANGE. */
int sfront_parse_digits(const char *text, size_t len, uint64_t *ret);

/* address.c */

/* Whether the host of a TCP address stands for every address of the machine. */
bool sfront_address_is_every(const struct sfront_address *address);

/* sfront_address_parse(), but what only looks like an address passes. */
int sfront_address_read(const char *text, struct sfront_address *ret_address,
			struct sfront_error *err);

/* foreign.c */

/*
 * Says how @text, which is an address for other programs, is written here.
 *
 * @is_refused: it is no address; otherwise only that is explained which can
 *              hardly be a host and its port
 *
 * Returns 0 if there is nothing to explain, or -EINVAL with @err filled.
 */
int sfront_foreign_explain(const char *text, bool is_refused, struct sfront_error *err);

/* options.c */

extern const struct sfront_options sfront_default_options;

void sfront_warn(const struct sfront_options *options, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* option_table.c */

bool sfront_option_given(const struct sfront_options *options, enum sfront_option_id option);
bool sfront_option_applies(enum sfront_option_id option, unsigned int target);
const char *sfront_option_name(enum sfront_option_id option);

/* Whether an option was given in one alone or with another value; a switch: is another. */
bool sfront_option_differs(enum sfront_option_id option, const struct sfront_options *a,
			   const struct sfront_options *b);

/* The value of an option that is kept as an int. */
int sfront_option_number(const struct sfront_options *options, enum sfront_option_id option);
void sfront_option_set_number(struct sfront_options *options, enum sfront_option_id option,
			      int number);

/* Warns of each option that was given and has an effect on none of the sockets in @targets. */
void sfront_warn_of_idle(unsigned int targets, const struct sfront_address *addresses, size_t n,
			 const struct sfront_options *options);

/* listener.c */

/* Whether @error (negative) of an accept says that whoever polices this process forbids it. */
bool sfront_accept_is_forbidden(int error);

/* NULL if there is no such kind. */
const struct sfront_class *sfront_class_of(enum sfront_kind kind);

/* Says that @what was left out of the build.  Returns -EAFNOSUPPORT. */
int sfront_refuse_absent(const struct sfront_address *address, const char *what,
			 struct sfront_error *err);

/*
 * What has to hold before the first of @addresses is opened: there is one, inetd
 * stands alone, and what was inherited is there.  Returns 0 or -errno.
 */
int sfront_check_together(const struct sfront_address *addresses, size_t n,
			  const struct sfront_options *options, struct sfront_error *err);

/* Opens one address into @listener.  Returns 0 or -errno; the caller undoes what was added. */
int sfront_open_one(struct sfront_listener *listener, const struct sfront_address *address,
		    const struct sfront_options *options, struct sfront_error *err);

/* Adds a copy of @socket, which belongs to the listener from then on.  Returns 0 or -ENOMEM. */
int sfront_listener_add(struct sfront_listener *listener, const struct sfront_socket *socket,
			struct sfront_error *err);

/* Frees what is noted of a socket, but for its text, which may be the caller's. */
void sfront_socket_clear(struct sfront_socket *socket);

/* Undoes every socket but the first @count. */
void sfront_listener_undo(struct sfront_listener *listener, size_t count);

/* Frees the listener, whose sockets are closed, released or undone. */
void sfront_listener_free(struct sfront_listener *listener);

/* What the sockets of the listener are, for sfront_option_applies(). */
unsigned int sfront_listener_targets(const struct sfront_listener *listener);

/* multi.c */

/* Opens two or more addresses, as sfront_open_one() does. */
int sfront_open_several(struct sfront_listener *listener, const struct sfront_address *addresses,
			size_t n, const struct sfront_options *options, struct sfront_error *err);

/* socket.c */

/* A number from a file of /proc/sys, or @fallback where it cannot be read. */
long sfront_sysctl(const char *path, long fallback);

/* The backlog to pass to listen(), with a warning if the kernel will cut it. */
int sfront_socket_backlog(const char *text, const struct sfront_options *options);

/* Fills @ret with the address that @fd is bound to, or with none.  Returns 0 or -errno. */
int sfront_socket_local(int fd, struct sfront_sockaddr *ret);

/*
 * Whether the socket still listens: whoever else has it may have shut it down.
 * Returns 0, -ESHUTDOWN, or another -errno if that cannot be told.
 */
int sfront_socket_listens(int fd);

/*
 * Whether the interface that a TCP socket was bound to, by option or by its
 * address, is still there.  Returns 0, or -ENODEV or -ESTALE with @err.
 *
 * @name: of the interface that it should be, or NULL
 */
int sfront_socket_verify_device(const struct sfront_socket *socket, const char *name,
				struct sfront_error *err);

/*
 * Whether the file at @path is still the one that the socket was bound to.
 * Returns 0, -ENOENT, -ESTALE, or another -errno if that cannot be told.
 */
int sfront_socket_verify_path(const struct sfront_socket *socket, const char *path);

/* The same with @err filled. */
int sfront_socket_explain_path(const struct sfront_socket *socket, const char *path,
			       struct sfront_error *err);

/* Whether @fd, bound to @local, takes clients of IPv6 and of IPv4 at any address. */
bool sfront_socket_is_dual(int fd, const struct sfront_sockaddr *local);

/* Accepts from a listening socket: the accept slot of most classes. */
int sfront_socket_accept(struct sfront_socket *socket, struct sfront_connection *ret_connection);

/* Closes the descriptor to poll: the close slot of most classes. */
void sfront_socket_close(struct sfront_socket *socket);

/* Gives up the descriptor to poll: the release slot of most classes. */
int sfront_socket_release(struct sfront_socket *socket);

/* socket_options.c */

/*
 * Sets every option that was given and applies to @target, and those that are
 * always set, on @fd.  Warns of what the kernel cuts down.
 *
 * @text: the address, for messages
 *
 * Returns 0, or a negative errno with @err naming the address and the option.
 */
int sfront_socket_apply(int fd, unsigned int target, const char *text,
			const struct sfront_options *options, struct sfront_error *err);

/*
 * Notes in *@had, which is made if need be, what @fd has of the options that are given, where
 * that is not noted yet and can be set again.  Returns 0 or -ENOMEM.
 */
int sfront_socket_note(int fd, unsigned int target, const struct sfront_options *options,
		       struct sfront_options **had);

/*
 * Sets what @to has other than @from on a listening socket, as far as it can be
 * set while that is open, and warns of the rest.
 *
 * Returns 0, or a negative errno with @err naming the address and the option.
 */
int sfront_socket_change(struct sfront_socket *socket, const struct sfront_options *from,
			 const struct sfront_options *to, struct sfront_error *err);

/*
 * Warns of each switch that was given, differs on @fd and cannot be set any more, or
 * not by a process that has not bound it.
 */
void sfront_socket_compare(int fd, unsigned int target, const char *text,
			   const struct sfront_options *options);

/* claim.c */

/*
 * Notes that a listener takes a descriptor that it did not make.  A number can
 * be claimed once in a process.  Returns 0, -EBUSY, or -ENOMEM, but for a number
 * that was claimed before: there is room for it.
 */
int sfront_claim(int fd);
void sfront_unclaim(int fd);
bool sfront_is_claimed(int fd);

/* identify.c */

/* Makes @fd non-blocking; *ret_was_blocking tells whether it was not.  Returns 0 or -errno. */
int sfront_set_nonblocking(int fd, bool *ret_was_blocking);

/* Makes @fd blocking again if it was. */
void sfront_restore_blocking(int fd, bool was_blocking);

/* What a socket of a stream type is.  Filled by sfront_identify(). */
struct sfront_identity {
	unsigned int kind; /* KIND_ */
	enum sfront_stream stream;
	bool listening; /* else connected */
};

#define SFRONT_WHAT_SIZE 96

/*
 * Finds out what the descriptor is.
 *
 * @ret_what: SFRONT_WHAT_SIZE bytes, "a FIFO", "a datagram socket", ..., for messages
 *
 * Returns 0 with @ret filled if it is a stream socket that listens or is
 * connected, -EBADF if it is closed, -ENOTSOCK or -EPROTOTYPE for anything else.
 */
int sfront_identify(int fd, struct sfront_identity *ret, char *ret_what);

/*
 * What kind of stream a descriptor is that is no socket; @mode is of fstat().
 * Returns 0, -EISDIR, or another -errno where epoll cannot be asked.
 */
int sfront_identify_file(int fd, mode_t mode, enum sfront_stream *ret);

/* custom.c */

/* The data of a listener of sfront_listener_new() with that accept, else NULL. */
void *sfront_custom_data(const struct sfront_listener *listener,
			 int (*accept)(void *data, struct sfront_connection *ret_connection));

/* resolve.c */

/* The port of a service, digits or a name.  Returns 0 or -ENOENT. */
int sfront_service_port(const char *service, uint16_t *ret);

#endif
