/* SPDX-License-Identifier: MIT */
/*
 * SRV records, by glibc's resolver: see srv.h.
 */
#include "daemon/backend/srv.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "conf/server.h"

/* Priority, weight and port, in front of the name. */
#define FIXED_SIZE 6

/* What a message may have at most. */
#define PACKET_SIZE 65536

struct srv_answer *srv_answer_ref(struct srv_answer *answer)
{
	atomic_fetch_add(&answer->refs, 1);
	return answer;
}

void srv_answer_unref(struct srv_answer *answer)
{
	if (answer && atomic_fetch_sub(&answer->refs, 1) == 1)
		free(answer);
}

/* False: it is no target; "." says that there is no such service. */
static bool read_record(ns_msg *message, const ns_rr *record, struct srv_target *ret)
{
	const unsigned char *data = ns_rr_rdata(*record);

	if (ns_rr_type(*record) != ns_t_srv || ns_rr_class(*record) != ns_c_in ||
	    ns_rr_rdlen(*record) <= FIXED_SIZE)
		return false;
	*ret = (struct srv_target){
		.priority = (uint16_t)ns_get16(data),
		.weight = ns_get16(data + 2),
		.port = (uint16_t)ns_get16(data + 4),
	};
	if (dn_expand(ns_msg_base(*message), ns_msg_end(*message), data + FIXED_SIZE, ret->host,
		      sizeof(ret->host)) < 0)
		return false;
	return *ret->host && strcmp(ret->host, ".") != 0 && ret->port != 0;
}

static int compare(const void *a, const void *b)
{
	const struct srv_target *one = a, *other = b;

	if (one->priority != other->priority)
		return one->priority < other->priority ? -1 : 1;
	if (one->port != other->port)
		return one->port < other->port ? -1 : 1;
	return strcasecmp(one->host, other->host);
}

/* They are 16 bits wide there; a weight of 0 is a small one. */
static void scale_weights(struct srv_answer *answer)
{
	unsigned int most = SERVER_WEIGHT_MAX;

	for (size_t i = 0; i < answer->n; i++)
		if (answer->targets[i].weight > most)
			most = answer->targets[i].weight;
	for (size_t i = 0; i < answer->n; i++) {
		unsigned int *weight = &answer->targets[i].weight;

		*weight = *weight * SERVER_WEIGHT_MAX / most;
		if (*weight == 0)
			*weight = 1;
	}
}

static struct srv_answer *answer_new(size_t n)
{
	struct srv_answer *answer = malloc(sizeof(*answer) + n * sizeof(*answer->targets));

	if (!answer)
		return NULL;
	atomic_init(&answer->refs, 1);
	answer->n = 0;
	answer->ttl_ms = UINT64_MAX;
	return answer;
}

/* Returns 0, or -EBADMSG where the answer is broken. */
static int read_records(ns_msg *message, struct srv_answer *answer)
{
	int n = ns_msg_count(*message, ns_s_an);

	for (int i = 0; i < n; i++) {
		ns_rr record;

		if (ns_parserr(message, ns_s_an, i, &record) < 0)
			return -EBADMSG;
		if (!read_record(message, &record, &answer->targets[answer->n]))
			continue;
		answer->n++;
		if (answer->ttl_ms > UINT64_C(1000) * ns_rr_ttl(record))
			answer->ttl_ms = UINT64_C(1000) * ns_rr_ttl(record);
	}
	return 0;
}

int srv_parse(const unsigned char *packet, int size, struct srv_answer **ret)
{
	struct srv_answer *answer;
	ns_msg message;
	int r = -EAGAIN;

	if (ns_initparse(packet, size, &message) < 0)
		return -EAGAIN;
	answer = answer_new(ns_msg_count(message, ns_s_an));
	if (!answer)
		return -ENOMEM;
	if (read_records(&message, answer) == 0)
		r = answer->n > 0 ? 0 : -ENOENT;
	if (r < 0) {
		srv_answer_unref(answer);
		return r;
	}
	scale_weights(answer);
	qsort(answer->targets, answer->n, sizeof(*answer->targets), compare);
	*ret = answer;
	return 0;
}

/* @size: that of the answer, or -1 */
static int result_of(int error, const unsigned char *packet, int size, struct srv_answer **ret)
{
	if (size >= 0)
		return srv_parse(packet, size < PACKET_SIZE ? size : PACKET_SIZE, ret);
	return error == HOST_NOT_FOUND || error == NO_DATA ? -ENOENT : -EAGAIN;
}

int srv_look_up(const char *name, struct srv_answer **ret)
{
	unsigned char *packet = malloc(PACKET_SIZE);
	struct __res_state state = { 0 };
	int size, r;

	if (!packet)
		return -ENOMEM;
	if (res_ninit(&state) < 0) {
		free(packet);
		return -EAGAIN;
	}
	size = res_nquery(&state, name, ns_c_in, ns_t_srv, packet, PACKET_SIZE);
	r = result_of(state.res_h_errno, packet, size, ret);
	res_nclose(&state);
	free(packet);
	return r;
}
