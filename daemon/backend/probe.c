/* SPDX-License-Identifier: MIT */
/*
 * When which server is probed: see probe.h.
 */
#include "daemon/backend/probe.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "daemon/backend/backend.h"
#include "daemon/backend/check.h"
#include "daemon/backend/unit.h"
#include "daemon/base/clock.h"
#include "daemon/base/loop.h"

/* The first one comes this long after the failure. */
#define FIRST_MS 1000

/* From the beginning of one to the next while clients come; without, twice as long each time. */
#define BUSY_MS  2000
#define QUIET_MS 30000

/* The same while clients are held until a check has passed: twice as long each time, too. */
#define HELD_MIN_MS 100
#define HELD_MAX_MS 1000

/*
 *	         it is not up            the pause is over, clients have come
 *	RESTING -------------> WAITING -----------------------------------------> ASKING
 *	   ^                   ^   |                                               ^ | |
 *	   |                   |   | none has           one comes, or that is over | | |
 *	   |                   |   '----------> DOZING ----------------------------' | |
 *	   |                   |                     no answer                       | |
 *	   |                   '-----------------------------------------------------' |
 *	   '---------------------------------------------------------------------------'
 *	                                it answers
 *
 * With check-interval a server that is up is asked as well: it is RESTING with a timer.
 */
enum probe_state { PROBE_RESTING, PROBE_WAITING, PROBE_DOZING, PROBE_ASKING };

/* Of one server. */
struct probe {
	struct prober *prober;
	struct server *server;
	enum probe_state state; /* assigned by enter() alone */
	struct event timer;     /* while WAITING and DOZING, perhaps while RESTING */
	struct check *check;    /* while ASKING */
	uint64_t begun_ms;      /* the last one, or the failure */
	uint64_t pause_ms;      /* to the next one while nobody comes */
	uint64_t held_pause_ms; /* and while clients are held */
	/* From other threads: it is not up, and a client has come. */
	struct message wanted;
	atomic_bool is_wanted;
	atomic_bool listens; /* while RESTING and DOZING: to be told at once */
	atomic_bool has_come;
};

struct prober {
	struct loop *loop;
	struct backend *backend; /* borrowed until it is stopped */
	atomic_bool is_stopped;
	atomic_uint refs; /* whoever has made it, the backend, messages that are on their way */
	size_t n;
	struct probe probes[];
};

static const struct check_config *config_of(const struct probe *probe)
{
	return &backend_settings(probe->prober->backend)->check;
}

static void enter(struct probe *probe, enum probe_state state)
{
	if (event_initialized(&probe->timer))
		event_del(&probe->timer);
	probe->state = state;
	atomic_store(&probe->listens, state == PROBE_RESTING || state == PROBE_DOZING);
	if (state != PROBE_ASKING) {
		check_cancel(probe->check);
		probe->check = NULL;
	}
}

static void enter_until(struct probe *probe, enum probe_state state, uint64_t due_ms)
{
	uint64_t now = clock_ms();
	struct timeval delay = timeval_from_ms(due_ms > now ? due_ms - now : 0);

	enter(probe, state);
	/* Without memory for it, the next client that comes tells of the server again. */
	if (event_add(&probe->timer, &delay) < 0)
		enter(probe, PROBE_RESTING);
}

