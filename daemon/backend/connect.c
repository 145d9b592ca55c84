/* SPDX-License-Identifier: MIT */
/*
 * Attempts to connect: see connect.h.  The common case, a server that is there, takes
 * dial() and nothing else; everything slower lives in a struct attempt, which asks
 * backend.c for servers, resolver.c for their addresses, and races the handshakes that
 * dial.c begins.
 */
#include "daemon/backend/connect.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backend/attempt_story.h"
#include "daemon/backend/backend.h"
#include "daemon/backend/mux.h"
#include "daemon/backend/server_counts.h"
#include "daemon/backend/unit.h"
#include "daemon/base/clock.h"
#include "daemon/base/loop.h"

/* Pauses between two rounds over all servers. */
#define BACKOFF_MIN_MS 10
#define BACKOFF_MAX_MS 1000

/* How long an address, or a look-up, has for itself before the next one is tried as well. */
#define HEAD_START_MS 250

/* Of one attempt at the same time: past that, the oldest one makes room for the next address. */
#define MAX_HANDSHAKES 8

/* A name server that takes longer is not waited for when there is an older answer. */
#define LOOKUP_PATIENCE_MS 1000

/* How often addresses that leave us waiting, or have failed, are asked for again. */
#define DOUBT_MS 1000

#define NEVER UINT64_MAX

/* The timer is always set: see attempt_new(). */
#define TIMER_MAX_MS 3600000

/* An address that is being connected to. */
struct handshake {
	struct handshake *older;
	struct candidate *candidate;
	struct event ready; /* its fd is the socket, owned */
	struct sfront_sockaddr addr;
	struct mux_answer answer;
	uint64_t began_us; /* 0 where no time is wanted */
};

enum candidate_state {
	CANDIDATE_UNTRIED,
	CANDIDATE_RESOLVING,
	CANDIDATE_TRYING, /* there are addresses: some under way, or some to begin with */
	CANDIDATE_FAILED  /* in this round */
};

/* A server, in one attempt. */
struct candidate {
	struct attempt *attempt;
	struct server *server;
	enum candidate_state state; /* assigned by candidate_enter() alone */
	bool is_counted;            /* at the server */
	bool is_asking;             /* wait.message is queued or on its way */
	struct address_list *list;  /* while TRYING; a reference */
	unsigned int preferred;     /* of its addresses, which is tried first */
	unsigned int n_begun;       /* of them, in our order, that were begun with */
	unsigned int n_handshakes;
	uint64_t due_ms; /* RESOLVING: an older answer does then; TRYING: ask again then */
	struct resolver_wait wait;
};

struct attempt {
	struct loop *loop;       /* borrowed */
	struct backend *backend; /* a reference */
	attempt_done *done;
	void *arg;
	enum connect_state state; /* assigned by enter() alone */
	uint64_t deadline_ms;
	uint64_t next_ms; /* when the state goes on by itself */
	struct event timer;
	struct attempt_client client;
	uint64_t began_us;    /* 0 where no time is wanted */
	unsigned int n_tries; /* addresses that were begun with */
	unsigned int backoff_ms;
	struct handshake *handshakes; /* under way, the newest first */
	unsigned int n_handshakes;
	bool is_probe;              /* of its one candidate */
	bool is_client;             /* which the backend counts: see backend_client_comes() */
	bool worth_retrying;        /* one of this round's failures may pass */
	bool unresolved;            /* the last failure was the name's */
	bool is_full;               /* what was missing was room */
	bool awaits_servers;        /* those of a service are about to be known */
	bool is_told;               /* waiter.message is on its way */
	bool stays;                 /* no newer backend takes its client */
	bool is_awake;              /* it has come: there is room for this one */
	int error;                  /* the last failure, a positive errno; 0: none yet */
	unsigned int unit_failures; /* of the unit, before this attempt */
	struct waiter waiter;
	struct candidate *chosen; /* already, for the round to come; NULL: none */
	size_t n;
	struct candidate candidates[]; /* all servers of the backend, or that of a probe */
};

/* ---- times ---- */

/* Nothing where nobody wants to know. */
static uint64_t now_us(const struct attempt_client *client)
{
	return client->is_timed ? clock_exact_us() : 0;
}

static unsigned int retries(const struct attempt *attempt)
{
	return attempt->n_tries > 0 ? attempt->n_tries - 1 : 0;
}

/* ---- failures ---- */

/* A shortage of our own says nothing of a server. */
static bool is_our_own(int error)
{
	switch (error) {
	case EADDRNOTAVAIL:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return true;
	default:
		return false;
	}
}

/* Nor does a queue that is full, as that of a UNIX socket: whoever has so many clients is up. */
static bool is_failure(int error)
{
	return !is_our_own(error) && error != EAGAIN;
}

/* What a backend that is still starting or a network that is still coming up look like. */
static bool may_pass(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case ENODEV:
	case ETIMEDOUT:
	case ENOENT: /* there is no such UNIX socket yet */
	case EAGAIN: /* the queue of a UNIX socket is full */
		return true;
	default:
		return is_our_own(error);
	}
}

static void note_failure(struct attempt *attempt, int error)
{
	attempt->error = error;
	attempt->unresolved = false;
	attempt->worth_retrying |= may_pass(error);
}

