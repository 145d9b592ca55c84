/* SPDX-License-Identifier: MIT */
/*
 * The PROXY protocol, versions 1 and 2: what a proxy writes in front of a
 * client's bytes so that the server learns who the client is.
 *
 * Everything here but sfront_proxy_read() is pure: no system call, no
 * allocation, any thread.
 *
 * Whoever may send a header may claim to be anybody.  So a program expects one
 * from sources that it trusts, and from these always: whether a header is there
 * must never be guessed from the bytes.  There are two ways to say so:
 *
 * - All clients of a listener are trusted proxies: set the option
 *   accept-proxy-protocol (sockfront/options.h).  Each connection then has
 *   header_due set, and is for sfront_proxy_read().
 * - The program knows by itself whom it trusts: it leaves the option alone, looks
 *   at the peer of each connection, and calls sfront_proxy_read() or not.
 *
 * Sections of this file:
 *
 *	Reading a header   struct sfront_proxy_header, parse
 *	TLVs               next_tlv, find_tlv, tlv_credentials, tlv_vsock
 *	Writing a header   format_v1; begin_v2, add, add_credentials, add_vsock,
 *	                   finish
 *	Connections        struct sfront_proxy_reader, read
 */
#ifndef SOCKFRONT_PROXY_PROTOCOL_H
#define SOCKFRONT_PROXY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sockfront/address.h>
#include <sockfront/error.h>
#include <sockfront/listener.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Reading a header --- */

/* The most bytes that a header has; in version 1, CR and LF included; in 2, without TLVs. */
#define SFRONT_PROXY_HEADER_MAX 16384
#define SFRONT_PROXY_V1_MAX     107
#define SFRONT_PROXY_V2_MAX     232

struct sfront_proxy_header {
	int version; /* 1 or 2 */

	/*
	 * The proxy speaks for itself, to see whether the server is well: there
	 * is no client.
	 */
	bool is_local;

	/*
	 * Who the client is, and which address it connected to: TCP, or, in
	 * version 2, a UNIX socket.  len 0 in both: the header does not tell
	 * (LOCAL, UNKNOWN, AF_UNSPEC), and the connection's own addresses count.
	 */
	struct sfront_sockaddr source;
	struct sfront_sockaddr destination;

	/* For sfront_proxy_next_tlv().  Borrowed from the bytes that were parsed. */
	const unsigned char *tlvs;
	size_t tlvs_size;
};

/*
 * Parses the header at the beginning of @data.
 *
 * @data, @len: what has arrived; bytes after the header are not looked at
 * @ret_header: filled on success; its TLVs point into @data
 * @ret_more:   filled with -EAGAIN alone: the header has at least so many bytes
 *              more.  Exactly so many may be read without touching what follows
 *
 * Streams and datagrams are not told apart.  What a LOCAL header has after its
 * 16 bytes is skipped, and so is what stands for addresses in one of AF_UNSPEC.
 * Everything else has to be as the protocol says, the CRC32c included where
 * there is one.
 *
 * Returns how many bytes the header has, or
 *   -EAGAIN    they are the beginning of a header: *ret_more
 *   -EPROTO    they are not
 *   -EMSGSIZE  the header is longer than SFRONT_PROXY_HEADER_MAX
 * the latter two with @err saying what is wrong, and what came instead.  That is
 * known with the first wrong byte, except in the fields of a line and in TLVs,
 * which are looked at when the header is whole.
 */
int sfront_proxy_parse(const void *data, size_t len, struct sfront_proxy_header *ret_header,
		       size_t *ret_more, struct sfront_error *err);

/* --- TLVs: what else a header of version 2 tells --- */

