/* SPDX-License-Identifier: MIT */
/*
 * A server: where a proxy's clients are connected to, as a line of backend says it.
 */
#ifndef CONF_SERVER_H
#define CONF_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sockfront/address.h>

#include "conf/place.h"

/* Room for the text of any server, with the final NUL: each byte of a path may be \xNN. */
#define SERVER_TEXT_SIZE 512

/* How many a proxy may have. */
#define SERVERS_MAX 256

#define SERVER_WEIGHT_MAX 256

struct server_config {
	uint64_t max;                  /* connections at once; 0: no limit of its own */
	struct sfront_address address; /* HOST:PORT, a path, @NAME or vsock:CID:PORT */
	unsigned int further;          /* ports of a range after that of the address; 0: no range */
	uint32_t mux_port; /* not 0: the path leads to a virtual machine, this is its vsock port */
	unsigned int weight; /* 1 to SERVER_WEIGHT_MAX */
	bool has_weight;     /* the line has one */
	bool is_srv;         /* the address is the name of a service, whose targets are servers */
	bool is_backup;
	unsigned int priority; /* of a target: those that have the lowest number come first */
	struct place place;
};

/* Which of several servers a client gets: see daemon/backend/balance.h. */
enum balance {
	BALANCE_LEAST_CONNECTIONS,
	BALANCE_FIRST,
	BALANCE_ROUND_ROBIN,
	BALANCE_RANDOM,
	BALANCE_SOURCE,
	BALANCE_POLICIES
};

/* The server with the port that comes @step after the first of its range. */
struct server_config server_at(const struct server_config *server, unsigned int step);

/* "least-connections" */
const char *balance_name(enum balance balance);

/*
 * Reads a line: an address, then words.  The address ends at the first blank; in it, \xNN is
 * a byte and \\ a backslash.
 *
 * Returns 0, or a negative errno with @err saying what is taken; @ret is untouched then.
 */
int server_parse(const char *text, struct server_config *ret, struct sfront_error *err);

/* Its address, in a form that server_parse() reads.  Returns the length, as snprintf does. */
size_t server_format(const struct server_config *server, char *buf, size_t size);

#endif
