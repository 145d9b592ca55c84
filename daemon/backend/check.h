/* SPDX-License-Identifier: MIT */
/*
 * One check of one server: a connection of our own, what is sent on it, and what has to come
 * back.  When there is one is probe.h's.
 */
#ifndef DAEMON_BACKEND_CHECK_H
#define DAEMON_BACKEND_CHECK_H

#include <stdbool.h>
#include <stdint.h>

struct backend;
struct check;
struct check_config;
struct loop;
struct server;

/* It is over, and noted at the server. */
typedef void check_done(void *arg, bool has_passed);

/*
 * @backend: borrowed until it is over
 *
 * Returns it, or NULL when out of memory.
 */
struct check *check_start(struct loop *loop, struct backend *backend, struct server *server,
			  uint64_t timeout_ms, check_done *done, void *arg);

/* Gives up: @done will not be called, and nothing noted.  NULL is allowed. */
void check_cancel(struct check *check);

#endif