/* A machine that is still booting knows few names, so even one that does not exist may come. */
static void note_unresolved(struct attempt *attempt, int error)
{
	attempt->error = error;
	attempt->unresolved = true;
	attempt->worth_retrying |= error != ELOOP;
}

/* Of the last failure. */
static const char *words_of(const struct attempt *attempt)
{
	if (!attempt->unresolved)
		return strerror(attempt->error);
	switch (attempt->error) {
	case ELOOP:
		return "the name leads to a listener of ours";
	case ENOENT:
		return "the name does not resolve";
	case ENODEV:
		return "there is no such interface";
	default:
		return "the name does not resolve at the moment";
	}
}

/* ---- handshakes ---- */

static void socket_ready(evutil_socket_t fd, short what, void *arg);

/*
 * The handshake is under way, since @began_us; @fd is the attempt's from here on.  Without
 * a timer, the kernel's own patience bounds it.
 *
 * Returns 0, or -ENOMEM: the socket cannot be watched and is closed.
 */
static int handshake_new(struct candidate *candidate, const struct sfront_sockaddr *addr, int fd,
			 uint64_t began_us)
{
	struct handshake *handshake = calloc(1, sizeof(*handshake));
	struct attempt *attempt = candidate->attempt;

	if (!handshake)
		goto fail;
	event_assign(&handshake->ready, attempt->loop->base, fd,
		     (short)(dial_awaits(&candidate->server->dial) | EV_PERSIST), socket_ready,
		     handshake);
	if (event_add(&handshake->ready, NULL) < 0)
		goto fail;
	handshake->candidate = candidate;
	handshake->addr = *addr;
	handshake->began_us = began_us;
	handshake->older = attempt->handshakes;
	attempt->handshakes = handshake;
	attempt->n_handshakes++;
	candidate->n_handshakes++;
	return 0;

fail:
	free(handshake);
	close(fd);
	return -ENOMEM;
}

/* Ends @handshake, and leaves its socket to the caller. */
static int handshake_take(struct handshake *handshake)
{
	struct attempt *attempt = handshake->candidate->attempt;
	struct handshake **at = &attempt->handshakes;
	int fd = event_get_fd(&handshake->ready);

	event_del(&handshake->ready);
	while (*at != handshake)
		at = &(*at)->older;
	*at = handshake->older;
	attempt->n_handshakes--;
	handshake->candidate->n_handshakes--;
	free(handshake);
	return fd;
}

static void handshake_drop(struct handshake *handshake)
{
	close(handshake_take(handshake));
}

/* Of the candidate, but for those to addresses that are in @kept; NULL: all of them. */
static void drop_handshakes(struct candidate *candidate, const struct address_list *kept)
{
	struct handshake *handshake, *older;

	for (handshake = candidate->attempt->handshakes; handshake; handshake = older) {
		older = handshake->older;
		if (handshake->candidate == candidate &&
		    (!kept || address_list_find(kept, &handshake->addr) == kept->n))
			handshake_drop(handshake);
	}
}

static struct handshake *oldest_handshake(const struct attempt *attempt)
{
	struct handshake *handshake = attempt->handshakes;

	while (handshake->older)
		handshake = handshake->older;
	return handshake;
}

static bool is_under_way(const struct candidate *candidate, const struct sfront_sockaddr *addr)
{
	for (const struct handshake *h = candidate->attempt->handshakes; h; h = h->older)
		if (h->candidate == candidate && sfront_sockaddr_equal(&h->addr, addr))
			return true;
	return false;
}

/* ---- candidates ---- */

/* The only place where the state changes: what ends with the old one. */
static void candidate_enter(struct candidate *candidate, enum candidate_state state)
{
	candidate->state = state;
	candidate->due_ms = NEVER;
	if (state == CANDIDATE_TRYING) {
		candidate->n_begun = 0;
		if (!resolver_literal(candidate->server->resolver))
			candidate->due_ms = clock_ms() + DOUBT_MS;
		return;
	}
	drop_handshakes(candidate, NULL);
	address_list_unref(candidate->list);
	candidate->list = NULL;
	if (state == CANDIDATE_RESOLVING) {
		candidate->due_ms = clock_ms() + LOOKUP_PATIENCE_MS;
	} else if (candidate->is_counted) {
		candidate->is_counted = false;
		backend_leave(candidate->attempt->backend, candidate->server);
	}
}

static bool has_more(const struct candidate *candidate)
{
	return candidate->state == CANDIDATE_TRYING && candidate->n_begun < candidate->list->n;
}

static bool is_at_work(const struct candidate *candidate)
{
	return candidate->state == CANDIDATE_RESOLVING || has_more(candidate) ||
	       candidate->n_handshakes > 0;
}

static void count_failure(const struct server *server, enum server_count which)
{
	counters_add(server->counts, which, 1);
}

/* None of its addresses has answered; what failed last is known. */
static void candidate_fail(struct candidate *candidate)
{
	struct attempt *attempt = candidate->attempt;

	candidate_enter(candidate, CANDIDATE_FAILED);
	if (!attempt->unresolved && !is_failure(attempt->error))
		return;
	if (attempt->is_probe) {
		backend_note_failed_check(attempt->backend, candidate->server, words_of(attempt));
		return;
	}
	count_failure(candidate->server,
		      attempt->unresolved ? SERVER_FAILED_NAME : server_count_of(attempt->error));
	backend_note_failure(attempt->backend, candidate->server, words_of(attempt));
}

