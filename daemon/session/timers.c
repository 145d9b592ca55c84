/* SPDX-License-Identifier: MIT */
/*
 * The timer of a session: see session_timer.h.  Between coalesce.c and the
 * timeouts of the configuration, which want it, and session.c, which acts on it.
 */
#include "daemon/session/timers.h"

#include <linux/sockios.h>
#include <sockfront/listener.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "daemon/base/clock.h"
#include "daemon/proxy/proxy.h"
#include "daemon/session/host.h"
#include "daemon/session/session.h"

static void fired(evutil_socket_t fd, short what, void *arg)
{
	struct session *session = arg;

	(void)fd;
	(void)what;
	session->timer->due_ms = 0;
	session_timer_fired(session);
}

struct session_timer *session_timer(struct session *session)
{
	struct session_timer *timer = session->timer;

	if (timer)
		return timer;
	if (!slab_ready(&session->host->timers))
		return NULL;
	timer = slab_take(&session->host->timers);
	event_assign(&timer->event, session->host->loop.base, -1, 0, fired, session);
	timer->active_ms = clock_ms();
	session->timer = timer;
	return timer;
}

bool session_timer_set(struct session *session, uint64_t ms)
{
	struct session_timer *timer = session_timer(session);
	struct timeval tv = timeval_from_ms(ms);
	uint64_t due = clock_ms() + ms;

	if (!timer)
		return false;
	if (timer->due_ms != 0 && timer->due_ms <= due)
		return true;
	if (event_add(&timer->event, &tv) < 0)
		return false;
	timer->due_ms = due;
	return true;
}

void session_timer_stop(struct session *session)
{
	if (!session->timer)
		return;
	/* An inherited connection may be in somebody else's hands, too. */
	coalesce_stop(&session->timer->coalesce[0], &session->client);
	coalesce_stop(&session->timer->coalesce[1], &session->backend);
	event_del(&session->timer->event);
	slab_give(&session->host->timers, session->timer);
	session->timer = NULL;
}

/* ---- bytes that coalesce ---- */

/* What is left lying in a socket that coalesces is looked after; without a timer, none may
 * coalesce. */
static void look_soon(struct session *session)
{
	struct coalesce *coalesce = session->timer->coalesce;

	if (session_timer_set(session, COALESCE_MS))
		return;
	coalesce_stop(&coalesce[0], &session->client);
	coalesce_stop(&coalesce[1], &session->backend);
}

static void note_bulk(struct session *session, struct endpoint *from)
{
	if ((from->bulk || from->coalesces) && session_timer(session) &&
	    coalesce_note(&session->timer->coalesce[from->is_backend], from,
			  session->host->pipes.pipe_capacity))
		look_soon(session);
}

/* When the timer fires, for whatever reason. */
static void check_bulk(struct session *session)
{
	struct coalesce *coalesce = session->timer->coalesce;
	bool client = coalesce_check(&coalesce[0], &session->client);
	bool backend = coalesce_check(&coalesce[1], &session->backend);

	if (client || backend)
		look_soon(session);
}

/* ---- timeouts ---- */

/* A timer that could not be set for want of memory is set with the next bytes. */
static void note_activity(struct session *session)
{
	uint64_t limit = session->proxy->config.idle_timeout_ms;

	if (limit == SFRONT_INFINITY_MS || !session_timer(session))
		return;
	session->timer->active_ms = clock_ms();
	if (session->timer->due_ms == 0)
		session_timer_set(session, limit);
}

void session_timer_begin(struct session *session)
{
	uint64_t limit = session->proxy->config.idle_timeout_ms;

	note_activity(session);
	if (limit != SFRONT_INFINITY_MS)
		session_timer_set(session, limit);
}

/* What has been written to @end and is still on its way. */
static uint64_t unsent_to(const struct endpoint *end)
{
	int unsent = 0;

	if (end->write_fd < 0 || !is_socket(end->write_stream) ||
	    ioctl(end->write_fd, SIOCOUTQ, &unsent) < 0)
		return 0;
	return (uint64_t)unsent;
}

/*
 * Bytes that the kernel still delivers move too: as long as there are fewer, or more,
 * than a whole timeout ago, nobody is idle.
 */
static bool is_draining(struct session *session)
{
	uint64_t unsent = unsent_to(&session->client) + unsent_to(&session->backend);
	bool moves = unsent > 0 && unsent != session->timer->unsent;

	session->timer->unsent = unsent;
	return moves;
}

/* Once; where memory was short then, with the next bytes. */
static void begin_half_close(struct session *session)
{
	uint64_t limit = session->proxy->config.half_close_timeout_ms;

	if (limit == SFRONT_INFINITY_MS || !session_timer(session) ||
	    session->timer->half_closed_ms != 0)
		return;
	session->timer->half_closed_ms = clock_ms();
	session_timer_set(session, limit);
}

void session_note_bytes(struct session *session, struct endpoint *from)
{
	note_activity(session);
	if (session->client.ended || session->backend.ended)
		begin_half_close(session);
	note_bulk(session, from);
}

void session_note_half_close(struct session *session)
{
	note_activity(session);
	begin_half_close(session);
}

/* How much is left of a time that began at @since_ms. */
static uint64_t time_left(uint64_t limit_ms, uint64_t since_ms, uint64_t now)
{
	if (limit_ms == SFRONT_INFINITY_MS)
		return SFRONT_INFINITY_MS;
	return now - since_ms < limit_ms ? limit_ms - (now - since_ms) : 0;
}

const char *session_timer_check(struct session *session)
{
	const struct proxy_config *config = &session->proxy->config;
	const struct session_timer *timer = session->timer;
	uint64_t now = clock_ms(), idle, half_close = SFRONT_INFINITY_MS;

	check_bulk(session);
	idle = time_left(config->idle_timeout_ms, timer->active_ms, now);
	if (timer->half_closed_ms != 0)
		half_close = time_left(config->half_close_timeout_ms, timer->half_closed_ms, now);
	if (half_close == 0)
		return "half-close timeout";
	if (idle == 0 && is_draining(session)) {
		session->timer->active_ms = now;
		idle = config->idle_timeout_ms;
	}
	if (idle == 0)
		return "idle timeout";
	if (idle != SFRONT_INFINITY_MS)
		session_timer_set(session, idle);
	if (half_close != SFRONT_INFINITY_MS)
		session_timer_set(session, half_close);
	return NULL;
}
