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
#include <sys/socket.h>
#include <unistd.h>

#include <sockfront/proxy_protocol.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/connect.h"
#include "daemon/backend/unit.h"
#include "daemon/base/clock.h"
#include "daemon/base/loop.h"

/* The first one comes this long after the failure. */
#define FIRST_MS 1000

/* From the beginning of one to the next while clients come; without, twice as long each time. */
#define BUSY_MS  2000
#define QUIET_MS 30000

/* One that takes longer has not answered. */
#define PATIENCE_MS 2000

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
 */
enum probe_state { PROBE_RESTING, PROBE_WAITING, PROBE_DOZING, PROBE_ASKING };

/* Of one server. */
struct probe {
	struct prober *prober;
	struct server *server;
	enum probe_state state;  /* assigned by enter() alone */
	struct event timer;      /* while WAITING and DOZING */
	struct attempt *attempt; /* while ASKING */
	uint64_t begun_ms;       /* the last one, or the failure */
	uint64_t pause_ms;       /* to the next one while nobody comes */
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

static void enter(struct probe *probe, enum probe_state state)
{
	if (probe->state == PROBE_WAITING || probe->state == PROBE_DOZING)
		event_del(&probe->timer);
	probe->state = state;
	atomic_store(&probe->listens, state == PROBE_RESTING || state == PROBE_DOZING);
	if (state != PROBE_ASKING) {
		attempt_cancel(probe->attempt);
		probe->attempt = NULL;
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

static void wait_for_clients(struct probe *probe)
{
	enter_until(probe, PROBE_WAITING, probe->begun_ms + BUSY_MS);
}

/* A server that is used to headers takes a connection without one for an attack. */
static void say_who(unsigned int version, int fd)
{
	char text[SFRONT_PROXY_V2_MAX];
	struct sfront_proxy_writer writer = { .buf = text, .size = sizeof(text) };
	int size;

	if (version == 1) {
		size = sfront_proxy_format_v1(NULL, NULL, text, sizeof(text));
	} else {
		(void)sfront_proxy_begin_v2(&writer, NULL, NULL);
		size = sfront_proxy_finish(&writer);
	}
	if (size > 0)
		(void)send(fd, text, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void finish(const struct prober *prober, int fd)
{
	unsigned int version = backend_settings(prober->backend)->send_proxy_protocol;

	if (version > 0)
		say_who(version, fd);
	close(fd);
}

static void answered(void *arg, const struct outcome *outcome)
{
	struct probe *probe = arg;

	probe->attempt = NULL;
	if (outcome->fd >= 0)
		finish(probe->prober, outcome->fd);
	if (server_is_up(probe->server))
		enter(probe, PROBE_RESTING);
	else
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
	if (is_unit_up(prober))
		probe->attempt = attempt_probe(prober->loop, prober->backend, probe->server,
					       PATIENCE_MS, answered, probe);
	if (!probe->attempt)
		wait_for_clients(probe);
}

static void pause_is_over(struct probe *probe)
{
	if (probe->state == PROBE_DOZING || probe->pause_ms <= BUSY_MS)
		ask(probe, 2 * probe->pause_ms);
	else if (atomic_load(&probe->has_come))
		ask(probe, BUSY_MS);
	else
		enter_until(probe, PROBE_DOZING, probe->begun_ms + probe->pause_ms);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct probe *probe = arg;

	(void)fd;
	(void)what;
	if (server_is_up(probe->server)) /* a client has found out */
		enter(probe, PROBE_RESTING);
	else
		pause_is_over(probe);
}

/* ---- what others tell ---- */

/* It is not up: that is new, or a client has come since. */
static void look_after(struct probe *probe)
{
	if (atomic_load(&probe->prober->is_stopped) || server_is_up(probe->server))
		return;
	if (probe->state == PROBE_DOZING) {
		ask(probe, BUSY_MS);
	} else if (probe->state == PROBE_RESTING) {
		event_assign(&probe->timer, probe->prober->loop->base, -1, 0, timer_fired, probe);
		probe->pause_ms = FIRST_MS;
		probe->begun_ms = clock_ms();
		enter_until(probe, PROBE_WAITING, probe->begun_ms + FIRST_MS);
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
		atomic_init(&prober->probes[i].listens, true);
	}
	backend_on_failure(backend, server_fails, backend_is_gone, prober);
	return prober;
}

void prober_start(struct prober *prober)
{
	for (size_t i = 0; i < prober->n; i++)
		look_after(&prober->probes[i]);
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
