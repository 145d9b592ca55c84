/* SPDX-License-Identifier: MIT */
/*
 * A hash table of sources with a random key, so that nobody can choose addresses that meet in
 * one place; entries without connections are kept, in the order in which they were left,
 * until somebody else wants their room.
 *
 * It has a lock, since a connection may end on any thread, and a client behind a proxy is
 * known on its worker's thread only; it is held for a few instructions.
 */
#include "daemon/proxy/source_table.h"

#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/base/clock.h"
#include "daemon/proxy/bucket.h"

#define BUCKETS_MIN 256

/* Entries that are asked, from the one left first, whether they can make room. */
#define EVICTIONS 8

struct source_entry {
	struct source_entry *next;     /* of the same place in the table */
	TAILQ_ENTRY(source_entry) age; /* while it has no connection */
	struct source_key key;
	uint32_t connections;
	struct bucket bucket;
};

struct source_table {
	pthread_mutex_t lock;
	uint64_t secret[2];
	struct source_entry **places; /* owned array */
	size_t n_places;              /* a power of two */
	size_t n;
	TAILQ_HEAD(, source_entry) unused; /* the one left first comes first */
	struct source_entry common;        /* of those for whom there is no room */
	uint64_t overflows;
};

/* ---- keys ---- */

static void keep_bits(uint8_t *bytes, size_t size, unsigned int bits)
{
	for (size_t i = 0; i < size; i++) {
		unsigned int kept = bits > i * 8 ? bits - (unsigned int)i * 8 : 0;

		if (kept < 8)
			bytes[i] &= (uint8_t)(0xff00 >> kept);
	}
}

struct source_key source_key_of_number(enum source_key_kind kind, uint32_t number)
{
	struct source_key key = { .kind = (uint8_t)kind };

	memcpy(key.bytes, &number, sizeof(number));
	return key;
}

static struct source_key ip_key(bool is_ipv6, const void *bytes, unsigned int bits)
{
	struct source_key key = { .kind = is_ipv6 ? SOURCE_KEY_IPV6 : SOURCE_KEY_IPV4 };
	size_t size = is_ipv6 ? 16 : 4;

	memcpy(key.bytes, bytes, size);
	keep_bits(key.bytes, size, bits);
	return key;
}

struct source_key source_key_of(const struct sfront_sockaddr *addr, unsigned int v4_bits,
				unsigned int v6_bits)
{
	struct sockaddr_vm vm;

	if (addr->len == 0)
		return (struct source_key){ .kind = SOURCE_KEY_NONE };
	switch (addr->sa.any.sa_family) {
	case AF_INET:
		return ip_key(false, &addr->sa.in.sin_addr, v4_bits);
	case AF_INET6:
		if (IN6_IS_ADDR_V4MAPPED(&addr->sa.in6.sin6_addr))
			return ip_key(false, addr->sa.in6.sin6_addr.s6_addr + 12, v4_bits);
		return ip_key(true, &addr->sa.in6.sin6_addr, v6_bits);
	case AF_VSOCK:
		memcpy(&vm, &addr->sa, sizeof(vm));
		return source_key_of_number(SOURCE_KEY_CID, vm.svm_cid);
	default:
		return (struct source_key){ .kind = SOURCE_KEY_NONE };
	}
}

static void format_ip(const struct source_key *key, unsigned int bits, char *buf, size_t size)
{
	bool is_ipv6 = key->kind == SOURCE_KEY_IPV6;
	char host[INET6_ADDRSTRLEN] = "";

	(void)inet_ntop(is_ipv6 ? AF_INET6 : AF_INET, key->bytes, host, sizeof(host));
	if (bits < (is_ipv6 ? 128U : 32U))
		snprintf(buf, size, "%s/%u", host, bits);
	else
		snprintf(buf, size, "%s", host);
}

void source_key_format(const struct source_key *key, unsigned int v4_bits, unsigned int v6_bits,
		       char *buf, size_t size)
{
	uint32_t number;

	memcpy(&number, key->bytes, sizeof(number));
	switch ((enum source_key_kind)key->kind) {
	case SOURCE_KEY_NONE:
		snprintf(buf, size, "nobody");
		break;
	case SOURCE_KEY_IPV4:
	case SOURCE_KEY_IPV6:
		format_ip(key, key->kind == SOURCE_KEY_IPV6 ? v6_bits : v4_bits, buf, size);
		break;
	case SOURCE_KEY_UID:
		snprintf(buf, size, "uid:%u", number);
		break;
	case SOURCE_KEY_CID:
		snprintf(buf, size, "vsock:%u", number);
		break;
	}
}

/* ---- the hash: SipHash-1-3 of the 17 bytes of a key ---- */

