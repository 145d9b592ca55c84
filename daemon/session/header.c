/* SPDX-License-Identifier: MIT */
/*
 * Headers of the PROXY protocol, in and out: see header.h.  Between the library's codec and
 * session.c.  Both are made in the worker's copy buffer, so that whatever is read can be kept.
 */
#include "daemon/session/header.h"

#include <sys/socket.h> /* before <linux/vm_sockets.h>, which needs it in older versions */

#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <string.h>

#include <sockfront/proxy_protocol.h>

#include "daemon/base/log.h"
#include "daemon/proxy/proxy.h"
#include "daemon/relay/passed_fds.h"
#include "daemon/session/access_log.h"
#include "daemon/session/admission.h"
#include "daemon/session/connection_id.h"
#include "daemon/session/host.h"
#include "daemon/session/refusal.h"
#include "daemon/session/source_count.h"
#include "daemon/session/state.h"
#include "daemon/session/story.h"

/* The copy buffer has room for the header that is read, and behind it for one that is written. */
#define AT_WRITTEN SFRONT_PROXY_HEADER_MAX
_Static_assert(2 * SFRONT_PROXY_HEADER_MAX <= COPY_SIZE, "two headers fit in the copy buffer");

/* What is said to the backend. */
struct introduction {
	struct sfront_sockaddr source, destination;
	bool is_local; /* there is no client */
	struct connection_id id;
	const struct sfront_proxy_header *header; /* that has told it; NULL: the kernel did */
	bool trusts_tlvs;
};

static struct connection_id id_of(const struct session *session)
{
	return session->note ? connection_id_of(access_note_id(session->note))
			     : connection_id_next();
}

/* ---- written ---- */

static bool is_family(const struct sfront_sockaddr *addr, int family)
{
	return addr->len > 0 && addr->sa.any.sa_family == family;
}

static int add_vsock(struct sfront_proxy_writer *writer, const struct introduction *introduction)
{
	struct sockaddr_vm client, own;

	memcpy(&client, &introduction->source.sa, sizeof(client));
	memcpy(&own, &introduction->destination.sa, sizeof(own));
	return sfront_proxy_add_vsock(writer, &(struct sfront_proxy_vsock){
						      .cid = client.svm_cid,
						      .port = client.svm_port,
						      .own_cid = own.svm_cid,
						      .own_port = own.svm_port,
					      });
}

/* What the protocol has no address for, by the word of the kernel. */
static void add_own(const struct session *session, const struct introduction *introduction,
		    struct sfront_proxy_writer *writer)
{
	struct sfront_connection connection = { .read_fd = session->client.read_fd,
						.read_stream = session->client.read_stream };
	struct sfront_credentials credentials;

	/* There is room for these: see SFRONT_PROXY_V2_MAX. */
	if (is_family(&introduction->source, AF_VSOCK) &&
	    is_family(&introduction->destination, AF_VSOCK))
		(void)add_vsock(writer, introduction);
	else if (sfront_connection_credentials(&connection, &credentials) == 0)
		(void)sfront_proxy_add_credentials(writer, &credentials);
}

static bool is_passed_on(const struct introduction *introduction,
			 const struct sfront_proxy_tlv *tlv)
{
	switch (tlv->type) {
	case SFRONT_PROXY_TLV_NOOP:
		return false;
	case SFRONT_PROXY_TLV_UNIQUE_ID:
		return tlv->size > 0;
	case SFRONT_PROXY_TLV_CREDENTIALS:
	case SFRONT_PROXY_TLV_VSOCK:
		return introduction->trusts_tlvs;
	default:
		return true;
	}
}

static void say_dropped(const struct session *session, unsigned int n)
{
	static struct log_limit limit;
	unsigned int held_back;

	if (log_limit_passes(&limit, &held_back))
		log_line(LOG_NOTICE,
			 "%s: %u TLV(s) of a PROXY protocol header were dropped from its end: with "
			 "them it would be longer than %d bytes%s",
			 proxy_socket_at(session->proxy, session->socket)->text, n,
			 SFRONT_PROXY_HEADER_MAX,
			 held_back > 0 ? "; similar messages were held back" : "");
}

/* In their order; from the first one on that does not fit, none is. */
static void pass_on(const struct session *session, const struct introduction *introduction,
		    struct sfront_proxy_writer *writer)
{
	struct sfront_proxy_tlv tlv = { 0 };
	unsigned int n_dropped = 0;

	while (sfront_proxy_next_tlv(introduction->header, &tlv)) {
		if (!is_passed_on(introduction, &tlv))
			continue;
		if (n_dropped > 0 || sfront_proxy_add(writer, tlv.type, tlv.value, tlv.size) < 0)
			n_dropped++;
	}
	if (n_dropped > 0)
		say_dropped(session, n_dropped);
}

static bool has_id(const struct sfront_proxy_header *header)
{
	struct sfront_proxy_tlv tlv;

	return header && sfront_proxy_find_tlv(header, SFRONT_PROXY_TLV_UNIQUE_ID, &tlv) &&
	       tlv.size > 0;
}

static int write_v2(const struct session *session, const struct introduction *introduction,
		    void *buf)
{
	struct sfront_proxy_writer writer = { .buf = buf, .size = SFRONT_PROXY_HEADER_MAX };

	(void)sfront_proxy_begin_v2(&writer, introduction->is_local ? NULL : &introduction->source,
				    &introduction->destination);
	if (!has_id(introduction->header))
		(void)sfront_proxy_add(&writer, SFRONT_PROXY_TLV_UNIQUE_ID, introduction->id.bytes,
				       introduction->id.size);
	if (introduction->header)
		pass_on(session, introduction, &writer);
	else
		add_own(session, introduction, &writer);
	return sfront_proxy_finish(&writer);
}

