/* SPDX-License-Identifier: MIT */
/*
 * The load generator: what the command line asks for, and the workloads that
 * load.c chooses from.
 *
 * It measures or it fails: whatever the proxy does wrong ends the program with
 * fatal(), so that no figure is ever printed for a broken run.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/address.h"
#include "tests/bench/clock.h"

/* A run in which nothing moves for this long has failed. */
#define STALL_NS (5 * NS_PER_S)

struct plan {
	struct address to;
	pid_t proxy; /* whose processor time is measured; 0: nobody's */
	unsigned int connections;
	unsigned int open;    /* further ones that do nothing */
	unsigned int stuck;   /* further ones that ask for a stream and never read it */
	bool paced;           /* ... and theirs comes in small pieces, one at a time */
	unsigned int streams; /* further ones that send all the time */
	size_t size;          /* of a request and of its reply, or of a piece */
	double rate;          /* of all connections, in bytes a second */
	uint64_t warm_ns;
	uint64_t measure_ns;
};

void bulk_up(const struct plan *plan);
void bulk_down(const struct plan *plan);
void bulk_both(const struct plan *plan);
void request_run(const struct plan *plan);
void connect_run(const struct plan *plan);
void delay_up(const struct plan *plan);
void delay_down(const struct plan *plan);
void idle_run(const struct plan *plan);

/* Opens plan->open connections that do nothing, and leaves them until the program ends. */
void idle_hold(const struct plan *plan);

/* Opens plan->streams bulk streams to the backend, which a process of its own fills. */
void bulk_hold(const struct plan *plan);

/* A connected, non-blocking socket to where the plan says. */
int plan_connect(const struct plan *plan);

/* Sends the byte that chooses the service, on a socket that has nothing queued. */
void plan_choose(int fd, char service);

/* Says why on standard error, and ends the program with status 1. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