static uint64_t rotate(uint64_t word, unsigned int bits)
{
	return word << bits | word >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static uint64_t hash(const struct source_table *table, const struct source_key *key)
{
	uint64_t v[4] = { table->secret[0] ^ UINT64_C(0x736f6d6570736575),
			  table->secret[1] ^ UINT64_C(0x646f72616e646f6d),
			  table->secret[0] ^ UINT64_C(0x6c7967656e657261),
			  table->secret[1] ^ UINT64_C(0x7465646279746573) };
	uint64_t words[3];

	memcpy(words, key->bytes, sizeof(key->bytes));
	words[2] = (UINT64_C(17) << 56) | key->kind;
	for (size_t i = 0; i < 3; i++) {
		v[3] ^= words[i];
		sip_round(v);
		v[0] ^= words[i];
	}
	v[2] ^= 0xff;
	for (size_t i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- the table ---- */

struct source_table *source_table_new(void)
{
	struct source_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->n_places = BUCKETS_MIN;
	table->places = calloc(table->n_places, sizeof(struct source_entry *));
	if (!table->places ||
	    getrandom(table->secret, sizeof(table->secret), 0) != sizeof(table->secret)) {
		free(table->places);
		free(table);
		return NULL;
	}
	pthread_mutex_init(&table->lock, NULL);
	TAILQ_INIT(&table->unused);
	return table;
}

void source_table_free(struct source_table *table)
{
	struct source_entry *entry;

	if (!table)
		return;
	for (size_t i = 0; i < table->n_places; i++) {
		while ((entry = table->places[i])) {
			table->places[i] = entry->next;
			free(entry);
		}
	}
	free(table->places);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

static struct source_entry **place_of(struct source_table *table, const struct source_key *key)
{
	return &table->places[hash(table, key) & (table->n_places - 1)];
}

static struct source_entry *find(struct source_table *table, const struct source_key *key)
{
	struct source_entry *entry = *place_of(table, key);

	while (entry && memcmp(&entry->key, key, sizeof(*key)) != 0)
		entry = entry->next;
	return entry;
}

/* Without memory for more, entries share their places. */
static void grow(struct source_table *table)
{
	struct source_entry **old = table->places, *entry;
	size_t n_old = table->n_places;
	struct source_entry **wider = calloc(2 * n_old, sizeof(struct source_entry *));

	if (!wider)
		return;
	table->places = wider;
	table->n_places = 2 * n_old;
	for (size_t i = 0; i < n_old; i++) {
		while ((entry = old[i])) {
			struct source_entry **place = place_of(table, &entry->key);

			old[i] = entry->next;
			entry->next = *place;
			*place = entry;
		}
	}
	free(old);
}

static void take_out(struct source_table *table, struct source_entry *entry)
{
	struct source_entry **at = place_of(table, &entry->key);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	TAILQ_REMOVE(&table->unused, entry, age);
	table->n--;
}

/* An entry that says nothing any more: no connection, and all it may begin.  NULL: none. */
static struct source_entry *evict(struct source_table *table, uint64_t now_ns)
{
	struct source_entry *entry = TAILQ_FIRST(&table->unused);

	for (int i = 0; entry && i < EVICTIONS; i++, entry = TAILQ_NEXT(entry, age)) {
		if (bucket_is_full(&entry->bucket, now_ns)) {
			take_out(table, entry);
			return entry;
		}
	}
	return NULL;
}

static struct source_entry *make_room(struct source_table *table, uint64_t now_ns)
{
	struct source_entry *entry;

	if (table->n < SOURCES_MAX) {
		entry = malloc(sizeof(*entry));
		if (entry)
			return entry;
	}
	return evict(table, now_ns);
}

static struct source_entry *add(struct source_table *table, const struct source_key *key,
				uint64_t now_ns)
{
	struct source_entry *entry = make_room(table, now_ns), **place;

	if (!entry) {
		table->overflows++;
		return &table->common;
	}
	if (table->n >= table->n_places)
		grow(table);
	*entry = (struct source_entry){ .key = *key };
	place = place_of(table, key);
	entry->next = *place;
	*place = entry;
	TAILQ_INSERT_TAIL(&table->unused, entry, age);
	table->n++;
	return entry;
}

static bool is_unused(const struct source_table *table, const struct source_entry *entry)
{
	return entry != &table->common && entry->connections == 0;
}

static enum source_answer take(struct source_table *table, struct source_entry *entry, uint64_t max,
			       const struct rate *rate, uint64_t now_ns)
{
	if (max > 0 && entry->connections >= max)
		return SOURCE_TOO_MANY;
	if (rate->count > 0 && bucket_wait_ns(&entry->bucket, rate, now_ns) > 0)
		return SOURCE_TOO_FAST;
	if (rate->count > 0)
		bucket_take(&entry->bucket, rate, now_ns);
	if (is_unused(table, entry))
		TAILQ_REMOVE(&table->unused, entry, age);
	entry->connections++;
	return SOURCE_TAKEN;
}

enum source_answer source_table_take(struct source_table *table, const struct source_key *key,
				     uint64_t max, const struct rate *rate,
				     struct source_entry **ret_entry)
{
	uint64_t now_ns = rate->count > 0 ? clock_exact_ns() : 0;
	struct source_entry *entry;
	enum source_answer answer;

	pthread_mutex_lock(&table->lock);
	entry = find(table, key);
	if (!entry)
		entry = add(table, key, now_ns);
	answer = take(table, entry, max, rate, now_ns);
	pthread_mutex_unlock(&table->lock);
	if (answer == SOURCE_TAKEN)
		*ret_entry = entry;
	return answer;
}

void source_table_give(struct source_table *table, struct source_entry *entry)
{
	pthread_mutex_lock(&table->lock);
	entry->connections--;
	if (is_unused(table, entry))
		TAILQ_INSERT_TAIL(&table->unused, entry, age);
	pthread_mutex_unlock(&table->lock);
}

size_t source_table_count(struct source_table *table)
{
	size_t n;

	pthread_mutex_lock(&table->lock);
	n = table->n;
	pthread_mutex_unlock(&table->lock);
	return n;
}

uint64_t source_table_overflows(struct source_table *table)
{
	uint64_t n;

	pthread_mutex_lock(&table->lock);
	n = table->overflows;
	pthread_mutex_unlock(&table->lock);
	return n;
}
