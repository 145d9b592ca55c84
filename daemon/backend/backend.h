/* SPDX-License-Identifier: MIT */
/*
 * A proxy's backend: where it is (resolver.h), how to connect to it (dial.h), and
 * whether it answers.  What goes there is connect.h's.
 */
#ifndef DAEMON_BACKEND_BACKEND_H
#define DAEMON_BACKEND_BACKEND_H

#include <sockfront/listener.h>
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "daemon/backend/dial.h"
#include "daemon/backend/loop_guard.h"
#include "daemon/backend/resolver.h"

/* How to connect to it: a copy, for attempts that outlive their configuration. */
struct backend_settings {
	uint64_t connect_timeout_ms; /* SFRONT_INFINITY_MS: without end */
	bool connect_retry;
	struct dial_options dial;
};

struct backend;

/*
 * @config: read, not kept
 * @guard:  which addresses are our own; shared
 *
 * Returns NULL with errno set and @err saying why, when out of memory, when a literal
 * address names an interface that does not exist, or without the right to backend-source.
 */
struct backend *backend_new(const struct proxy_config *config, struct loop_guard *guard,
			    struct sfront_error *err);

struct backend *backend_ref(struct backend *backend);
void backend_unref(struct backend *backend);

/* "127.0.0.1:80" */
const char *backend_text(const struct backend *backend);

/* What a connection to it is. */
enum sfront_stream backend_stream(const struct backend *backend);

const struct backend_settings *backend_settings(const struct backend *backend);

/* Whether attempt_start() wants the client's address. */
bool backend_wants_client(const struct backend *backend);

/* Borrowed. */
struct resolver *backend_resolver(const struct backend *backend);

/*
 * Notes that it does not answer, or does; the log hears of each change, once.
 * Any thread.
 *
 * @reason: in words
 */
void backend_note_failure(struct backend *backend, const char *reason);

/* @addr: which of several addresses it was; NULL: there is one alone */
void backend_note_success(struct backend *backend, const struct sfront_sockaddr *addr);

/* The index in @list of the address that answered last; 0 if none of them has. */
unsigned int backend_preferred(struct backend *backend, const struct address_list *list);

#endif
