/* SPDX-License-Identifier: MIT */
/*
 * A proxy's backend: its servers, which of them a client gets, and whether any answers.
 * What goes there is connect.h's.
 */
#ifndef DAEMON_BACKEND_BACKEND_H
#define DAEMON_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "daemon/backend/loop_guard.h"
#include "daemon/backend/server.h"
#include "daemon/backend/waitlist.h"

/* What it is told by its configuration: a copy, for attempts that outlive that. */
struct backend_settings {
	struct check_config check;   /* owned */
	uint64_t connect_timeout_ms; /* SFRONT_INFINITY_MS: without end */
	bool connect_retry;
	uint64_t resolve_interval_ms; /* an answer younger than that is good for a client */
	enum balance balance;
	bool closes_when_down;            /* the connections of a server; whoever has them does */
	unsigned int send_proxy_protocol; /* version; 0: none */
};

struct backend;
struct unit;

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

/*
 * Goes on with the counts, the health and the queue of @before, an older backend of the same
 * proxy, as far as it has the same servers.  Before other threads know @backend.
 */
void backend_share(struct backend *backend, const struct backend *before);

/*
 * The systemd unit that has to be up before any client gets a server.  Before other threads
 * know @backend.
 *
 * @unit: a reference, taken
 */
void backend_set_unit(struct backend *backend, struct unit *unit);

/* Borrowed; NULL: there is none. */
struct unit *backend_unit(const struct backend *backend);

/*
 * @next, another backend of the same proxy, has its place: clients that have no server yet go on
 * there, see connect.h.  Those that wait for servers that are gone do so at once.  Any thread.
 */
void backend_be_replaced(struct backend *backend, const struct backend *next);
bool backend_is_replaced(const struct backend *backend);

/* "127.0.0.1:80"; "127.0.0.1:80 and 2 more" */
const char *backend_text(const struct backend *backend);

/* Whether its servers are looked after, by probe.h. */
bool backend_wants_prober(const struct backend *backend);

/* Whether a server gets no client before a check has passed, and checks are all that counts. */
bool backend_trusts_checks(const struct backend *backend);

/* Whether no server is up, and so none may have a client. */
bool backend_owes_check(const struct backend *backend);

/* The server's, if there is only one; else "-". */
const char *backend_word(const struct backend *backend);

const struct backend_settings *backend_settings(const struct backend *backend);

/* Whether attempt_start() wants the client's address. */
bool backend_wants_client(const struct backend *backend);

/* Of the lines of backend, in their order; they live as long as the backend does. */
size_t backend_n_servers(const struct backend *backend);
struct server *backend_server(struct backend *backend, size_t index);

/* ---- which server a client gets ---- */

/*
 * A client has come, and needs the backend until backend_client_goes().  False: its unit is not
 * up, and it has to wait for that; the main thread hears of it.  Any thread.
 */
bool backend_client_comes(struct backend *backend);
void backend_client_goes(struct backend *backend);

/* Whether backend_choose() wants to know who the client is. */
bool backend_wants_source(const struct backend *backend);

/* What a client has behind it. */
struct visited {
	bool tried[SERVERS_MAX]; /* by index: has it already, and goes to another one */
	bool is_last_chance;     /* it will not come back to those, whatever they become */
};

/*
 * Chooses the server for a client, and counts the connection: see backend_leave().  Of those
 * that are up; of the backups if nothing else is; of all, if not even one of those is, and
 * unless backend_trusts_checks().  On its last chance, a client that has tried all that are up
 * gets one of the others.
 *
 * @visited:  NULL: nothing yet
 * @source:   see backend_wants_source()
 * @ret_full: whether it is for lack of room that there is none, or of a check that has passed
 *
 * Returns NULL if there is none.  Any thread.
 */
struct server *backend_choose(struct backend *backend, const struct visited *visited,
			      uint64_t source, bool *ret_full);

/* Whether the unit is up, and backend_choose() would find one.  Any thread. */
bool backend_has_room(struct backend *backend);

/* Whether any server is up, with room or without. */
bool backend_has_one_up(const struct backend *backend);

/* Whether every server is known to be down: see health_is_known_down().  Any thread. */
bool backend_is_known_down(const struct backend *backend);

/* Whether others wait for room already: nobody overtakes them. */
bool backend_has_queue(const struct backend *backend);

/* A connection that was counted has ended, or never came about.  Any thread. */
void backend_leave(struct backend *backend, struct server *server);

/* Those who wait for room, or for the unit. */
struct waitlist *backend_waitlist(const struct backend *backend);

/* ---- what is known of a server ---- */

/*
 * Told when a server is no longer up, and of each client that comes while it is not; from any
 * thread.
 */
typedef void backend_server_fails(struct backend *backend, struct server *server, bool is_client,
				  void *data);

/*
 * Before other threads know @backend.
 *
 * @gone: called when the backend is freed, by whichever thread
 */
void backend_on_failure(struct backend *backend, backend_server_fails *tell,
			void (*gone)(void *data), void *data);

/*
 * Each says a change of state in the log, if there are several servers, or checks.  Any thread.
 */

/* It could not be connected to; @reason: in words. */
void backend_note_failure(struct backend *backend, struct server *server, const char *reason);

/* It has not answered for a while. */
void backend_note_silence(struct backend *backend, struct server *server);

/* It has reset a connection before a byte moved. */
void backend_note_reset(struct backend *backend, struct server *server);

/* It has accepted; @addr: which of several addresses it was; NULL: there is one alone. */
void backend_note_answer(struct backend *backend, struct server *server,
			 const struct sfront_sockaddr *addr);

/* A connection of our own to it has failed; @reason: in words */
void backend_note_failed_check(struct backend *backend, struct server *server, const char *reason);

/* One has brought what it should. */
void backend_note_passed_check(struct backend *backend, struct server *server);

/*
 * A client has found nobody, and tries again: the log hears of the first one, and once there
 * is an answer.  Any thread.
 *
 * @reason: in words
 */
void backend_note_outage(struct backend *backend, const char *reason);

#endif
