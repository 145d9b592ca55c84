/* SPDX-License-Identifier: MIT */
/*
 * The process and its proxies as JSON: see overview.h.
 */
#include "daemon/status/overview.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "conf/hash.h"
#include "daemon/backend/backend.h"
#include "daemon/backend/server_counts.h"
#include "daemon/backend/unit.h"
#include "daemon/base/counters.h"
#include "daemon/proxy/proxy.h"
#include "daemon/proxy/proxy_counts.h"
#include "daemon/status/healthz.h"
#include "daemon/status/json.h"
#include "daemon/status/self.h"
#include "daemon/status/status.h"
#include "daemon/status/subjects.h"
#include "daemon/status/turn.h"
#include "daemon/status/word.h"
#include "daemon/worker/process.h"

#define SCHEMA 1

struct overview {
	struct status *status;
	struct subjects subjects;
	struct subject_cursor at;
	uint64_t *hashes; /* see overview_begin(), as is is_whole */
	bool is_whole;
	uint64_t accepted, open, held; /* of the proxies so far */
	bool has_head;
	bool has_proxy; /* one was told of: a comma comes before the next */
	/* With hashes, of the proxy that is under way: it may turn out not to have changed. */
	struct evbuffer *made; /* owned: in this turn */
	struct evbuffer *kept; /* owned: before */
	uint64_t hash;         /* of that */
};

double overview_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- the process ---- */

/* Last, since it is added up on the way. */
static void put_connections(struct evbuffer *out, const struct overview *overview)
{
	const struct process *process = overview->status->process;

	json_put_name(out, ",", "connections");
	json_put_number(out, "{", "open", overview->open);
	json_put_number(out, ",", "held", overview->held);
	json_put_number(out, ",", "max", atomic_load(&process->limit.max));
	json_put_number(out, ",", "accepted", overview->accepted);
	evbuffer_add(out, "}", 1);
}

static void put_health(struct evbuffer *out, const struct status *status)
{
	char reason[160];
	bool is_healthy = healthz_is_healthy(status, reason, sizeof(reason));

	json_put_text(out, ",", "state", status->is_draining ? "draining" : "running");
	evbuffer_add_printf(out, ",\"healthy\":%s", is_healthy ? "true" : "false");
	json_put_text(out, ",", "reason", is_healthy ? NULL : reason);
}

static void put_head(struct evbuffer *out, const struct overview *overview)
{
	struct self self;

	self_look(&self);
	json_put_number(out, "{", "schema", SCHEMA);
	json_put_text(out, ",", "version", SOCKFRONT_VERSION);
	json_put_number(out, ",", "pid", (unsigned long long)getpid());
	json_put_seconds(out, ",", "now", overview_now());
	json_put_seconds(out, ",", "started", self.started);
	if (!overview->is_whole)
		evbuffer_add_printf(out, ",\"partial\":true");
	put_health(out, overview->status);
	json_put_number(out, ",", "draining_processes", counters_look_after());
	evbuffer_add_printf(out, ",\"proxies\":[");
}

/* ---- proxies ---- */

static void put_bytes(struct evbuffer *out, const struct counters *counts, unsigned int up,
		      unsigned int down)
{
	json_put_name(out, ",", "bytes");
	json_put_number(out, "{", "up", counters_sum(counts, up));
	json_put_number(out, ",", "down", counters_sum(counts, down));
	evbuffer_add(out, "}", 1);
}

/* An earlier one is told of before this one, if there is any. */
static void put_separator(struct evbuffer *out, size_t index)
{
	if (index > 0)
		evbuffer_add(out, ",", 1);
}

static void put_socket(struct evbuffer *out, const struct proxy *proxy, size_t index)
{
	const struct counters *counts = proxy->sockets[index].counts;

	put_separator(out, index);
	json_put_text(out, "{", "address", proxy_socket_at(proxy, index)->text);
	json_put_number(out, ",", "accepted", counters_sum(counts, LISTENER_ACCEPTED));
	put_bytes(out, counts, LISTENER_UP, LISTENER_DOWN);
	evbuffer_add(out, "}", 1);
}

