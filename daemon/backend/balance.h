/* SPDX-License-Identifier: MIT */
/*
 * Which server a client gets, among those that may have it: one policy a file, behind one
 * table.  Weights count in each.
 */
#ifndef DAEMON_BACKEND_BALANCE_H
#define DAEMON_BACKEND_BALANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/server.h"

struct server;

/* The servers, and what a policy keeps between two clients. */
struct balancer {
	struct server *servers; /* borrowed array */
	size_t n;
	atomic_uint turn;
	unsigned int n_turns;
	unsigned int weight;   /* of all servers */
	uint16_t *turns;       /* owned: whose turn each is; a server is there as its weight says */
	atomic_ullong *shares; /* owned: what each has had for its weight, in SHARE_UNITs */
	atomic_ullong share;   /* that of the one that was picked last, before it was */
};

/* One connection of a server of weight 1. */
#define SHARE_UNIT (1u << 20)

/* Any thread. */
typedef size_t balance_pick(struct balancer *balancer, const bool *may, uint64_t source);

balance_pick balance_first, balance_round_robin, balance_least_connections, balance_random,
	balance_source;

/* Returns 0 or -ENOMEM. */
int balancer_init(struct balancer *balancer, struct server *servers, size_t n);

void balancer_clear(struct balancer *balancer);

/*
 * Returns the index of the server that @policy picks.
 *
 * @may:    of each server; true for one at least
 * @source: a number that the client has each time it comes; for BALANCE_SOURCE
 */
size_t balance_choose(enum balance policy, struct balancer *balancer, const bool *may,
		      uint64_t source);

/*
 * Whether @a has less to do than @b for its weight, by a whole connection at least: less would
 * always favour light servers, of which one connection is much.
 */
bool balance_is_lighter(const struct server *a, const struct server *b);

/* What the server at @at has had for its weight: of two, the one with less is behind. */
unsigned long long balance_share(struct balancer *balancer, size_t at);

/* It has had one more. */
void balance_note_share(struct balancer *balancer, size_t at);

/* Scrambles: numbers that are alike become ones that are not. */
uint64_t balance_mix(uint64_t number);

#endif
