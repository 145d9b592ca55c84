/* SPDX-License-Identifier: MIT */
/*
 * The systemd unit that a backend is: whether it is up, which clients wait for that, and how
 * many use it.  Shared by all proxies and generations that name it, and by all threads; the
 * main thread starts and stops it (control/on_demand.h).
 *
 * A client counts itself before it looks whether the unit is up; whoever is about to stop the
 * unit says so before it looks at the count.  So one of the two sees the other.
 */
#ifndef DAEMON_BACKEND_UNIT_H
#define DAEMON_BACKEND_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "conf/conf.h"
#include "daemon/backend/waitlist.h"

struct loop;
struct unit;

#define UNIT_REASON_SIZE 192

/*
 *	                   a client         it is inactive             it is active
 *	        STOPPED ------------> LOOKING ------------> STARTING ------------> UP
 *	          ^  ^                   |  ^                   |                  | ^
 *	          |  |  the pause is     |  |    it did not     |      it is due,  | | a client
 *	          |  |      over         |  '--- FAILED <-------'      or another  | | has come,
 *	          |  '-------------------)----------'                 has asked it | | or another
 *	          |                      |                                         v | start
 *	          '----------------------)--------------------------------------- STOPPING
 *	                                 '--> UP, STARTING, STOPPING: as it is found
 *
 * Whatever others do with the unit leads from any state to the one that it is in now.
 */
enum unit_state {
	UNIT_STOPPED,  /* or nothing is known of it: nobody needs it */
	UNIT_LOOKING,  /* a client needs it: the manager is asked how it is */
	UNIT_STARTING, /* for us, or for others */
	UNIT_UP,
	UNIT_STOPPING, /* for us, or for others */
	UNIT_FAILED    /* to start; it is tried again after a pause */
};

/*
 * The unit of that name, with a reference for the caller.  Any thread.
 *
 * @home: the main thread's loop, which may begin to run later
 *
 * Returns NULL when out of memory.
 */
struct unit *unit_get(const char *name, struct loop *home);

/* The same, if there is one already; NULL: there is none. */
struct unit *unit_find(const char *name);

struct unit *unit_ref(struct unit *unit);

/* NULL is allowed. */
void unit_unref(struct unit *unit);

const char *unit_name(const struct unit *unit);

/* ---- its clients; any thread ---- */

/* Counts a client that needs the unit, or has a connection to it. */
void unit_client_comes(struct unit *unit);
void unit_client_goes(struct unit *unit);

/* One load.  In one order with the waitlists: see waitlist_join(). */
bool unit_is_up(struct unit *unit);

/* The same for a client: if it is not up, the main thread hears that one waits. */
bool unit_is_up_for_client(struct unit *unit);

/* How often it has failed to start: one that waits is told of those that it has seen itself. */
unsigned int unit_failures(struct unit *unit);

/* Whether it has failed, and will not be tried again before @ms. */
bool unit_is_hopeless_until(struct unit *unit, uint64_t ms);

/* "unit wiki.service failed: exit-code" */
void unit_format_failure(struct unit *unit, char *buf, size_t size);

/* Clients that are told when it is up, or has failed.  Lives in the memory of whoever has them. */
struct unit_queue {
	TAILQ_ENTRY(unit_queue) link;
	struct waitlist *waitlist; /* borrowed */
};

/* @waitlist: must stay until the queue was removed */
void unit_add_queue(struct unit *unit, struct unit_queue *queue, struct waitlist *waitlist);
void unit_remove_queue(struct unit *unit, struct unit_queue *queue);

/* ---- the main thread ---- */

/* Told, once for each unit at the time, that a client waits for a unit that is not up. */
typedef void unit_wanted(struct unit *unit);

/* Before other threads run. */
void unit_on_wanted(unit_wanted *handler);

/* What whoever starts and stops it has of it; NULL at first. */
void unit_set_keeper(struct unit *unit, void *keeper);
void *unit_keeper(const struct unit *unit);

enum unit_state unit_state(const struct unit *unit);

/* Who waits for it is told.  Not for UNIT_FAILED. */
void unit_set_state(struct unit *unit, enum unit_state state);

/*
 * It has failed: those who wait for it are told.
 *
 * @reason:   in words
 * @retry_ms: when it is tried again, if anybody wants it then
 */
void unit_set_failed(struct unit *unit, const char *reason, uint64_t retry_ms);

/* How many clients there are; and since when there is none, if there is none. */
unsigned int unit_n_clients(const struct unit *unit);
uint64_t unit_quiet_since_ms(const struct unit *unit);

/* As if the last client had gone then. */
void unit_set_quiet_since(struct unit *unit, uint64_t ms);

/* Whether any client is in a queue. */
bool unit_is_awaited(struct unit *unit);

#endif
