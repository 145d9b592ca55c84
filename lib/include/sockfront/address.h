/* SPDX-License-Identifier: MIT */
/*
 * Addresses as people write them: "127.0.0.1:8080", "./app.sock", "@app",
 * "vsock:any:5000", "sd-listen:web", "-".  Text to structure and back, and, as
 * separate calls, what the text stands for on this machine.
 */
#ifndef SOCKFRONT_ADDRESS_H
#define SOCKFRONT_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <sockfront/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sfront_kind {
	SFRONT_TCP,       /* HOST:PORT, [IPV6%SCOPE]:PORT, :PORT, *:PORT */
	SFRONT_UNIX,      /* /path or ./path */
	SFRONT_ABSTRACT,  /* @name */
	SFRONT_VSOCK,     /* vsock:CID:PORT */
	SFRONT_SD_LISTEN, /* sd-listen, sd-listen:NAME, sd-listen:* */
	SFRONT_FD,        /* accept-from-fd:N */
	SFRONT_INETD,     /* inetd, stdio, - */
	SFRONT_KINDS
};

/* Which of the descriptors that LISTEN_FDS counts. */
enum sfront_sd_listen {
	SFRONT_SD_LISTEN_FIRST, /* descriptor 3 */
	SFRONT_SD_LISTEN_NAMED, /* every one of that name */
	SFRONT_SD_LISTEN_ALL
};

#define SFRONT_HOST_SIZE    256
#define SFRONT_SCOPE_SIZE   16
#define SFRONT_SERVICE_SIZE 64
#define SFRONT_PATH_MAX     107 /* bytes of a UNIX path, or of an abstract name after its '@' */
#define SFRONT_NAME_SIZE    256
#define SFRONT_CID_ANY      UINT32_MAX

/* Room for the text of any address, with the final NUL. */
#define SFRONT_ADDRESS_TEXT_SIZE 384

/*
 * An address, as typed: nothing in it has been looked up.  Plain data in the
 * caller's memory; copied by assignment, compared with sfront_address_equal().
 */
struct sfront_address {
	enum sfront_kind kind;
	union {
		struct {
			char host[SFRONT_HOST_SIZE];   /* without brackets; "" or "*": every address
							*/
			char scope[SFRONT_SCOPE_SIZE]; /* interface after '%', or "" */
			char service[SFRONT_SERVICE_SIZE]; /* digits or a service's name */
		} tcp;
		struct {
			char name[SFRONT_PATH_MAX + 1]; /* the path, or the name without '@' */
		} local;
		struct {
			uint32_t cid;  /* SFRONT_CID_ANY: any */
			uint32_t port; /* 0: a free one */
		} vsock;
		struct {
			enum sfront_sd_listen which;
			char name[SFRONT_NAME_SIZE]; /* for SFRONT_SD_LISTEN_NAMED */
		} sd_listen;
		struct {
			int number;
		} fd;
	} u;
};

/* A socket address with its length.  @len 0: unknown. */
struct sfront_sockaddr {
	socklen_t len;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} sa;
};

/*
 * Parses one address.  Pure: no look-up, no system call.
 *
 * @text:        the address; bytes need not be UTF-8
 * @ret_address: filled on success, untouched on failure
 *
 * Returns 0, -EINVAL, or -ENAMETOOLONG for a path, name or host that is too
 * long; @err names the culprit and what would be right.
 */
int sfront_address_parse(const char *text, struct sfront_address *ret_address,
			 struct sfront_error *err);

/*
 * What @text, an address as other programs write it, is here: of a URL or of an
 * address with its kind in front, such as "tcp://127.0.0.1:80", "unix:/run/x" or
 * "TCP-LISTEN:80,fork".  sfront_address_parse() refuses these, and has the
 * suggestion in its message.
 *
 * @buf: at least SFRONT_ADDRESS_TEXT_SIZE bytes to be sure; cut off at @size,
 *       NUL-terminated if there is a suggestion and @size is not 0
 *
 * Returns the length of the whole text, which is an address, or 0: nothing can
 * be suggested.
 */
size_t sfront_address_suggest(const char *text, char *buf, size_t size);

/*
 * Writes the canonical text of @address: IP literals in their shortest form,
 * ports without leading zeros, "*" for every address, words in lower case.
 * Parsing it gives an equal address.
 *
 * @buf: at least SFRONT_ADDRESS_TEXT_SIZE bytes to be sure; cut off at @size,
 *       always NUL-terminated if @size is not 0
 *
 * Returns the length of the whole text, as snprintf does.
 */
size_t sfront_address_format(const struct sfront_address *address, char *buf, size_t size);

/* Whether both stand for the same text in canonical form. */
bool sfront_address_equal(const struct sfront_address *a, const struct sfront_address *b);

/*
 * Looks up what the address names in this machine's own databases: a service
 * name.  Opens no socket, resolves no host.
 *
 * Returns 0, or -ENOENT with @err naming the unknown service.
 */
int sfront_address_check(const struct sfront_address *address, struct sfront_error *err);

/*
 * The port of a TCP address, its service looked up if it goes by a name.
 *
 * Returns 0, -ENOENT with @err naming the unknown service, or -EINVAL: not a TCP
 * address.
 */
int sfront_address_port(const struct sfront_address *address, uint16_t *ret,
			struct sfront_error *err);

/*
 * Whether a TCP address needs no resolver: an IP literal or every address.
 */
bool sfront_address_is_literal(const struct sfront_address *address);

/*
 * Resolves a TCP address into socket addresses, in the resolver's order and
 * without repetitions.  A literal is converted at once; a name goes through
 * getaddrinfo() and may block for as long as the resolver takes.
 *
 * @ret: filled with at most @max addresses; "every address" gives [::] alone
 *
 * Returns how many there are (at least 1), or
 *   -EAGAIN   the resolver failed at the moment (EAI_AGAIN): try again
 *   -ENOENT   no such host or service
 *   -ENODEV   no such interface (the scope)
 *   -EINVAL   not a TCP address
 *   other -errno of the resolver
 */
int sfront_address_resolve(const struct sfront_address *address, struct sfront_sockaddr *ret,
			   size_t max, struct sfront_error *err);

/*
 * Writes a socket address as text: "127.0.0.1:80", "[::1]:80", "/path",
 * "@name" (a NUL inside is shown as '@'), "vsock:CID:PORT", "unix" for a socket without a
 * name.  An IPv4 address inside IPv6 is shown as IPv4.
 *
 * Returns the length of the whole text, as snprintf does.
 */
size_t sfront_sockaddr_format(const struct sfront_sockaddr *addr, char *buf, size_t size);

/* Whether both are the same address (IPv4 inside IPv6 counts as IPv4), port included. */
bool sfront_sockaddr_equal(const struct sfront_sockaddr *a, const struct sfront_sockaddr *b);

#ifdef __cplusplus
}
#endif
#endif
