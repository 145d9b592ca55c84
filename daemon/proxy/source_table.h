/* SPDX-License-Identifier: MIT */
/*
 * How many connections each source has, and how many it may begin: for the limits per source of
 * one proxy.  Bounded: a million sources in a row leave memory flat.  Any thread; made only
 * where such a limit is set.
 */
#ifndef DAEMON_PROXY_SOURCE_TABLE_H
#define DAEMON_PROXY_SOURCE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sockfront/address.h>

#include "conf/rate.h"

/* What counts as one source. */
struct source_key {
	uint8_t kind; /* enum source_key_kind */
	uint8_t bytes[16];
};

enum source_key_kind {
	SOURCE_KEY_NONE, /* nobody to count: pipes and files, and who is not known */
	SOURCE_KEY_IPV4,
	SOURCE_KEY_IPV6,
	SOURCE_KEY_UID, /* of a UNIX client */
	SOURCE_KEY_CID  /* of a vsock client */
};

/*
 * Makes the key of a client whose address tells who it is: over IP or vsock.
 *
 * @addr:     len 0, or of another kind: nobody
 * @v4_bits, @v6_bits: how much of an address is one source
 */
struct source_key source_key_of(const struct sfront_sockaddr *addr, unsigned int v4_bits,
				unsigned int v6_bits);

/* @kind: SOURCE_KEY_UID or SOURCE_KEY_CID */
struct source_key source_key_of_number(enum source_key_kind kind, uint32_t number);

/* "10.0.0.0/24", "uid:33"; @size: 64 is enough. */
void source_key_format(const struct source_key *key, unsigned int v4_bits, unsigned int v6_bits,
		       char *buf, size_t size);

struct source_table;
struct source_entry;

/* How many sources are told apart; further ones share an entry while none can be forgotten. */
#define SOURCES_MAX 65536

/* NULL: out of memory, or no random numbers. */
struct source_table *source_table_new(void);

/* Its entries have been given back.  NULL is allowed. */
void source_table_free(struct source_table *table);

enum source_answer {
	SOURCE_TAKEN,
	SOURCE_TOO_MANY, /* it has as many connections as it may */
	SOURCE_TOO_FAST  /* it has begun as many as it may for now */
};

/*
 * Counts a connection of a source.
 *
 * @max:       at once; 0: any number
 * @rate:      .count 0: any number
 * @ret_entry: for source_table_give(), where it is taken
 */
enum source_answer source_table_take(struct source_table *table, const struct source_key *key,
				     uint64_t max, const struct rate *rate,
				     struct source_entry **ret_entry);

/* The connection has ended. */
void source_table_give(struct source_table *table, struct source_entry *entry);

/* Sources that have an entry; and how often one had to share the common one. */
size_t source_table_count(struct source_table *table);
uint64_t source_table_overflows(struct source_table *table);

#endif
