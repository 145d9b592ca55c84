/* SPDX-License-Identifier: MIT */
/*
 * What the bench's backend does for a connection, and what it tells of itself.
 * Between backend.c, which serves, and the workloads, which ask.
 *
 * The first byte of a connection chooses the service.  Beside the port that
 * the proxies connect to there is a control socket, which the load generator
 * reaches directly: a stream's end can be agreed on without half-closing,
 * which some proxies get wrong.
 */
#ifndef BENCH_SERVICE_H
#define BENCH_SERVICE_H

#include <stdint.h>

#include "tests/bench/address.h"
#include "tests/bench/histogram.h"

enum service {
	SERVICE_ECHO = 'E',   /* sends back all it gets, this byte too */
	SERVICE_SINK = 'S',   /* takes a stream of the pattern */
	SERVICE_SOURCE = 'D', /* sends a stream of the pattern until it is told to stop */
	SERVICE_BOTH = 'B',   /* SINK and SOURCE at once */
	SERVICE_PACED = 'P',  /* as SOURCE, in pieces of PACED_SIZE bytes that come one by one */
	SERVICE_TAKE = 'T',   /* takes stamped pieces, and counts how long they were on the way */
	SERVICE_GIVE = 'G',   /* sends stamped pieces, as a struct give wants them */
};

#define PACED_SIZE ((size_t)100)

/* Paced connections at once. */
#define PACED_MAX 64

/* All that a client of SERVICE_GIVE sends. */
struct give {
	char service;
	double rate; /* bytes a second */
	uint64_t size;
};

enum command {
	COMMAND_COUNT = 'c',
	COMMAND_CLEAR = 'z', /* counters to zero; sources may start; only later pieces count */
	COMMAND_STOP = 's',  /* every source stops, now */
	COMMAND_DELAYS = 'd',
};

/* The answer to every command but COMMAND_DELAYS, as it is after it. */
struct counters {
	uint64_t connections; /* that are open */
	uint64_t sunk;        /* pattern bytes taken */
	uint64_t sourced;     /* pattern bytes given to the kernel */
	uint64_t faults;      /* bytes that were not as they should have been */
};

/* Serves until standard input ends.  Returns an exit status. */
int backend_serve(const struct address *address, const struct address *control);

/* ---- the asking side, control.c; these end the program when the backend is gone ---- */

void control_open(const struct address *control);
struct counters control_ask(enum command command);

/* Pattern bytes taken so far; ends the program if any were wrong. */
uint64_t control_sunk(void);

/* Of the pieces that SERVICE_TAKE has taken. */
void control_delays(struct histogram *ret_delays);

/* Waits until no connection of an earlier run is left, and clears the counters. */
void control_begin(void);

#endif
