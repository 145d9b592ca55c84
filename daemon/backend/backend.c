/* SPDX-License-Identifier: MIT */
/*
 * What a backend is: see backend.h.  Between connect.c, which asks for one server after the
 * other, and the policies of balance.h.
 */
#include "daemon/backend/backend.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/backend/balance.h"
#include "daemon/backend/dial_source.h"
#include "daemon/backend/server_counts.h"
#include "daemon/backend/server_watch.h"
#include "daemon/backend/unit.h"
#include "daemon/base/log.h"

struct backend {
	atomic_uint refs;
	char *text; /* owned */
	struct backend_settings settings;
	struct loop_guard *guard;   /* a reference */
	struct dial_source *source; /* owned; NULL: the system chooses whence */
	struct log_limit silence;   /* of what the log hears of that */
	atomic_bool is_replaced;
	atomic_bool is_silent;     /* the log has heard that nobody answers */
	struct waitlist *waitlist; /* a reference */
	struct unit *unit;         /* a reference; NULL: there is none */
	struct unit_queue queue;   /* while there is a unit */
	bool has_max;              /* one of the servers has a limit */
	bool is_checked;           /* active checks are configured */
	bool is_simple;            /* one server, which gets its clients whatever its health */
	struct balancer balancer;
	backend_server_fails *tell;
	void (*gone)(void *data);
	void *tell_data;
	size_t n;
	struct server servers[];
};

/* ---- its life ---- */

/* Returns 0 or -ENOMEM. */
static int set_text(struct backend *backend)
{
	const char *first = backend->servers[0].text;

	if (backend->n == 1)
		backend->text = strdup(first);
	else if (asprintf(&backend->text, "%s and %zu more", first, backend->n - 1) < 0)
		backend->text = NULL;
	return backend->text ? 0 : -ENOMEM;
}

static int choose_source(struct backend *backend, const struct backend_source *config,
			 struct sfront_error *err)
{
	if (config->n == 0 && !config->is_client)
		return 0;
	backend->source = dial_source_new(config, err);
	return backend->source ? 0 : -errno;
}

static int init_servers(struct backend *backend, const struct proxy_config *config,
			struct sfront_error *err)
{
	const struct dial_options dial = {
		.nodelay = config->backend_nodelay,
		.keepalive = config->backend_keepalive,
		.user_timeout_ms = config->backend_user_timeout_ms,
		.guard = backend->guard,
		.source = backend->source,
	};
	int r = 0;

	for (size_t i = 0; i < config->n_servers && r == 0; i++) {
		r = server_init(&backend->servers[i], &config->servers[i], &dial,
				backend_trusts_checks(backend), backend->guard, err);
		backend->servers[i].backend = backend;
		if (r == 0 && config->is_counted)
			backend->servers[i].counts =
				server_counts_get(config->name, backend->servers[i].text);
		backend->n++;
		backend->has_max |= config->servers[i].max > 0;
	}
	return r;
}

/* Returns 0 or -ENOMEM. */
static int copy_check(struct backend *backend, const struct check_config *config)
{
	struct check_config *check = &backend->settings.check;
	int r;

	*check = *config;
	check->send = check->expect.bytes = (struct bytes){ 0 };
	r = bytes_copy(&config->send, &check->send);
	return r < 0 ? r : bytes_copy(&config->expect.bytes, &check->expect.bytes);
}

static int fill(struct backend *backend, const struct proxy_config *config,
		struct sfront_error *err)
{
	int r = copy_check(backend, &config->check);

	backend->is_checked =
		config->check.expect.bytes.data || config->check.interval_ms != SFRONT_INFINITY_MS;
	backend->is_simple = config->n_servers == 1 && !config->check.expect.bytes.data;
	if (r == 0)
		r = choose_source(backend, &config->backend_source, err);
	if (r == 0)
		r = init_servers(backend, config, err);
	if (r == 0)
		r = set_text(backend);
	return r < 0 ? r : balancer_init(&backend->balancer, backend->servers, backend->n);
}

struct backend *backend_new(const struct proxy_config *config, struct loop_guard *guard,
			    struct sfront_error *err)
{
	struct backend *backend =
		calloc(1, sizeof(*backend) + config->n_servers * sizeof(*backend->servers));
	int r;

	snprintf(err->message, sizeof(err->message), "out of memory");
	if (!backend)
		return NULL;
	atomic_init(&backend->refs, 1);
	backend->settings = (struct backend_settings){
		.connect_timeout_ms = config->connect_timeout_ms,
		.connect_retry = config->connect_retry,
		.resolve_interval_ms = config->resolve_interval_ms,
		.balance = config->balance,
		.closes_when_down = config->closes_when_down,
		.send_proxy_protocol = config->send_proxy_protocol,
	};
	backend->guard = loop_guard_ref(guard);
	backend->waitlist = waitlist_new();
	r = backend->waitlist ? fill(backend, config, err) : -ENOMEM;
	if (r == 0)
		return backend;
	backend_unref(backend);
	errno = -r;
	return NULL;
}