/* The copy buffer is there. */
static void keep_for_backend(struct session *session, const struct introduction *introduction)
{
	struct pipe_pool *pool = &session->host->pipes;
	unsigned char *at = pipe_pool_buffer(pool) + AT_WRITTEN;
	int size;

	if (session->proxy->config.send_proxy_protocol == 1)
		size = sfront_proxy_format_v1(&introduction->source, &introduction->destination, at,
					      SFRONT_PROXY_V1_MAX);
	else
		size = write_v2(session, introduction, at);
	session->client.pending = pending_keep(pool, AT_WRITTEN, (size_t)size);
	session->client.pending->own = (size_t)size;
}

bool header_prepare(struct session *session)
{
	struct introduction introduction = { .destination.len =
						     sizeof(introduction.destination.sa) };
	int fd = session->client.read_fd;

	if (session->proxy->config.send_proxy_protocol == 0 || session->client.pending)
		return true;
	if (!pipe_pool_buffer(&session->host->pipes))
		return false;
	introduction.source = endpoint_connection(&session->client).peer;
	if (getsockname(fd, &introduction.destination.sa.any, &introduction.destination.len) < 0)
		introduction.destination.len = 0;
	introduction.id = id_of(session);
	keep_for_backend(session, &introduction);
	return true;
}

/* ---- read ---- */

/* A reason stands between quotes itself. */
static enum header_result refuse(const char *what, struct refusal *refusal)
{
	char *reason = refusal->reason;

	refusal->end = END_REFUSED_HEADER;
	snprintf(reason, sizeof(refusal->reason), "owed a PROXY protocol header: %.600s", what);
	for (char *at = reason; (at = strchr(at, '"'));)
		*at = '\'';
	return HEADER_REFUSED;
}

/* From now on the session's client is who the header says. */
static void note_client(struct session *session, const struct sfront_connection *client,
			const struct sfront_proxy_header *header, struct connection_id *ret_id)
{
	struct sfront_proxy_tlv tlv;

	*ret_id = id_of(session);
	if (has_id(header)) {
		(void)sfront_proxy_find_tlv(header, SFRONT_PROXY_TLV_UNIQUE_ID, &tlv);
		ret_id->size = tlv.size;
		memcpy(ret_id->bytes, tlv.value, tlv.size);
	}
	story_header(session, client, ret_id);
	if (client->is_proxied) {
		access_note_change(&session->note, client, ret_id);
	} else {
		struct sfront_connection own = endpoint_connection(&session->client);

		access_note_change(&session->note, &own, ret_id);
	}
}

/* Of a header that says nothing of the client, nothing is what the backend is told. */
static void introduce(struct session *session, const struct sfront_proxy_header *header,
		      const struct connection_id *id)
{
	const struct proxy *proxy = session->proxy;

	if (proxy->config.send_proxy_protocol == 0)
		return;
	keep_for_backend(session,
			 &(struct introduction){
				 .source = header->source,
				 .destination = header->destination,
				 .is_local = header->is_local,
				 .id = *id,
				 .header = header,
				 .trusts_tlvs = admission_trusts_tlvs(proxy, &session->client),
			 });
}

/* @client: by the header, if that tells */
static enum header_result header_read(struct session *session,
				      const struct sfront_connection *client,
				      const struct sfront_proxy_header *header,
				      struct refusal *refusal)
{
	const struct sfront_sockaddr *claimed = client->is_proxied ? &client->peer : NULL;
	struct connection_id id;

	note_client(session, client, header, &id);
	admission_tell(session, claimed);
	if (!admission_grant_claimed(session->proxy, &session->client, claimed, refusal))
		return HEADER_REFUSED;
	if (!source_count_begin_claimed(session, header, refusal))
		return HEADER_REFUSED;
	introduce(session, header, &id);
	return HEADER_READ;
}

/* What has come before goes in front of what comes now. */
static void unkeep(struct session *session, struct sfront_proxy_reader *reader)
{
	struct pending *kept = session->client.pending;

	if (!kept)
		return;
	reader->len = kept->length;
	memcpy(reader->buf, kept->data + kept->offset, kept->length);
	pending_drop(&session->host->pipes, kept);
	session->client.pending = NULL;
}

enum header_result header_take(struct session *session, struct refusal *refusal)
{
	struct pipe_pool *pool = &session->host->pipes;
	struct sfront_proxy_reader reader = { .buf = pipe_pool_buffer(pool),
					      .size = SFRONT_PROXY_HEADER_MAX };
	struct sfront_connection client = {
		.read_fd = session->client.read_fd,
		.read_stream = (enum sfront_stream)session->client.read_stream,
	};
	struct sfront_proxy_header header;
	struct sfront_error err;
	int r;

	if (!reader.buf)
		return HEADER_NO_MEMORY;
	if (session->client.fds_may_come)
		reader.receive = passed_fds_recv;
	unkeep(session, &reader);
	r = sfront_proxy_read(&client, &reader, &header, &err);
	if (r == 0)
		return header_read(session, &client, &header, refusal);
	if (r == -EAGAIN || r == -ENOMEM || r == -ENOBUFS) {
		if (reader.len > 0)
			session->client.pending = pending_keep(pool, 0, reader.len);
		return r == -EAGAIN ? HEADER_AWAITED : HEADER_NO_MEMORY;
	}
	return refuse(err.message, refusal);
}

void header_format_missing(const struct session *session, const char *within,
			   struct refusal *refusal)
{
	const struct pending *kept = session->client.pending;
	char what[64];

	if (kept)
		snprintf(what, sizeof(what), "%zu bytes of it came within %s", kept->length,
			 within);
	else
		snprintf(what, sizeof(what), "nothing came within %s", within);
	refuse(what, refusal);
}