static void put_max(struct evbuffer *out, const struct server *server)
{
	unsigned int max = atomic_load(&server->state->max);

	if (max == UINT32_MAX)
		evbuffer_add_printf(out, ",\"max\":null");
	else
		json_put_number(out, ",", "max", max);
}

static void put_server(struct evbuffer *out, const struct server *server, size_t index)
{
	put_separator(out, index);
	json_put_text(out, "{", "address", server->text);
	json_put_text(out, ",", "state", word_of_health(health_state(&server->state->health)));
	evbuffer_add_printf(out, ",\"backup\":%s", server->is_backup ? "true" : "false");
	json_put_number(out, ",", "weight", server->weight);
	json_put_number(out, ",", "open", server_active(server));
	put_max(out, server);
	json_put_number(out, ",", "connected", counters_sum(server->counts, SERVER_CONNECTED));
	json_put_number(out, ",", "failures", subject_server_failures(server));
	put_bytes(out, server->counts, SERVER_UP, SERVER_DOWN);
	evbuffer_add(out, "}", 1);
}

static void put_unit(struct evbuffer *out, const struct subject *subject)
{
	const struct unit *unit = backend_unit(subject->backend);

	json_put_name(out, ",", "unit");
	if (!unit) {
		evbuffer_add(out, "null", 4);
		return;
	}
	json_put_text(out, "{", "name", unit_name(unit));
	json_put_text(out, ",", "state", word_of_unit(unit_state(unit)));
	evbuffer_add(out, "}", 1);
}

static void put_head_of(struct evbuffer *out, const struct subject *subject)
{
	json_put_text(out, "{", "name", subject->proxy->config.name);
	evbuffer_add_printf(out, ",\"listeners\":[");
}

static void put_numbers(struct evbuffer *out, const struct subject *subject)
{
	const struct counters *counts = subject->proxy->counts;

	evbuffer_add(out, "]", 1);
	json_put_number(out, ",", "open", subject_open(subject));
	json_put_number(out, ",", "held", subject_held(subject));
	json_put_number(out, ",", "accepted", counters_sum(counts, PROXY_ACCEPTED));
	json_put_number(out, ",", "refused", subject_refused(subject));
	json_put_number(out, ",", "ended", subject_ended(subject));
	json_put_number(out, ",", "failed", counters_sum(counts, PROXY_ENDED + END_NO_BACKEND));
	put_bytes(out, counts, PROXY_UP, PROXY_DOWN);
	evbuffer_add_printf(out, ",\"servers\":[");
}

static void put_tail_of(struct evbuffer *out, const struct subject *subject)
{
	evbuffer_add(out, "]", 1);
	put_unit(out, subject);
	evbuffer_add(out, "}", 1);
}

static void put_part(struct evbuffer *out, const struct subject *subject,
		     const struct subject_cursor *at)
{
	switch (at->part) {
	case SUBJECT_HEAD:
		put_head_of(out, subject);
		break;
	case SUBJECT_SOCKET:
		put_socket(out, subject->proxy, at->index);
		break;
	case SUBJECT_MIDDLE:
		put_numbers(out, subject);
		break;
	case SUBJECT_SERVER:
		put_server(out, backend_server(subject->backend, at->index), at->index);
		break;
	case SUBJECT_TAIL:
		put_tail_of(out, subject);
		break;
	}
}

/* ---- in pieces ---- */

static void add_up(struct overview *overview, const struct subject *subject)
{
	overview->accepted += counters_sum(subject->proxy->counts, PROXY_ACCEPTED);
	overview->open += subject_open(subject);
	overview->held += subject_held(subject);
}