enum sfront_proxy_tlv_type {
	SFRONT_PROXY_TLV_ALPN = 0x01,
	SFRONT_PROXY_TLV_AUTHORITY = 0x02, /* the host that the client asked for */
	SFRONT_PROXY_TLV_CRC32C = 0x03,    /* checked by parsing, made by finishing */
	SFRONT_PROXY_TLV_NOOP = 0x04,      /* padding */
	SFRONT_PROXY_TLV_UNIQUE_ID = 0x05, /* of the connection; any bytes, 128 at most */
	SFRONT_PROXY_TLV_SSL = 0x20,
	SFRONT_PROXY_TLV_NETNS = 0x30,
	/* 0xE0 to 0xEF are the application's.  These are sockfront's: */
	SFRONT_PROXY_TLV_CREDENTIALS = 0xe0, /* of a UNIX client */
	SFRONT_PROXY_TLV_VSOCK = 0xe1        /* addresses of a vsock client */
};

#define SFRONT_PROXY_UNIQUE_ID_MAX 128

struct sfront_proxy_tlv {
	uint8_t type;
	size_t size;
	const unsigned char *value; /* borrowed from the bytes that were parsed */
};

/*
 * Goes on to the next TLV, in the order of the header.
 *
 *	struct sfront_proxy_tlv tlv = { 0 };
 *
 *	while (sfront_proxy_next_tlv(&header, &tlv))
 *		...
 *
 * @tlv: all zero: the first one is next
 *
 * Returns whether there is one.
 */
bool sfront_proxy_next_tlv(const struct sfront_proxy_header *header, struct sfront_proxy_tlv *tlv);

/* The first TLV of that type.  Returns whether there is one; else @ret is untouched. */
bool sfront_proxy_find_tlv(const struct sfront_proxy_header *header, uint8_t type,
			   struct sfront_proxy_tlv *ret);

/* What sockfront says of a vsock client, which has no address in the protocol's own words. */
struct sfront_proxy_vsock {
	uint32_t cid;
	uint32_t port;
	uint32_t own_cid; /* of the socket that it connected to */
	uint32_t own_port;
};

/*
 * Reads the value of a TLV of one of sockfront's own types.  Returns 0, or -EINVAL
 * where it has another type or size.
 *
 * They are the sender's words.  A program that lets them decide trusts it to
 * check them, and to let none through from those that it does not trust itself.
 */
int sfront_proxy_tlv_credentials(const struct sfront_proxy_tlv *tlv,
				 struct sfront_credentials *ret);
int sfront_proxy_tlv_vsock(const struct sfront_proxy_tlv *tlv, struct sfront_proxy_vsock *ret);

/* --- Writing a header: it is sent as a whole, before the client's first byte --- */

/*
 * Writes a header of version 1.
 *
 * @source:      who the client is.  NULL, len 0, or anything but TCP: UNKNOWN
 * @destination: which address it connected to; the same
 * @buf, @size:  SFRONT_PROXY_V1_MAX bytes are enough; no NUL is added
 *
 * Addresses of IPv4 and IPv6 together are written as IPv6, IPv4 addresses inside
 * IPv6 as IPv4.
 *
 * Returns how many bytes it has, or -ENOBUFS if @size is too small.
 */
int sfront_proxy_format_v1(const struct sfront_sockaddr *source,
			   const struct sfront_sockaddr *destination, void *buf, size_t size);

/* A header of version 2 in the making.  Begins as { .buf, .size }. */
struct sfront_proxy_writer {
	void *buf;   /* the caller's */
	size_t size; /* of buf; SFRONT_PROXY_HEADER_MAX is enough for every header */
	size_t len;  /* the library's own: bytes written so far */
	size_t crc;  /* the library's own: where the checksum goes */
};

/*
 * Begins a header of version 2, and may be called again to begin another.
 *
 * @source:      who the client is: TCP or a UNIX socket.  Anything else, or len 0:
 *               AF_UNSPEC.  NULL: LOCAL, the connection is for nobody but the
 *               caller itself
 * @destination: which address it connected to; of the same kind, or AF_UNSPEC
 *
 * Returns 0, or -ENOBUFS; SFRONT_PROXY_V2_MAX bytes are enough for this.
 */
