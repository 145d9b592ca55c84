/* SPDX-License-Identifier: MIT */
/*
 * Whether a client may connect: rules of conf/source.h against what is known of it.
 * Pure but for what a rule has to ask of the kernel, which is asked once, and only where
 * a rule wants it.
 */
#ifndef DAEMON_PROXY_ACCESS_H
#define DAEMON_PROXY_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <sockfront/address.h>
#include <sockfront/listener.h>

#include "conf/source.h"

/* A client, as the rules see it. */
struct access_client {
	struct sfront_sockaddr peer; /* of the accepted socket, by the kernel; len 0: pipes */
	int fd;                      /* the accepted socket, for its groups; -1: none */
	bool has_uid;                /* it came over a UNIX socket, and these are its peer's */
	uid_t uid;
	gid_t gid;
	const struct sfront_sockaddr *claimed; /* by a header that is trusted; NULL: none */
};

/* What the kernel says of an accepted connection; its descriptor is borrowed. */
struct access_client access_client_of(const struct sfront_connection *connection);

/*
 * The first rule that matches; NULL: none does.  @claimed decides prefixes, and nothing
 * else: what only the kernel can say is not believed of a header.  Where there is no
 * memory to find out, a rule that lets in does not match, and one that keeps out does.
 */
const struct source_rule *source_list_find(const struct source_list *list,
					   const struct access_client *client);

/*
 * Whether it may connect: the first rule that matches decides; without one, everybody may
 * unless some rule lets somebody in.
 *
 * @ret_rule: the rule that decided, or NULL
 */
bool access_is_granted(const struct source_list *rules, const struct access_client *client,
		       const struct source_rule **ret_rule);

/* Why one was refused, for the log: @rule decided, or, where that is NULL, none did. */
void access_format_reason(const struct source_rule *rule, char *buf, size_t size);

#endif
