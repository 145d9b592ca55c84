/* SPDX-License-Identifier: MIT */
/*
 * SOURCE: who a client is, as rules of access and trust name it.  Text becomes plain data
 * here; proxy/access.c compares clients with it.
 */
#ifndef CONF_SOURCE_H
#define CONF_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sockfront/error.h>

#include "conf/place.h"

/* What the kernel calls a user of another namespace: it is everybody's and nobody's. */
#define SOURCE_OVERFLOW_ID 65534

enum source_kind {
	SOURCE_ANY,
	SOURCE_PREFIX,   /* .prefix: whoever has such an address, also by a PROXY header */
	SOURCE_LOOPBACK, /* the kernel says that the client is on this machine, over TCP */
	SOURCE_UNIX,     /* a client of a UNIX socket */
	SOURCE_UID,      /* .id: a client of a UNIX socket that runs as that user */
	SOURCE_GID,      /* .id: ... or has that group, its supplementary ones included */
	SOURCE_VSOCK,    /* a client over vsock */
	SOURCE_CID       /* .id: ... from that context */
};

struct source {
	enum source_kind kind;
	uint32_t id;
	struct {
		bool is_ipv6;
		unsigned char bytes[16]; /* of IPv4 the first four; those past the prefix are 0 */
		unsigned int bits;
	} prefix;
};

/* What is done with a client that matches. */
struct source_rule {
	struct source source;
	bool allows;
};

/* In the order in which they were written; the first that matches decides. */
struct source_list {
	struct source_rule *rules; /* owned array */
	size_t n;
	struct source_index *index; /* owned, see source_index.h; NULL: there is none */
	bool allows_some;           /* there is a rule that lets in */
	atomic_uint *sharers; /* how many lists have the rules and the index; NULL: this one */
};

/*
 * Reads one word, but file:PATH, which is many.  Returns 0, or a negative errno with @err
 * saying what is taken.
 */
int source_parse(const char *word, struct source *ret, struct sfront_error *err);

/* "10.0.0.0/8", "uid:33"; @size: 64 is enough for each. */
void source_format(const struct source *source, char *buf, size_t size);

/*
 * Adds the words of @text, separated by blanks; each file:PATH adds those of a file, one a
 * line, where "#" begins a comment.
 *
 * Returns 0, or a negative errno with @err saying which word, or which line of which
 * file, is wrong, and what is taken.
 */
int source_list_add(struct source_list *list, const char *text, bool allows,
		    struct sfront_error *err);

/*
 * Makes a second list of the same rules, to which none is added any more.  Returns 0 or
 * -ENOMEM.
 */
int source_list_share(struct source_list *list, struct source_list *ret);

/* Frees what no other list shares. */
void source_list_clear(struct source_list *list);

#endif