struct backend *backend_ref(struct backend *backend)
{
	atomic_fetch_add(&backend->refs, 1);
	return backend;
}

void backend_unref(struct backend *backend)
{
	if (!backend || atomic_fetch_sub(&backend->refs, 1) != 1)
		return;
	if (backend->unit)
		unit_remove_queue(backend->unit, &backend->queue);
	unit_unref(backend->unit);
	if (backend->gone)
		backend->gone(backend->tell_data);
	for (size_t i = 0; i < backend->n; i++)
		server_clear(&backend->servers[i]);
	balancer_clear(&backend->balancer);
	bytes_clear(&backend->settings.check.send);
	bytes_clear(&backend->settings.check.expect.bytes);
	waitlist_unref(backend->waitlist);
	loop_guard_unref(backend->guard);
	dial_source_free(backend->source);
	free(backend->text);
	free(backend);
}

void backend_set_unit(struct backend *backend, struct unit *unit)
{
	backend->unit = unit;
	unit_add_queue(unit, &backend->queue, backend->waitlist);
}

struct unit *backend_unit(const struct backend *backend)
{
	return backend->unit;
}

static const struct server *find_server(const struct backend *backend, const struct server *like)
{
	for (size_t i = 0; i < backend->n; i++)
		if (strcmp(backend->servers[i].text, like->text) == 0)
			return &backend->servers[i];
	return NULL;
}

void backend_share(struct backend *backend, const struct backend *before)
{
	for (size_t i = 0; i < backend->n; i++) {
		const struct server *same = find_server(before, &backend->servers[i]);

		if (same)
			server_share(&backend->servers[i], same);
	}
	if (backend->unit) {
		unit_remove_queue(backend->unit, &backend->queue);
		unit_add_queue(backend->unit, &backend->queue, before->waitlist);
	}
	waitlist_ref(before->waitlist);
	waitlist_unref(backend->waitlist);
	backend->waitlist = before->waitlist;
	/* More may be allowed now, to those as well who came before. */
	waitlist_wake(backend->waitlist);
}

void backend_be_replaced(struct backend *backend, const struct backend *next)
{
	for (size_t i = 0; i < backend->n; i++)
		if (!find_server(next, &backend->servers[i]))
			atomic_store(&backend->servers[i].is_gone, true);
	atomic_store(&backend->is_replaced, true);
	waitlist_wake(backend->waitlist);
	server_watch_tell();
}

bool backend_is_replaced(const struct backend *backend)
{
	return atomic_load_explicit(&backend->is_replaced, memory_order_acquire);
}

const char *backend_text(const struct backend *backend)
{
	return backend->text;
}

bool backend_wants_prober(const struct backend *backend)
{
	return backend->n > 1 || backend->is_checked;
}

bool backend_trusts_checks(const struct backend *backend)
{
	return backend->settings.check.expect.bytes.data;
}

const char *backend_word(const struct backend *backend)
{
	return backend->n == 1 ? backend->text : "-";
}

const struct backend_settings *backend_settings(const struct backend *backend)
{
	return &backend->settings;
}

bool backend_wants_client(const struct backend *backend)
{
	return dial_source_is_client(backend->source);
}

size_t backend_n_servers(const struct backend *backend)
{
	return backend->n;
}

struct server *backend_server(struct backend *backend, size_t index)
{
	return &backend->servers[index];
}

struct waitlist *backend_waitlist(const struct backend *backend)
{
	return backend->waitlist;
}

/* ---- which server a client gets ---- */

bool backend_client_comes(struct backend *backend)
{
	if (!backend->unit)
		return true;
	unit_client_comes(backend->unit);
	return unit_is_up_for_client(backend->unit);
}

void backend_client_goes(struct backend *backend)
{
	if (backend->unit)
		unit_client_goes(backend->unit);
}

bool backend_wants_source(const struct backend *backend)
{
	return backend->n > 1 && backend->settings.balance == BALANCE_SOURCE;
}

/*
 * A server is tried only if there is none of a lower rank, whether that has room or not: those
 * that are up come before the others, backups after the rest, and among these the priority counts.
 */
#define RANK_BACKUP (1u << 16) /* what is below is the priority */
#define RANK_NOT_UP (1u << 17)
#define RANK_NOBODY UINT32_MAX

static uint32_t rank_of(const struct server *server)
{
	return (server_is_up(server) ? 0 : RANK_NOT_UP) | (server->is_backup ? RANK_BACKUP : 0) |
	       server->priority;
}