static void separate(struct overview *overview, struct evbuffer *out)
{
	put_separator(out, overview->has_proxy);
	overview->has_proxy = true;
}

/* What was made in this turn. */
static void keep(struct overview *overview)
{
	const unsigned char *bytes = evbuffer_pullup(overview->made, -1);

	overview->hash = hash_bytes(overview->hash, bytes, evbuffer_get_length(overview->made));
	evbuffer_add_buffer(overview->kept, overview->made);
}

/* Whether it is to be told, or stands there already as it was told last. */
static bool has_changed(const struct overview *overview)
{
	uint64_t *last = &overview->hashes[overview->at.subject];

	if (*last == overview->hash && !overview->is_whole)
		return false;
	*last = overview->hash;
	return true;
}

static void begin_proxy(struct overview *overview, struct evbuffer *out)
{
	overview->hash = HASH_START;
	if (!overview->hashes)
		separate(overview, out);
}

static void end_proxy(struct overview *overview, struct evbuffer *out)
{
	if (!overview->hashes)
		return;
	keep(overview);
	if (has_changed(overview)) {
		separate(overview, out);
		evbuffer_add_buffer(out, overview->kept);
	}
	evbuffer_drain(overview->kept, evbuffer_get_length(overview->kept));
}

static void put_next(struct overview *overview, const struct subject *subject, struct evbuffer *out)
{
	const struct subject_cursor *at = &overview->at;

	if (at->part == SUBJECT_HEAD)
		begin_proxy(overview, out);
	if (at->part == SUBJECT_MIDDLE)
		add_up(overview, subject);
	put_part(overview->hashes ? overview->made : out, subject, at);
	if (at->part == SUBJECT_TAIL)
		end_proxy(overview, out);
}

/* Goes on with the proxies until all are done, or the turn is over. */
static bool go_on(struct overview *overview, const struct turn *turn, struct evbuffer *out)
{
	const struct subject *subject;

	while ((subject = subject_at(&overview->subjects, &overview->at))) {
		put_next(overview, subject, out);
		subject_cursor_next(&overview->at, &overview->subjects);
		if (turn_is_over(turn, out))
			return true;
	}
	return false;
}

bool overview_more(void *data, struct evbuffer *out)
{
	struct overview *overview = data;
	struct turn turn = turn_begin(out);

	if (!overview->has_head)
		put_head(out, overview);
	overview->has_head = true;
	if (go_on(overview, &turn, out)) {
		if (overview->hashes)
			keep(overview);
		return true;
	}
	evbuffer_add(out, "]", 1);
	put_connections(out, overview);
	evbuffer_add(out, "}", 1);
	return false;
}

/* False: out of memory. */
static bool make_room(struct overview *overview)
{
	overview->made = evbuffer_new();
	overview->kept = evbuffer_new();
	return overview->made && overview->kept;
}

struct overview *overview_begin(struct status *status, uint64_t *hashes, bool is_whole)
{
	struct overview *overview = calloc(1, sizeof(*overview));

	if (!overview)
		return NULL;
	overview->status = status;
	overview->hashes = hashes;
	overview->is_whole = is_whole;
	if (subjects_take(&overview->subjects, status->process->generation) < 0 ||
	    (hashes && !make_room(overview))) {
		overview_end(overview);
		return NULL;
	}
	return overview;
}

void overview_end(void *data)
{
	struct overview *overview = data;

	subjects_drop(&overview->subjects);
	if (overview->made)
		evbuffer_free(overview->made);
	if (overview->kept)
		evbuffer_free(overview->kept);
	free(overview);
}

static void *begin(struct status *status, const struct answer_request *request, int *ret_code,
		   const char **ret_type)
{
	(void)request;
	*ret_code = 200;
	*ret_type = "application/json";
	return overview_begin(status, NULL, true);
}

const struct answer_route overview_route = {
	.path = "/status.json",
	.begin = begin,
	.more = overview_more,
	.end = overview_end,
};
