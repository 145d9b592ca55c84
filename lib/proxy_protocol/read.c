/* SPDX-License-Identifier: MIT */
/*
 * Takes a PROXY protocol header off a connection, and leaves what follows to
 * whoever reads next: the one file of the PROXY protocol that makes system calls.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/proxy_protocol/codec.h"

static ssize_t result(ssize_t n)
{
	return n < 0 ? -errno : n;
}

static ssize_t receive(const struct sfront_connection *connection,
		       const struct sfront_proxy_reader *reader, void *at, size_t size)
{
	return reader->receive ? reader->receive(connection->read_fd, at, size)
			       : recv(connection->read_fd, at, size, MSG_DONTWAIT);
}

/* Exactly the bytes that are known to belong to the header. */
static ssize_t take_exactly(const struct sfront_connection *connection,
			    const struct sfront_proxy_reader *reader, size_t more)
{
	return result(read(connection->read_fd, (char *)reader->buf + reader->len, more));
}

/*
 * Whatever of the header is there.  A socket is looked at first: where the header
 * ends is known only then.  If it does not end in what is there, all of that
 * belongs to it.
 */
static ssize_t take_from_socket(const struct sfront_connection *connection,
				const struct sfront_proxy_reader *reader, size_t more,
				struct sfront_error *err)
{
	struct sfront_proxy_header header;
	char *at = (char *)reader->buf + reader->len;
	ssize_t n;
	int r;

	n = result(
		recv(connection->read_fd, at, reader->size - reader->len, MSG_PEEK | MSG_DONTWAIT));
	/* vsock on Hyper-V */
	if (n == -EOPNOTSUPP)
		return take_exactly(connection, reader, more);
	if (n <= 0)
		return n;

	r = sfront_proxy_parse(reader->buf, reader->len + (size_t)n, &header, &more, err);
	if (r < 0 && r != -EAGAIN)
		return r;
	if (r > 0)
		n = r - (ssize_t)reader->len;
	return result(receive(connection, reader, at, (size_t)n));
}

static ssize_t take(const struct sfront_connection *connection,
		    const struct sfront_proxy_reader *reader, size_t more, struct sfront_error *err)
{
	switch (connection->read_stream) {
	case SFRONT_STREAM_TCP:
	case SFRONT_STREAM_UNIX:
	case SFRONT_STREAM_VSOCK:
		return take_from_socket(connection, reader, more, err);
	case SFRONT_STREAM_PIPE:
	case SFRONT_STREAM_TERMINAL:
	case SFRONT_STREAM_FILE:
	default:
		return take_exactly(connection, reader, more);
	}
}

/* Explains what take() returned, as far as parsing has not. */
static int refuse(const struct sfront_proxy_reader *reader, ssize_t r, struct sfront_error *err)
{
	if (r == -EAGAIN || r == -EPROTO || r == -EMSGSIZE)
		return (int)r;
	if (r == 0 && reader->len == 0)
		return sfront_fail(err, -ENODATA,
				   "the client ended without a PROXY protocol header");
	if (r == 0)
		return sfront_fail(err, -ENODATA,
				   "the client ended in its PROXY protocol header, after %zu of at "
				   "least %zu bytes",
				   reader->len, reader->need);
	return sfront_fail(err, (int)r, "a PROXY protocol header cannot be read: %s",
			   strerror((int)-r));
}

static void tell_peer(struct sfront_connection *connection,
		      const struct sfront_proxy_header *header)
{
	connection->header_due = false;
	connection->is_proxied = header->source.len > 0;
	if (connection->is_proxied)
		connection->peer = header->source;
}

int sfront_proxy_read(struct sfront_connection *connection, struct sfront_proxy_reader *reader,
		      struct sfront_proxy_header *ret_header, struct sfront_error *err)
{
	size_t more = 0;
	ssize_t n;
	int r;

	while ((r = sfront_proxy_parse(reader->buf, reader->len, ret_header, &more, err)) ==
	       -EAGAIN) {
		reader->need = reader->len + more;
		if (reader->need > reader->size)
			return sfront_fail(err, -ENOBUFS,
					   "a PROXY protocol header has at least %zu bytes; there "
					   "is room for %zu",
					   reader->need, reader->size);
		n = take(connection, reader, more, err);
		if (n > 0)
			reader->len += (size_t)n;
		else if (n != -EINTR)
			return refuse(reader, n, err);
	}
	if (r < 0)
		return r;
	tell_peer(connection, ret_header);
	return 0;
}