/* What a choice goes by: looked up once, since other threads change it meanwhile. */
struct ranks {
	uint32_t of[SERVERS_MAX]; /* each server */
	uint32_t best;            /* but for those that were left out */
};

/* @left_out: by index; NULL: none */
static uint32_t best_rank(const struct backend *backend, const struct ranks *ranks, uint32_t from,
			  const bool *left_out)
{
	uint32_t best = RANK_NOBODY;

	for (size_t i = 0; i < backend->n; i++)
		if (ranks->of[i] >= from && ranks->of[i] < best && !(left_out && left_out[i]))
			best = ranks->of[i];
	return best;
}

static void rank(const struct backend *backend, const bool *left_out, struct ranks *ret)
{
	for (size_t i = 0; i < backend->n; i++)
		ret->of[i] = rank_of(&backend->servers[i]);
	ret->best = best_rank(backend, ret, 0, left_out);
}

/* Which of a rank may have the client.  Returns whether any may. */
static bool mark(const struct backend *backend, const struct ranks *ranks, uint32_t wanted,
		 const bool *tried, bool *may, bool *ret_full)
{
	bool any = false;

	for (size_t i = 0; i < backend->n; i++) {
		bool fits = ranks->of[i] == wanted && !(tried && tried[i]);

		may[i] = fits && server_has_room(&backend->servers[i]);
		*ret_full |= fits && !may[i];
		any |= may[i];
	}
	return any;
}

/* Whether there is one that the client has not tried, and that may pass a check. */
static bool may_still_pass(const struct backend *backend, const bool *tried)
{
	for (size_t i = 0; i < backend->n; i++)
		if (!(tried && tried[i]))
			return true;
	return false;
}

/* Where nobody is up, everybody is tried: the backups last.  But for those that owe a check. */
static bool mark_best(const struct backend *backend, const struct visited *visited, bool *may,
		      bool *ret_full)
{
	const bool *tried = visited ? visited->tried : NULL;
	struct ranks ranks;
	uint32_t wanted;

	rank(backend, visited && visited->is_last_chance ? tried : NULL, &ranks);
	*ret_full = false;
	wanted = ranks.best;
	if (wanted >= RANK_NOT_UP && backend_trusts_checks(backend)) {
		*ret_full = may_still_pass(backend, tried);
		return false;
	}
	while (!mark(backend, &ranks, wanted, tried, may, ret_full)) {
		if (wanted < RANK_NOT_UP || wanted == RANK_NOBODY)
			return false;
		wanted = best_rank(backend, &ranks, wanted + 1, NULL);
	}
	return true;
}

/* Those that are passed over are not forgotten. */
static void tell_of_failing(struct backend *backend)
{
	for (size_t i = 0; i < backend->n; i++)
		if (!server_is_up(&backend->servers[i]) && backend->tell)
			backend->tell(backend, &backend->servers[i], true, backend->tell_data);
}

static struct server *choose(struct backend *backend, const struct visited *visited,
			     uint64_t source, bool *ret_full)
{
	bool may[SERVERS_MAX];
	struct server *server;

	/* Another thread may take the room that was found. */
	while (mark_best(backend, visited, may, ret_full)) {
		size_t at =
			balance_choose(backend->settings.balance, &backend->balancer, may, source);

		server = &backend->servers[at];
		if (server_take(server))
			return server;
	}
	return NULL;
}

struct server *backend_choose(struct backend *backend, const struct visited *visited,
			      uint64_t source, bool *ret_full)
{
	struct server *only = &backend->servers[0];

	if (!backend->is_simple) {
		tell_of_failing(backend);
		return choose(backend, visited, source, ret_full);
	}
	*ret_full = false;
	if (visited && visited->tried[0])
		return NULL;
	*ret_full = !server_take(only);
	return *ret_full ? NULL : only;
}

bool backend_has_room(struct backend *backend)
{
	bool may[SERVERS_MAX], full;

	if (backend->unit && !unit_is_up(backend->unit))
		return false;
	return mark_best(backend, NULL, may, &full);
}

bool backend_has_one_up(const struct backend *backend)
{
	for (size_t i = 0; i < backend->n; i++)
		if (server_is_up(&backend->servers[i]))
			return true;
	return false;
}

bool backend_is_reachable(const struct backend *backend)
{
	return backend_has_one_up(backend) && !atomic_load(&backend->is_silent);
}

bool backend_owes_check(const struct backend *backend)
{
	return backend_trusts_checks(backend) && !backend_has_one_up(backend);
}

bool backend_has_queue(const struct backend *backend)
{
	return backend->has_max && !waitlist_is_empty(backend->waitlist);
}

void backend_leave(struct backend *backend, struct server *server)
{
	server_give(server);
	/* Where this one has no limit, a newer backend of the same proxy may have one. */
	waitlist_wake(backend->waitlist);
}

