/* SPDX-License-Identifier: MIT */
/*
 * Where a service is, as its SRV records say: RFC 2782.
 */
#ifndef DAEMON_BACKEND_SRV_H
#define DAEMON_BACKEND_SRV_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SRV_HOST_SIZE 256

struct srv_target {
	char host[SRV_HOST_SIZE]; /* without a dot at its end */
	uint16_t port;            /* host byte order */
	uint16_t priority;        /* the lowest comes first */
	unsigned int weight;      /* 1 to 256, in the proportions of the records */
};

/* Shared: see srv_answer_unref(). */
struct srv_answer {
	atomic_uint refs;
	uint64_t ttl_ms;             /* the shortest one */
	size_t n;                    /* at least 1 */
	struct srv_target targets[]; /* by priority, then by name and port */
};

/*
 * Asks the system's name servers.  Blocks as long as they take.
 *
 * Returns 0, or
 *   -ENOENT   there is no such service
 *   -EAGAIN   nobody knows at the moment
 *   -ENOMEM
 */
int srv_look_up(const char *name, struct srv_answer **ret);

/* The same of a name server's answer.  What is no SRV record is passed over. */
int srv_parse(const unsigned char *packet, int size, struct srv_answer **ret);

struct srv_answer *srv_answer_ref(struct srv_answer *answer);

/* NULL is allowed. */
void srv_answer_unref(struct srv_answer *answer);

#endif