/* ---- the attempt ---- */

/* Whether there is another backend now, with servers that may be better. */
static bool has_to_move(const struct attempt *attempt)
{
	return backend_is_replaced(attempt->backend) && !attempt->stays && !attempt->is_probe;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void set_timer(struct attempt *attempt)
{
	uint64_t now = clock_ms(), due = earlier(attempt->deadline_ms, attempt->next_ms);
	struct timeval tv;

	for (size_t i = 0; i < attempt->n; i++)
		due = earlier(due, attempt->candidates[i].due_ms);
	tv = timeval_from_ms(earlier(due > now ? due - now : 0, TIMER_MAX_MS));
	(void)event_add(&attempt->timer, &tv);
}

static void leave_queue(struct attempt *attempt)
{
	bool is_off = waitlist_leave(backend_waitlist(attempt->backend), &attempt->waiter);

	attempt->is_told = !is_off && !attempt->is_awake;
	attempt->is_awake = false;
}

/* Goes on in @state, which goes on by itself at @next_ms. */
static void enter(struct attempt *attempt, enum connect_state state, uint64_t next_ms)
{
	bool was_queued = attempt->state == CONNECT_QUEUED;

	attempt->state = state;
	attempt->next_ms = next_ms;
	if (was_queued && state != CONNECT_QUEUED)
		leave_queue(attempt);
	if (state != CONNECT_RESOLVING && state != CONNECT_TRYING)
		for (size_t i = 0; i < attempt->n; i++)
			candidate_enter(&attempt->candidates[i], CANDIDATE_UNTRIED);
	if (state == CONNECT_ENDED)
		event_del(&attempt->timer);
	else
		set_timer(attempt);
}

static void attempt_free(struct attempt *attempt)
{
	backend_unref(attempt->backend);
	free(attempt);
}

/* Takes back what was asked.  Returns whether nothing is on its way. */
static bool hush(struct attempt *attempt)
{
	bool quiet = !attempt->is_told;

	for (size_t i = 0; i < attempt->n; i++) {
		struct candidate *candidate = &attempt->candidates[i];

		if (candidate->is_asking &&
		    resolver_cancel(candidate->server->resolver, &candidate->wait))
			candidate->is_asking = false;
		quiet &= !candidate->is_asking;
	}
	return quiet;
}

static void attempt_end(struct attempt *attempt)
{
	enter(attempt, CONNECT_ENDED, NEVER);
	if (attempt->is_client)
		backend_client_goes(attempt->backend);
	attempt->is_client = false;
	if (hush(attempt))
		attempt_free(attempt);
}

void attempt_cancel(struct attempt *attempt)
{
	if (attempt)
		attempt_end(attempt);
}

enum connect_state attempt_state(const struct attempt *attempt)
{
	return attempt->state;
}

/* @r: of the socket @fd to @addr, see dial_is_connected(), which was begun with at @began_us */
static void succeed(struct candidate *candidate, const struct sfront_sockaddr *addr, int fd, int r,
		    uint64_t began_us)
{
	struct attempt *attempt = candidate->attempt;
	const struct outcome outcome = {
		.fd = fd,
		.error = -r,
		.server = candidate->server,
		.queued_us = began_us - attempt->began_us,
		.connect_us = now_us(&attempt->client) - began_us,
		.retries = retries(attempt),
	};
	struct backend *backend = backend_ref(attempt->backend); /* until @done has its own */
	attempt_done *done = attempt->done;
	void *arg = attempt->arg;

	if (!attempt->is_probe)
		backend_note_answer(attempt->backend, candidate->server,
				    candidate->list->n > 1 ? addr : NULL);
	else if (candidate->list->n > 1)
		server_note_address(candidate->server, addr);
	candidate->is_counted = false; /* the receiver's from now on */
	attempt->is_client = false;
	attempt_end(attempt);
	done(arg, &outcome);
	backend_unref(backend);
}

/* The unit that has not come up; NULL: it is not for that. */
static struct unit *missing_unit(const struct attempt *attempt)
{
	struct unit *unit = attempt->is_probe ? NULL : backend_unit(attempt->backend);

	return unit && !unit_is_up(unit) ? unit : NULL;
}

/* Whether the unit has failed since the attempt began, or will not be tried within its time. */
static bool has_unit_failed(const struct attempt *attempt)
{
	struct unit *unit = missing_unit(attempt);

	return unit && (unit_failures(unit) != attempt->unit_failures ||
			unit_is_hopeless_until(unit, attempt->deadline_ms));
}

static void format_unit(const struct attempt *attempt, struct unit *unit, char *buf, size_t size)
{
	if (has_unit_failed(attempt))
		unit_format_failure(unit, buf, size);
	else
		snprintf(buf, size, "unit %s was not up within connect-timeout", unit_name(unit));
}

static void give_up(struct attempt *attempt)
{
	bool is_unit = attempt->state == CONNECT_QUEUED || has_unit_failed(attempt);
	struct unit *unit = is_unit ? missing_unit(attempt) : NULL;
	attempt_done *done = attempt->done;
	void *arg = attempt->arg;
	struct outcome outcome = { .fd = -1, .retries = retries(attempt) };
	char reason[UNIT_NAME_SIZE + UNIT_REASON_SIZE + 64];

	outcome.reason = reason;
	if (unit)
		format_unit(attempt, unit, reason, sizeof(reason));
	else if (attempt->is_full && backend_owes_check(attempt->backend))
		snprintf(reason, sizeof(reason), "no server has passed a check");
	else if (attempt->is_full)
		snprintf(reason, sizeof(reason), "every server is full");
	else if (attempt->error == 0)
		snprintf(reason, sizeof(reason), "connect timeout");
	else
		snprintf(reason, sizeof(reason), "connect failed: %s", words_of(attempt));
	attempt_end(attempt);
	done(arg, &outcome);
}

static bool is_anybody_at_work(const struct attempt *attempt)
{
	for (size_t i = 0; i < attempt->n; i++)
		if (is_at_work(&attempt->candidates[i]))
			return true;
	return false;
}

static bool any_failed(const struct attempt *attempt)
{
	for (size_t i = 0; i < attempt->n; i++)
		if (attempt->candidates[i].state == CANDIDATE_FAILED)
			return true;
	return false;
}

/* Room may come, and what has failed may pass. */
static bool is_worth_another_round(const struct attempt *attempt)
{
	bool retries = !attempt->is_probe && backend_settings(attempt->backend)->connect_retry;

	return attempt->is_full || attempt->awaits_servers || (attempt->worth_retrying && retries);
}

/* The round has failed. */
static void wait_and_retry(struct attempt *attempt)
{
	uint64_t now = clock_ms();

	if (!is_worth_another_round(attempt) || now >= attempt->deadline_ms) {
		give_up(attempt);
		return;
	}
	if (attempt->error != 0)
		backend_note_outage(attempt->backend, words_of(attempt));
	enter(attempt, CONNECT_WAITING, now + attempt->backoff_ms);
	attempt->backoff_ms = (unsigned int)earlier(2 * attempt->backoff_ms, BACKOFF_MAX_MS);
}

static void wait_for_room(struct attempt *attempt)
{
	struct waitlist *list = backend_waitlist(attempt->backend);

	if (attempt->is_awake) { /* somebody else has taken it */
		attempt->is_awake = false;
		waitlist_stay(list);
		return;
	}
	enter(attempt, CONNECT_QUEUED, NEVER);
	waitlist_join(list, &attempt->waiter);
}

/* Nothing is left to be tried, and nothing under way. */
static void round_over(struct attempt *attempt)
{
	if (has_unit_failed(attempt))
		give_up(attempt);
	else if (attempt->is_full && !any_failed(attempt))
		wait_for_room(attempt);
	else
		wait_and_retry(attempt);
}

/* ---- one address after the other ---- */

enum begun { BEGUN, ALL_FAILED, ANSWERED };

/* What answered last comes first, then the others in the resolver's order. */
static const struct sfront_sockaddr *nth_address(const struct candidate *candidate, unsigned int n)
{
	if (n == 0)
		n = candidate->preferred;
	else if (n <= candidate->preferred)
		n--;
	return &candidate->list->addresses[n];
}

static void make_room(struct attempt *attempt)
{
	while (attempt->n_handshakes >= MAX_HANDSHAKES) {
		handshake_drop(oldest_handshake(attempt));
		note_failure(attempt, ETIMEDOUT);
	}
}

/*
 * Begins with the next address of the candidate; those that fail at once are passed over.
 * ANSWERED: the attempt is over.
 */
static enum begun begin_address(struct candidate *candidate)
{
	struct attempt *attempt = candidate->attempt;

	while (has_more(candidate)) {
		const struct sfront_sockaddr *addr = nth_address(candidate, candidate->n_begun++);
		uint64_t began_us = now_us(&attempt->client);
		int fd = -1, r;

		if (is_under_way(candidate, addr))
			continue;
		make_room(attempt);
		attempt->n_tries++;
		attempt_story_tries(attempt->client.id, candidate->server, addr);
		r = dial(&candidate->server->dial, &attempt->client.addr, addr, &fd);
		if (dial_is_connected(r)) {
			succeed(candidate, addr, fd, r, began_us);
			return ANSWERED;
		}
		if (r == -EINPROGRESS)
			r = handshake_new(candidate, addr, fd, began_us);
		if (r == 0)
			return BEGUN;
		attempt_story_failed(attempt->client.id, candidate->server, addr, -r);
		note_failure(attempt, -r);
	}
	return candidate->n_handshakes > 0 ? BEGUN : ALL_FAILED;
}

/* Takes the reference. */
static void use_list(struct candidate *candidate, struct address_list *list)
{
	candidate_enter(candidate, CANDIDATE_TRYING);
	candidate->list = list;
	if (!resolver_literal(candidate->server->resolver))
		attempt_story_resolved(candidate->attempt->client.id, candidate->server, list);
	candidate->preferred = server_preferred(candidate->server, list);
}

/*
 * Returns addresses that are no older than that, a reference of the caller's; or NULL:
 * addresses_arrived() will be called.
 */
static struct address_list *ask(struct candidate *candidate, uint64_t max_age_ms)
{
	struct address_list *list;

	if (candidate->is_asking)
		return NULL;
	list = resolver_ask(candidate->server->resolver, max_age_ms, &candidate->wait);
	candidate->is_asking = !list;
	return list;
}

/* Goes on with the candidate, or begins with it. */
static enum begun begin(struct candidate *candidate)
{
	const struct backend_settings *settings = backend_settings(candidate->attempt->backend);
	bool has_failed = candidate->attempt->backoff_ms > BACKOFF_MIN_MS;
	struct address_list *list;

	if (candidate->state == CANDIDATE_UNTRIED) {
		list = ask(candidate, has_failed ? earlier(DOUBT_MS, settings->resolve_interval_ms)
						 : settings->resolve_interval_ms);
		if (!list) {
			candidate_enter(candidate, CANDIDATE_RESOLVING);
			return BEGUN;
		}
		use_list(candidate, list);
	}
	return begin_address(candidate);
}

/* ---- one server after the other ---- */

/* Something has failed for good, and nothing is under way. */
static bool is_about_to_give_up(const struct attempt *attempt)
{
	return any_failed(attempt) && !is_anybody_at_work(attempt) &&
	       !is_worth_another_round(attempt);
}

static struct candidate *candidate_of(struct attempt *attempt, const struct server *server)
{
	return &attempt->candidates[server - backend_server(attempt->backend, 0)];
}

/* One that this round has not tried; NULL: none may be had. */
static struct candidate *choose_server(struct attempt *attempt)
{
	struct candidate *candidate = attempt->chosen;
	struct unit *unit = backend_unit(attempt->backend);
	struct visited visited;
	struct server *server;

	attempt->chosen = NULL;
	if (candidate || attempt->is_probe)
		return candidate;
	if ((unit && !unit_is_up_for_client(unit)) ||
	    (!attempt->is_awake && backend_has_queue(attempt->backend))) {
		attempt->is_full = true;
		return NULL;
	}
	for (size_t i = 0; i < attempt->n; i++)
		visited.tried[i] = attempt->candidates[i].state != CANDIDATE_UNTRIED;
	visited.is_last_chance = is_about_to_give_up(attempt);
	server = backend_choose(attempt->backend, &visited, attempt->client.source,
				&attempt->is_full);
	if (!server)
		return NULL;
	candidate = candidate_of(attempt, server);
	candidate->is_counted = true;
	return candidate;
}

/* Of those that have been begun with, the one of which the fewest addresses were. */
static struct candidate *one_with_more(struct attempt *attempt)
{
	struct candidate *least = NULL;

	for (size_t i = 0; i < attempt->n; i++) {
		struct candidate *candidate = &attempt->candidates[i];

		if (has_more(candidate) && (!least || candidate->n_begun < least->n_begun))
			least = candidate;
	}
	return least;
}

/*
 * An address that has failed makes room for the next one of its server; one that is silent,
 * for another server.
 */
static struct candidate *next_candidate(struct attempt *attempt, struct candidate *failed)
{
	struct candidate *candidate;

	if (failed && has_more(failed))
		return failed;
	candidate = choose_server(attempt);
	return candidate ? candidate : one_with_more(attempt);
}

static void fail_those_done(struct attempt *attempt)
{
	for (size_t i = 0; i < attempt->n; i++)
		if (attempt->candidates[i].state == CANDIDATE_TRYING &&
		    !is_at_work(&attempt->candidates[i]))
			candidate_fail(&attempt->candidates[i]);
}

/* Some address is under way, or a look-up: it has a head start. */
static void go_on_with_others_later(struct attempt *attempt)
{
	bool is_last = attempt->n == 1 && !one_with_more(attempt);

	enter(attempt, attempt->n_handshakes > 0 ? CONNECT_TRYING : CONNECT_RESOLVING,
	      is_last ? NEVER : clock_ms() + HEAD_START_MS);
}

/* While another server that is up will have room: its queue is the better place to wait. */
static bool waits_for_those_down(const struct attempt *attempt)
{
	for (size_t i = 0; i < attempt->n; i++)
		if (is_at_work(&attempt->candidates[i]) &&
		    server_is_up(attempt->candidates[i].server))
			return false;
	return backend_has_one_up(attempt->backend);
}

/* Another server may have room before one of these answers. */
static void wait_for_those_at_work(struct attempt *attempt)
{
	attempt->next_ms = attempt->is_full ? clock_ms() + HEAD_START_MS : NEVER;
	set_timer(attempt);
}

/* Begins with one address more.  May free the attempt. */
static void try_next(struct attempt *attempt, struct candidate *failed)
{
	struct candidate *candidate;

	fail_those_done(attempt);
	while ((candidate = next_candidate(attempt, failed))) {
		switch (begin(candidate)) {
		case BEGUN:
			go_on_with_others_later(attempt);
			return;
		case ANSWERED:
			return;
		case ALL_FAILED:
			candidate_fail(candidate);
			break;
		}
	}
	if (!is_anybody_at_work(attempt))
		round_over(attempt);
	else if (attempt->is_full && waits_for_those_down(attempt))
		wait_for_room(attempt);
	else
		wait_for_those_at_work(attempt);
}

static void move(struct attempt *attempt)
{
	const struct outcome outcome = {
		.fd = -1,
		.is_moved = true,
		.moved = { .deadline_ms = attempt->deadline_ms,
			   .arrived = attempt->waiter.arrived,
			   .began_us = attempt->began_us,
			   .n_tries = attempt->n_tries },
	};
	attempt_done *done = attempt->done;
	void *arg = attempt->arg;

	attempt_end(attempt);
	done(arg, &outcome);
}

static bool is_anybody_left(const struct attempt *attempt)
{
	for (size_t i = 0; i < attempt->n; i++)
		if (is_at_work(&attempt->candidates[i]) &&
		    !atomic_load(&attempt->candidates[i].server->is_gone))
			return true;
	return false;
}

/* The queue is told one by one: see has_room(). */
void attempt_follow(struct attempt *attempt)
{
	if (has_to_move(attempt) && attempt->state != CONNECT_QUEUED && !is_anybody_left(attempt))
		move(attempt);
}

/* Begins a round over all servers.  May free the attempt. */
static void begin_round(struct attempt *attempt)
{
	if (has_to_move(attempt)) {
		move(attempt);
		return;
	}
	attempt->worth_retrying = false;
	attempt->awaits_servers = false;
	attempt->is_full = false;
	try_next(attempt, NULL);
}

/* No client waits for one that leaves another waiting. */
static void head_start_is_over(struct attempt *attempt)
{
	for (size_t i = 0; i < attempt->n && attempt->n > 1; i++)
		if (attempt->candidates[i].n_handshakes > 0)
			backend_note_silence(attempt->backend, attempt->candidates[i].server);
	try_next(attempt, NULL);
}

static void socket_ready(evutil_socket_t fd, short what, void *arg)
{
	struct handshake *handshake = arg;
	struct candidate *candidate = handshake->candidate;
	struct sfront_sockaddr addr = handshake->addr;
	uint64_t began_us = handshake->began_us;
	int r = dial_result(&candidate->server->dial, &addr, fd, &handshake->answer);

	(void)what;
	if (r == -EINPROGRESS)
		return;
	if (dial_is_connected(r)) {
		succeed(candidate, &addr, handshake_take(handshake), r, began_us);
		return;
	}
	handshake_drop(handshake);
	attempt_story_failed(candidate->attempt->client.id, candidate->server, &addr, -r);
	note_failure(candidate->attempt, -r);
	try_next(candidate->attempt, candidate);
}

/* ---- addresses ---- */

/* Takes the reference; may free the attempt. */
static void try_list(struct candidate *candidate, struct address_list *list)
{
	struct attempt *attempt = candidate->attempt;

	use_list(candidate, list);
	switch (begin_address(candidate)) {
	case BEGUN:
		go_on_with_others_later(attempt);
		break;
	case ANSWERED:
		break;
	case ALL_FAILED:
		try_next(attempt, NULL);
		break;
	}
}

/*
 * The addresses while some are being tried: what is no longer among them is left, what is
 * new is tried.  Takes the reference; may free the attempt.
 */
static void update_list(struct candidate *candidate, struct address_list *list)
{
	if (address_list_equal(list, candidate->list)) {
		address_list_unref(list);
		set_timer(candidate->attempt);
		return;
	}
	drop_handshakes(candidate, list);
	address_list_unref(candidate->list);
	try_list(candidate, list);
}

static void has_no_address(struct candidate *candidate, int error)
{
	if (error == EINPROGRESS) { /* there will be another backend in a moment */
		candidate->attempt->awaits_servers = !candidate->attempt->is_probe;
		candidate_enter(candidate, CANDIDATE_FAILED);
	} else {
		note_unresolved(candidate->attempt, error);
		candidate_fail(candidate);
	}
	try_next(candidate->attempt, NULL);
}

/* The answer takes its time: an older one does too, and the new one is used when it comes. */
static void answer_is_late(struct candidate *candidate)
{
	struct address_list *last = resolver_last(candidate->server->resolver);

	if (last) {
		try_list(candidate, last);
		return;
	}
	candidate->due_ms = NEVER;
	set_timer(candidate->attempt);
}

static void ask_again(struct candidate *candidate)
{
	struct address_list *list = ask(candidate, DOUBT_MS);

	candidate->due_ms = clock_ms() + DOUBT_MS;
	if (list)
		update_list(candidate, list);
	else
		set_timer(candidate->attempt);
}

/* @list: NULL: there are none.  Takes the reference; may free the attempt. */
static void use_answer(struct candidate *candidate, struct address_list *list, int error)
{
	if (candidate->state == CANDIDATE_UNTRIED || candidate->state == CANDIDATE_FAILED)
		address_list_unref(list); /* the next round asks again */
	else if (!list)
		has_no_address(candidate, error);
	else if (candidate->state == CANDIDATE_TRYING)
		update_list(candidate, list);
	else
		try_list(candidate, list);
}

static void free_when_quiet(struct attempt *attempt)
{
	if (hush(attempt))
		attempt_free(attempt);
}

static void addresses_arrived(struct message *message)
{
	struct resolver_wait *wait = message_owner(message, struct resolver_wait, message);
	struct candidate *candidate = message_owner(wait, struct candidate, wait);

	candidate->is_asking = false;
	if (candidate->attempt->state == CONNECT_ENDED) {
		address_list_unref(wait->list);
		free_when_quiet(candidate->attempt);
	} else {
		use_answer(candidate, wait->list, -wait->error);
	}
}

/* ---- room ---- */

static bool has_room(void *data)
{
	const struct attempt *attempt = data;

	return has_to_move(attempt) || backend_has_room(attempt->backend) ||
	       has_unit_failed(attempt);
}

static void room_found(struct message *message)
{
	struct waiter *waiter = message_owner(message, struct waiter, message);
	struct attempt *attempt = message_owner(waiter, struct attempt, waiter);

	if (attempt->state == CONNECT_QUEUED) {
		attempt->is_awake = true;
		begin_round(attempt);
		return;
	}
	attempt->is_told = false;
	if (attempt->state == CONNECT_ENDED)
		free_when_quiet(attempt);
}

/* ---- time ---- */

/* What has not answered so far has failed. */
static void note_unanswered(struct attempt *attempt)
{
	for (size_t i = 0; i < attempt->n; i++) {
		struct candidate *candidate = &attempt->candidates[i];

		if (candidate->n_handshakes == 0)
			continue;
		if (attempt->is_probe) {
			backend_note_failed_check(attempt->backend, candidate->server,
						  "it does not answer");
			continue;
		}
		backend_note_silence(attempt->backend, candidate->server);
		count_failure(candidate->server, SERVER_FAILED_TIMEOUT);
		backend_note_failure(attempt->backend, candidate->server, "it does not answer");
	}
}

static void time_is_up(struct attempt *attempt)
{
	note_unanswered(attempt);
	if (attempt->state == CONNECT_RESOLVING)
		note_unresolved(attempt, EAGAIN);
	else if (attempt->state == CONNECT_TRYING)
		attempt->error = 0;
	attempt->is_full = attempt->state == CONNECT_QUEUED;
	give_up(attempt);
}

static void go_on(struct attempt *attempt)
{
	switch (attempt->state) {
	case CONNECT_WAITING:
		begin_round(attempt);
		break;
	case CONNECT_RESOLVING:
	case CONNECT_TRYING:
		head_start_is_over(attempt);
		break;
	case CONNECT_QUEUED:
	case CONNECT_ENDED:
		break;
	}
}

static struct candidate *one_due(struct attempt *attempt, uint64_t now)
{
	for (size_t i = 0; i < attempt->n; i++)
		if (now >= attempt->candidates[i].due_ms)
			return &attempt->candidates[i];
	return NULL;
}

static void timer_fired(evutil_socket_t unused, short what, void *arg)
{
	struct attempt *attempt = arg;
	uint64_t now = clock_ms();
	struct candidate *due = one_due(attempt, now);

	(void)unused;
	(void)what;
	if (now >= attempt->deadline_ms)
		time_is_up(attempt);
	else if (now >= attempt->next_ms)
		go_on(attempt);
	else if (!due)
		set_timer(attempt);
	else if (due->state == CANDIDATE_RESOLVING)
		answer_is_late(due);
	else
		ask_again(due);
}

/* ---- the beginning ---- */

static void candidate_init(struct candidate *candidate, struct attempt *attempt,
			   struct server *server)
{
	*candidate = (struct candidate){
		.attempt = attempt,
		.server = server,
		.due_ms = NEVER,
		.wait = { .mailbox = &attempt->loop->mailbox,
			  .message.deliver = addresses_arrived },
	};
}

/*
 * From here to its end the timer is pending, whatever it waits for: to set one anew
 * takes no memory, and so cannot fail.
 *
 * @n: how many candidates there will be; they are the caller's to fill in
 */
static struct attempt *attempt_new(struct loop *loop, struct backend *backend, size_t n,
				   uint64_t timeout_ms, attempt_done *done, void *arg)
{
	static atomic_ullong n_attempts;
	struct attempt *attempt = malloc(sizeof(*attempt) + n * sizeof(*attempt->candidates));
	uint64_t now = clock_ms();

	if (!attempt)
		return NULL;
	*attempt = (struct attempt){
		.loop = loop,
		.backend = backend_ref(backend),
		.done = done,
		.arg = arg,
		.next_ms = now,
		.backoff_ms = BACKOFF_MIN_MS,
		.deadline_ms = clock_sum_ms(now, timeout_ms),
		.waiter = { .arrived = atomic_fetch_add(&n_attempts, 1),
			    .mailbox = &loop->mailbox,
			    .message.deliver = room_found,
			    .has_room = has_room,
			    .data = attempt },
		.n = n,
	};
	for (size_t i = 0; i < n; i++)
		candidate_init(&attempt->candidates[i], attempt, backend_server(backend, i));
	event_assign(&attempt->timer, loop->base, -1, 0, timer_fired, attempt);
	if (event_add(&attempt->timer, &(struct timeval){ 0 }) == 0)
		return attempt;
	attempt_free(attempt);
	return NULL;
}

/*
 * Goes on with a literal address that did not answer at once: with its socket, or with
 * its failure, which is told from the loop, since the caller is not ready for it.
 */
static void await_literal(struct candidate *candidate, struct address_list *list, int fd, int r)
{
	struct attempt *attempt = candidate->attempt;

	use_list(candidate, address_list_ref(list));
	candidate->n_begun = 1;
	attempt->n_tries = 1;
	if (r == -EINPROGRESS)
		r = handshake_new(candidate, &list->addresses[0], fd, attempt->began_us);
	if (r == 0) {
		go_on_with_others_later(attempt);
		return;
	}
	attempt_story_failed(attempt->client.id, candidate->server, &list->addresses[0], -r);
	note_failure(attempt, -r);
	enter(attempt, CONNECT_TRYING, clock_ms());
}

/* The server that was chosen, and how far that has come. */
static void await(struct attempt *attempt, struct server *server, int fd, int r)
{
	struct candidate *candidate = candidate_of(attempt, server);
	struct address_list *list = resolver_literal(server->resolver);

	candidate->is_counted = true;
	if (list)
		await_literal(candidate, list, fd, r);
	else
		attempt->chosen = candidate;
}

/* Of its unit, before the client has come to it. */
static unsigned int failures_before(const struct backend *backend)
{
	struct unit *unit = backend_unit(backend);

	return unit ? unit_failures(unit) : 0;
}

/* The backend has counted it; it came at @began_us. */
static void note_client(struct attempt *attempt, const struct attempt_client *client,
			uint64_t began_us, unsigned int failures)
{
	attempt->began_us = began_us;
	attempt->is_client = true;
	attempt->unit_failures = failures;
	attempt->client = *client;
}

/* What a client that has just come gets without waiting. */
struct first_try {
	uint64_t began_us;
	unsigned int failures; /* of the unit, before it came */
	struct server *server; /* that was chosen, and counts it; NULL: none yet */
	int fd, r; /* as dial() has them; without a literal address, as if it had begun */
};

static struct server *choose_first(struct backend *backend, const struct attempt_client *client)
{
	bool is_full, may_go = backend_client_comes(backend) && !backend_has_queue(backend);

	return may_go ? backend_choose(backend, NULL, client->source, &is_full) : NULL;
}

static struct first_try try_first(struct backend *backend, const struct attempt_client *client)
{
	struct first_try first = { .began_us = now_us(client), .fd = -1, .r = -EINPROGRESS };
	struct address_list *list;

	first.failures = failures_before(backend);
	first.server = choose_first(backend, client);
	list = first.server ? resolver_literal(first.server->resolver) : NULL;
	if (list) {
		attempt_story_tries(client->id, first.server, &list->addresses[0]);
		first.r = dial(&first.server->dial, &client->addr, &list->addresses[0], &first.fd);
	}
	return first;
}

static void take_back(const struct first_try *first, struct backend *backend)
{
	if (first->fd >= 0)
		close(first->fd);
	if (first->server)
		backend_leave(backend, first->server);
	backend_client_goes(backend);
}

/* It was enough. */
static struct outcome outcome_of(const struct first_try *first, struct backend *backend,
				 const struct attempt_client *client)
{
	backend_note_answer(backend, first->server, NULL);
	return (struct outcome){ .fd = first->fd,
				 .error = -first->r,
				 .server = first->server,
				 .connect_us = now_us(client) - first->began_us };
}

/* It was not: from here on it is the attempt's. */
static void go_on_from(struct attempt *attempt, const struct first_try *first,
		       const struct attempt_client *client)
{
	note_client(attempt, client, first->began_us, first->failures);
	if (first->server)
		await(attempt, first->server, first->fd, first->r);
}

int attempt_start(struct loop *loop, struct backend *backend, const struct attempt_client *client,
		  attempt_done *done, void *arg, struct attempt **ret_attempt,
		  struct outcome *ret_outcome)
{
	struct first_try first = try_first(backend, client);
	struct attempt *attempt;

	if (dial_is_connected(first.r)) {
		*ret_outcome = outcome_of(&first, backend, client);
		return 0;
	}
	attempt = attempt_new(loop, backend, backend_n_servers(backend),
			      backend_settings(backend)->connect_timeout_ms, done, arg);
	if (!attempt) {
		take_back(&first, backend);
		return -ENOMEM;
	}
	go_on_from(attempt, &first, client);
	*ret_attempt = attempt;
	return -EINPROGRESS;
}

struct attempt *attempt_resume(struct loop *loop, struct backend *backend,
			       const struct attempt_client *client, const struct outcome *outcome,
			       attempt_done *done, void *arg)
{
	struct attempt *attempt =
		attempt_new(loop, backend, backend_n_servers(backend), NEVER, done, arg);
	unsigned int failures;

	if (!attempt)
		return NULL;
	failures = failures_before(backend);
	(void)backend_client_comes(backend);
	note_client(attempt, client, outcome->moved.began_us, failures);
	attempt->n_tries = outcome->moved.n_tries;
	attempt->deadline_ms = outcome->moved.deadline_ms;
	attempt->waiter.arrived = outcome->moved.arrived;
	attempt->stays = backend_is_replaced(backend);
	return attempt;
}

struct attempt *attempt_probe(struct loop *loop, struct backend *backend, struct server *server,
			      uint64_t timeout_ms, attempt_done *done, void *arg)
{
	struct attempt *attempt = attempt_new(loop, backend, 1, timeout_ms, done, arg);

	if (!attempt)
		return NULL;
	attempt->is_probe = true;
	attempt->chosen = &attempt->candidates[0];
	attempt->candidates[0].server = server;
	return attempt;
}