/* ---- what is known of a server ---- */

void backend_on_failure(struct backend *backend, backend_server_fails *tell,
			void (*gone)(void *data), void *data)
{
	backend->tell = tell;
	backend->gone = gone;
	backend->tell_data = data;
}

/* One server alone that is not checked is not watched: an outage is said instead. */
static bool says_changes(const struct backend *backend)
{
	return backend->n > 1 || backend->is_checked;
}

/* Now that one of its servers is not up. */
static const char *what_clients_do(const struct backend *backend)
{
	if (backend->n > 1 && backend_has_one_up(backend))
		return ": clients go to the others";
	if (backend_trusts_checks(backend))
		return ": clients wait until a check has passed";
	return backend->n > 1 ? ": no other is up, so that all are tried" : "";
}

static void log_not_up(const struct backend *backend, const struct server *server, bool is_down,
		       const char *reason)
{
	bool closes = is_down && backend->settings.closes_when_down;

	if (says_changes(backend) || closes)
		log_line(LOG_WARNING, "backend %s is %s (%s)%s%s", server->text,
			 is_down ? "down" : "suspect", reason, what_clients_do(backend),
			 closes ? "; its connections are closed" : "");
}

/* Who waits for room may find another server now. */
static void state_changed(struct backend *backend, struct server *server, const char *reason)
{
	enum health_state state = health_state(&server->state->health);

	if (state != HEALTH_UP)
		log_not_up(backend, server, state == HEALTH_DOWN, reason);
	else if (says_changes(backend))
		log_line(LOG_NOTICE, "backend %s answers", server->text);
	if (state == HEALTH_DOWN && backend->settings.closes_when_down)
		server_watch_tell();
	waitlist_wake(backend->waitlist);
	if (!server_is_up(server) && backend->tell)
		backend->tell(backend, server, false, backend->tell_data);
}

void backend_note_failure(struct backend *backend, struct server *server, const char *reason)
{
	if (health_note_failure(&server->state->health))
		state_changed(backend, server, reason);
}

void backend_note_silence(struct backend *backend, struct server *server)
{
	if (health_note_silence(&server->state->health))
		state_changed(backend, server, "it does not answer");
}

void backend_note_reset(struct backend *backend, struct server *server)
{
	counters_add(server->counts, SERVER_FAILED_RESET, 1);
	if (health_note_reset(&server->state->health))
		state_changed(backend, server, "it resets connections at once");
}

void backend_note_answer(struct backend *backend, struct server *server,
			 const struct sfront_sockaddr *addr)
{
	bool was_silent = atomic_load_explicit(&backend->is_silent, memory_order_relaxed) &&
			  atomic_exchange(&backend->is_silent, false);
	bool changed = health_note_answer(&server->state->health);

	if (addr)
		server_note_address(server, addr);
	if (changed)
		state_changed(backend, server, NULL);
	if (was_silent && !(changed && says_changes(backend))) /* that was said just now */
		log_line(LOG_NOTICE, "backend %s answers", server->text);
}

void backend_note_failed_check(struct backend *backend, struct server *server, const char *reason)
{
	char words[200];

	counters_add(server->counts, SERVER_CHECKS_FAILED, 1);
	if (!backend->is_checked) {
		backend_note_failure(backend, server, reason);
		return;
	}
	snprintf(words, sizeof(words), "a check failed: %s", reason);
	if (health_note_failed_check(&server->state->health,
				     (unsigned int)backend->settings.check.fall))
		state_changed(backend, server, words);
}

void backend_note_passed_check(struct backend *backend, struct server *server)
{
	counters_add(server->counts, SERVER_CHECKS_PASSED, 1);
	if (!backend->is_checked) {
		backend_note_answer(backend, server, NULL);
	} else if (health_note_passed_check(&server->state->health,
					    (unsigned int)backend->settings.check.rise)) {
		atomic_store(&backend->is_silent, false); /* it is said just now */
		state_changed(backend, server, NULL);
	}
}

void backend_note_outage(struct backend *backend, const char *reason)
{
	uint64_t patience_ms = backend->settings.connect_timeout_ms;
	unsigned int ignored;
	char patience[64] = " without end";

	/* One that comes and goes with every client is told of once a second. */
	if (atomic_load(&backend->is_silent) || !log_limit_passes(&backend->silence, &ignored) ||
	    atomic_exchange(&backend->is_silent, true))
		return;
	if (patience_ms != SFRONT_INFINITY_MS)
		snprintf(patience, sizeof(patience), " for up to %.15g s",
			 (double)patience_ms / 1000);
	log_line(LOG_WARNING, "backend %s cannot be reached (%s): trying again%s", backend->text,
		 reason, patience);
}