int sfront_proxy_begin_v2(struct sfront_proxy_writer *writer, const struct sfront_sockaddr *source,
			  const struct sfront_sockaddr *destination);

/*
 * Adds a TLV.
 *
 * @value, @len: copied.  For SFRONT_PROXY_TLV_CRC32C neither is looked at: finishing
 *               makes the checksum, and one that was asked for already is enough
 *
 * So the TLVs of a header that was parsed are passed on by adding each as it is,
 * but for NOOP and for what the program says itself.
 *
 * Returns 0, or
 *   -ENOBUFS  it does not fit in writer->size or in SFRONT_PROXY_HEADER_MAX.  The
 *             header is as it was: it can be finished without
 *   -EINVAL   a unique id that is too long, or no header was begun
 */
int sfront_proxy_add(struct sfront_proxy_writer *writer, uint8_t type, const void *value,
		     size_t len);

/* The same, with a TLV of one of sockfront's own types. */
int sfront_proxy_add_credentials(struct sfront_proxy_writer *writer,
				 const struct sfront_credentials *credentials);
int sfront_proxy_add_vsock(struct sfront_proxy_writer *writer,
			   const struct sfront_proxy_vsock *vsock);

/*
 * Writes what depends on the whole of the header.  It is not one before.
 *
 * Returns how many bytes of writer->buf are to be sent, or -EINVAL if no header
 * was begun.
 */
int sfront_proxy_finish(struct sfront_proxy_writer *writer);

/* --- Connections --- */

/* How far the header of one connection has been read.  Begins as { .buf, .size }. */
struct sfront_proxy_reader {
	void *buf;   /* the caller's */
	size_t size; /* of buf; SFRONT_PROXY_HEADER_MAX is enough for every header */
	size_t len;  /* bytes of the header that are in buf; on success, its length */
	size_t need; /* bytes that it has at least: with -EAGAIN and -ENOBUFS */

	/*
	 * Called instead of recv() for what takes bytes off a socket, by a program
	 * that receives what comes with them: descriptors that a UNIX client
	 * passes.  NULL: recv()
	 */
	ssize_t (*receive)(int fd, void *data, size_t size);
};

/*
 * Takes the header off a connection, and not one byte more.  Never blocks.
 *
 * @connection: on success, peer is who the header says the client is, unless it
 *              says nothing of that; is_proxied tells.  header_due is cleared
 * @reader:     the same in each call for one connection.  Between calls, buf may
 *              be exchanged for another that holds the same len bytes
 * @ret_header: filled on success; its TLVs point into reader->buf
 *
 * A header that is there as a whole takes one peek and one read of a socket.  Of
 * one that is not, what is there is taken, so that the descriptor is readable
 * again only when there is more: it may be watched level- or edge-triggered.
 * With -EAGAIN and reader->len 0, nothing has to be kept, and the same buffer can
 * be used for other connections.  Pipes, terminals and files are read exactly, a
 * few bytes at a time.
 *
 * How long a client may take is for the caller to say; a few seconds are usual.
 *
 * Returns 0, or
 *   -EAGAIN    the header is not there yet, or not all of it: poll read_fd for
 *              reading, then call again
 *   -ENOBUFS   reader->size is too small: give a buffer of reader->need bytes with
 *              what is in this one, and call again; or give up
 *   -ENODATA   the client ended before its header did
 *   -EPROTO, -EMSGSIZE  as sfront_proxy_parse()
 *   other -errno of recv() or read()
 * with @err filled, -EAGAIN aside.  After -ENODATA, -EPROTO and what follows, there
 * is nothing to do but to close the connection: best with a reset, so that the
 * other side notices.
 */
int sfront_proxy_read(struct sfront_connection *connection, struct sfront_proxy_reader *reader,
		      struct sfront_proxy_header *ret_header, struct sfront_error *err);

#ifdef __cplusplus
}
#endif
#endif