static uint64_t shorter(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* It is up. */
static void rest(struct probe *probe)
{
	uint64_t interval_ms = config_of(probe)->interval_ms;

	probe->held_pause_ms = HELD_MIN_MS;
	if (interval_ms == SFRONT_INFINITY_MS)
		enter(probe, PROBE_RESTING);
	else
		enter_until(probe, PROBE_RESTING, clock_sum_ms(probe->begun_ms, interval_ms));
}

/* Whether clients can go nowhere before a check has passed. */
static bool holds_clients(const struct probe *probe)
{
	return backend_owes_check(probe->prober->backend);
}

static bool has_clients(const struct probe *probe)
{
	struct backend *backend = probe->prober->backend;

	return atomic_load(&probe->has_come) ||
	       (holds_clients(probe) && !waitlist_is_empty(backend_waitlist(backend)));
}

/* When the next one is due even though nobody comes. */
static uint64_t due_ms(const struct probe *probe)
{
	return clock_sum_ms(probe->begun_ms,
			    shorter(probe->pause_ms, config_of(probe)->interval_ms));
}

/* It is not up. */
static void wait_for_clients(struct probe *probe)
{
	uint64_t pause_ms = BUSY_MS;

	if (holds_clients(probe)) {
		pause_ms = probe->held_pause_ms;
		probe->held_pause_ms = shorter(2 * pause_ms, HELD_MAX_MS);
	}
	enter_until(probe, PROBE_WAITING, shorter(probe->begun_ms + pause_ms, due_ms(probe)));
}

static void checked(void *arg, bool has_passed)
{
	struct probe *probe = arg;

	probe->check = NULL;
	if (server_is_up(probe->server)) {
		rest(probe);
		return;
	}
	if (has_passed) /* but more have to */
		probe->pause_ms = shorter(probe->pause_ms, BUSY_MS);
	wait_for_clients(probe);
}

/* Where nothing is meant to run, there is nobody to ask. */
static bool is_unit_up(const struct prober *prober)
{
	struct unit *unit = backend_unit(prober->backend);

	return !unit || unit_is_up(unit);
}

/* @pause_ms: after this one */
static void ask(struct probe *probe, uint64_t pause_ms)
{
	struct prober *prober = probe->prober;

	enter(probe, PROBE_ASKING);
	probe->begun_ms = clock_ms();
	probe->pause_ms = pause_ms < QUIET_MS ? pause_ms : QUIET_MS;
	atomic_store(&probe->has_come, false);
	if (!is_unit_up(prober)) {
		wait_for_clients(probe);
		return;
	}
	probe->check = check_start(prober->loop, prober->backend, probe->server,
				   config_of(probe)->timeout_ms, checked, probe);
	if (!probe->check)
		checked(probe, false);
}

static void pause_is_over(struct probe *probe)
{
	uint64_t due = due_ms(probe);

	if (probe->state == PROBE_DOZING || clock_ms() >= due)
		ask(probe, 2 * probe->pause_ms);
	else if (has_clients(probe))
		ask(probe, BUSY_MS);
	else
		enter_until(probe, PROBE_DOZING, due);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct probe *probe = arg;

	(void)fd;
	(void)what;
	if (!server_is_up(probe->server))
		pause_is_over(probe);
	else if (probe->state == PROBE_RESTING)
		ask(probe, BUSY_MS);
	else /* a client has found out */
		rest(probe);
}

/* The loop may have begun only now. */
static void assign_timer(struct probe *probe)
{
	if (!event_initialized(&probe->timer))
		event_assign(&probe->timer, probe->prober->loop->base, -1, 0, timer_fired, probe);
}

/* ---- what others tell ---- */

/* Clients are held: the first check is made at once, and after a failure soon. */
static void begin_for_held_clients(struct probe *probe)
{
	if (health_state(&probe->server->state->health) == HEALTH_UNKNOWN)
		ask(probe, BUSY_MS);
	else
		enter_until(probe, PROBE_WAITING, probe->begun_ms + HELD_MIN_MS);
}

/* It is not up: that is new, or a client has come since. */
static void look_after(struct probe *probe)
{
	if (atomic_load(&probe->prober->is_stopped) || server_is_up(probe->server))
		return;
	assign_timer(probe);
	if (probe->state == PROBE_DOZING) {
		ask(probe, BUSY_MS);
	} else if (probe->state == PROBE_RESTING) {
		probe->pause_ms = FIRST_MS;
		probe->begun_ms = clock_ms();
		if (holds_clients(probe))
			begin_for_held_clients(probe);
		else
			enter_until(probe, PROBE_WAITING,
				    shorter(probe->begun_ms + FIRST_MS, due_ms(probe)));
	}
}

static void prober_unref(struct prober *prober)
{
	if (atomic_fetch_sub(&prober->refs, 1) == 1)
		free(prober);
}

static void wanted_delivered(struct message *message)
{
	struct probe *probe = message_owner(message, struct probe, wanted);

	atomic_store(&probe->is_wanted, false);
	look_after(probe);
	prober_unref(probe->prober);
}

/* Any thread. */
static void server_fails(struct backend *backend, struct server *server, bool is_client, void *data)
{
	struct prober *prober = data;
	struct probe *probe = &prober->probes[server - backend_server(backend, 0)];

	if (is_client && !atomic_load_explicit(&probe->has_come, memory_order_relaxed))
		atomic_store(&probe->has_come, true);
	if (!atomic_load(&probe->listens) || atomic_load(&prober->is_stopped) ||
	    atomic_exchange(&probe->is_wanted, true))
		return;
	atomic_fetch_add(&prober->refs, 1);
	mailbox_post(&prober->loop->mailbox, &probe->wanted);
}

/* Nobody has anything to tell any more.  Any thread. */
static void backend_is_gone(void *data)
{
	prober_unref(data);
}

/* ---- its life ---- */

struct prober *prober_new(struct loop *loop, struct backend *backend)
{
	size_t n = backend_n_servers(backend);
	struct prober *prober = calloc(1, sizeof(*prober) + n * sizeof(*prober->probes));

	if (!prober)
		return NULL;
	prober->loop = loop;
	prober->backend = backend;
	atomic_init(&prober->refs, 2);
	prober->n = n;
	for (size_t i = 0; i < n; i++) {
		prober->probes[i].prober = prober;
		prober->probes[i].server = backend_server(backend, i);
		prober->probes[i].wanted.deliver = wanted_delivered;
		prober->probes[i].held_pause_ms = HELD_MIN_MS;
		atomic_init(&prober->probes[i].listens, true);
	}
	backend_on_failure(backend, server_fails, backend_is_gone, prober);
	return prober;
}

/* One that nobody has asked for is left alone, unless it is to be checked whatever comes. */
static bool is_left_alone(const struct probe *probe)
{
	return health_state(&probe->server->state->health) == HEALTH_UNKNOWN &&
	       config_of(probe)->interval_ms == SFRONT_INFINITY_MS && !has_clients(probe);
}

static void begin(struct probe *probe)
{
	if (!server_is_up(probe->server)) {
		if (!is_left_alone(probe))
			look_after(probe);
	} else if (config_of(probe)->interval_ms != SFRONT_INFINITY_MS) {
		assign_timer(probe);
		ask(probe, BUSY_MS);
	}
}

void prober_start(struct prober *prober)
{
	for (size_t i = 0; i < prober->n; i++)
		begin(&prober->probes[i]);
}

void prober_stop(struct prober *prober)
{
	atomic_store(&prober->is_stopped, true);
	for (size_t i = 0; i < prober->n; i++)
		enter(&prober->probes[i], PROBE_RESTING);
}

void prober_free(struct prober *prober)
{
	if (!prober)
		return;
	prober_stop(prober);
	prober_unref(prober);
}
