/* SPDX-License-Identifier: MIT */
/*
 * From names to servers: see expansion.h.  Between resolver.c, which knows the addresses, and
 * backend.c, of which each set of them gets one.
 */
#include "daemon/backend/expansion.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "daemon/backend/backend.h"
#include "daemon/backend/probe.h"
#include "daemon/backend/unit.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"

/* An answer that somebody else has had so recently does. */
#define RECENT_MS 500

/* No name server is asked more often, whatever it says. */
#define TTL_MIN_MS 1000

/* The longest time that a timer is set for. */
#define TIMER_MAX_MS 86400000

/* Of one line of backend. */
struct lookup {
	struct expansion *expansion;
	struct resolver *resolver; /* the named backend's; NULL: the line is no name */
	struct resolver_wait wait;
	bool is_asking;             /* wait.message is queued or on its way */
	struct address_list *list;  /* a reference; NULL: it has no address */
	struct srv_answer *targets; /* the same of a service */
};

/*
 *	        the time is over, and clients have come
 *	          .-----.
 *	          v     |
 *	started: WAITING ------------------> DORMANT
 *	            ^      nobody has come      |
 *	            '---------------------------'
 *	                  a client comes
 */
struct expansion {
	struct loop *loop;
	const struct proxy_config *config; /* borrowed, until it is freed by its owner */
	struct loop_guard *guard;          /* a reference */
	atomic_uint refs; /* whoever has made it, and messages that are on their way */
	bool is_started, is_stopped;
	bool leaves_out;        /* some servers, for lack of room: the log has heard */
	struct event timer;     /* while started */
	struct prober *prober;  /* NULL: there is one server */
	struct backend *named;  /* a reference */
	struct backend *before; /* a reference, until there is a first answer; NULL: none */

	atomic_bool is_used;    /* a client has come */
	atomic_bool is_dormant; /* and the next one is to say so */
	struct message wake;

	pthread_mutex_t lock;    /* guards what follows */
	struct backend *current; /* a reference */

	size_t n;
	struct lookup lookups[];
};

static void expansion_unref(struct expansion *expansion)
{
	if (atomic_fetch_sub(&expansion->refs, 1) != 1)
		return;
	for (size_t i = 0; i < expansion->n; i++) {
		address_list_unref(expansion->lookups[i].list);
		srv_answer_unref(expansion->lookups[i].targets);
	}
	backend_unref(expansion->current);
	backend_unref(expansion->before);
	backend_unref(expansion->named);
	loop_guard_unref(expansion->guard);
	pthread_mutex_destroy(&expansion->lock);
	free(expansion);
}

/* ---- the servers ---- */

/* The servers of a backend that is to be made. */
struct server_list {
	struct server_config servers[SERVERS_MAX];
	size_t n;
	size_t n_left_out; /* for which there was no room */
};

/* Two names may have an address in common: it is the first one's. */
static void add(struct server_list *list, const struct server_config *server)
{
	char text[SERVER_TEXT_SIZE], other[SERVER_TEXT_SIZE];

	if (list->n == SERVERS_MAX) {
		list->n_left_out++;
		return;
	}
	server_format(server, text, sizeof(text));
	for (size_t i = 0; i < list->n; i++) {
		server_format(&list->servers[i], other, sizeof(other));
		if (strcmp(text, other) == 0)
			return;
	}
	list->servers[list->n++] = *server;
}

static void add_address(struct server_list *list, const struct server_config *line,
			const struct sfront_sockaddr *addr)
{
	struct server_config server = *line;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_error ignored;

	sfront_sockaddr_format(addr, text, sizeof(text));
	if (sfront_address_parse(text, &server.address, &ignored) == 0)
		add(list, &server);
}

static int compare(const void *a, const void *b)
{
	const struct sfront_sockaddr *one = a, *other = b;

	if (one->len != other->len)
		return one->len < other->len ? -1 : 1;
	return memcmp(&one->sa, &other->sa, one->len);
}

/* In an order of their own: that of an answer changes with each. */
static void add_addresses(struct server_list *list, const struct server_config *line,
			  const struct address_list *addresses)
{
	struct sfront_sockaddr *sorted = calloc(addresses->n, sizeof(*sorted));

	for (unsigned int i = 0; sorted && i < addresses->n; i++)
		sorted[i] = addresses->addresses[i];
	if (sorted)
		qsort(sorted, addresses->n, sizeof(*sorted), compare);
	for (unsigned int i = 0; i < addresses->n; i++)
		add_address(list, line, sorted ? &sorted[i] : &addresses->addresses[i]);
	free(sorted);
}

static void add_targets(struct server_list *list, const struct server_config *line,
			const struct srv_answer *answer)
{
	for (size_t i = 0; i < answer->n; i++) {
		const struct srv_target *target = &answer->targets[i];
		struct server_config server = *line;

		server.is_srv = false;
		server.priority = target->priority;
		server.weight = target->weight;
		snprintf(server.address.u.tcp.host, sizeof(server.address.u.tcp.host), "%s",
			 target->host);
		snprintf(server.address.u.tcp.service, sizeof(server.address.u.tcp.service), "%u",
			 target->port);
		add(list, &server);
	}
}

static void collect(const struct expansion *expansion, struct server_list *list)
{
	for (size_t i = 0; i < expansion->n; i++) {
		const struct server_config *line = &expansion->config->servers[i];

		if (expansion->lookups[i].targets)
			add_targets(list, line, expansion->lookups[i].targets);
		else if (expansion->lookups[i].list)
			add_addresses(list, line, expansion->lookups[i].list);
		else
			add(list, line);
	}
}

static bool is_same(struct backend *backend, const struct server_list *list)
{
	char text[SERVER_TEXT_SIZE];

	if (backend_n_servers(backend) != list->n)
		return false;
	for (size_t i = 0; i < list->n; i++) {
		const struct server *server = backend_server(backend, i);

		server_format(&list->servers[i], text, sizeof(text));
		if (strcmp(server->text, text) != 0 || server->weight != list->servers[i].weight ||
		    server->priority != list->servers[i].priority)
			return false;
	}
	return true;
}

/* ---- the backend ---- */

/* Returns it with what is known of its servers, or NULL when out of memory. */
static struct backend *make(struct expansion *expansion, struct server_list *list)
{
	struct proxy_config config = *expansion->config;
	struct sfront_error ignored;
	struct backend *backend;

	config.servers = list->servers;
	config.n_servers = list->n;
	backend = backend_new(&config, expansion->guard, &ignored);
	if (!backend)
		return NULL;
	if (backend_unit(expansion->named))
		backend_set_unit(backend, unit_ref(backend_unit(expansion->named)));
	if (expansion->before)
		backend_share(backend, expansion->before);
	backend_share(backend, expansion->current);
	return backend;
}

static void use(struct expansion *expansion, struct backend *backend, struct prober *prober)
{
	struct backend *last = expansion->current;

	pthread_mutex_lock(&expansion->lock);
	expansion->current = backend;
	pthread_mutex_unlock(&expansion->lock);
	prober_free(expansion->prober);
	expansion->prober = prober;
	if (prober)
		prober_start(prober);
	backend_be_replaced(last, backend);
	backend_unref(last);
	backend_unref(expansion->before);
	expansion->before = NULL;
}

/* False: out of memory. */
static bool prober_for(const struct expansion *expansion, struct backend *backend,
		       struct prober **ret)
{
	bool wants_one = backend_wants_prober(backend);

	*ret = wants_one ? prober_new(expansion->loop, backend) : NULL;
	return *ret || !wants_one;
}

/* Without memory, the servers stay until the next look-up. */
static void change(struct expansion *expansion, struct server_list *list)
{
	struct backend *backend = make(expansion, list);
	struct prober *prober;

	if (!backend || !prober_for(expansion, backend, &prober)) {
		backend_unref(backend);
		return;
	}
	log_line(LOG_INFO, "backend %s: %zu server(s) now", backend_text(expansion->named),
		 list->n);
	use(expansion, backend, prober);
}

/* Once, until there is room for all of them again. */
static void note_left_out(struct expansion *expansion, const struct server_list *list)
{
	if (list->n_left_out > 0 && !expansion->leaves_out)
		log_line(LOG_WARNING,
			 "backend %s: %zu more are left out: a proxy has %d servers at most",
			 backend_text(expansion->named), list->n_left_out, SERVERS_MAX);
	expansion->leaves_out = list->n_left_out > 0;
}

static void update(struct expansion *expansion)
{
	struct server_list *list = calloc(1, sizeof(*list));

	if (!list)
		return;
	collect(expansion, list);
	note_left_out(expansion, list);
	if (!is_same(expansion->current, list))
		change(expansion, list);
	free(list);
}

/* ---- look-ups ---- */

static void note_answer(struct lookup *lookup, struct address_list *list)
{
	address_list_unref(lookup->list);
	lookup->list = list;
	srv_answer_unref(lookup->targets);
	lookup->targets = resolver_targets(lookup->resolver);
}

/* What was known before a reload does until there is an answer. */
static void note_last(struct lookup *lookup)
{
	if (lookup->resolver)
		note_answer(lookup, resolver_last(lookup->resolver));
}

/* The records of a service say how long they are good. */
static uint64_t interval_ms(const struct expansion *expansion)
{
	uint64_t ms = expansion->config->resolve_interval_ms;

	for (size_t i = 0; i < expansion->n; i++) {
		const struct srv_answer *targets = expansion->lookups[i].targets;

		if (targets && targets->ttl_ms < ms)
			ms = targets->ttl_ms > TTL_MIN_MS ? targets->ttl_ms : TTL_MIN_MS;
	}
	return ms < TIMER_MAX_MS ? ms : TIMER_MAX_MS;
}

/* Without memory for it, the next client tries again. */
static void set_timer(struct expansion *expansion)
{
	struct timeval interval = timeval_from_ms(interval_ms(expansion));

	if (event_add(&expansion->timer, &interval) < 0)
		atomic_store(&expansion->is_dormant, true);
}

/* An answer may say that it is good for less long than was thought. */
static void note_new_answer(struct expansion *expansion)
{
	update(expansion);
	if (!atomic_load(&expansion->is_dormant))
		set_timer(expansion);
}

static void answered(struct message *message)
{
	struct resolver_wait *wait = message_owner(message, struct resolver_wait, message);
	struct lookup *lookup = message_owner(wait, struct lookup, wait);
	struct expansion *expansion = lookup->expansion;

	lookup->is_asking = false;
	note_answer(lookup, wait->list);
	if (!expansion->is_stopped)
		note_new_answer(expansion);
	expansion_unref(expansion);
}

/* How recent an answer has to be: half of a short interval, as the timer is not exact. */
static uint64_t recent_ms(const struct expansion *expansion)
{
	uint64_t half = expansion->config->resolve_interval_ms / 2;

	return half < RECENT_MS ? half : RECENT_MS;
}

static void ask(struct lookup *lookup)
{
	struct address_list *list;

	if (!lookup->resolver || lookup->is_asking)
		return;
	list = resolver_ask(lookup->resolver, recent_ms(lookup->expansion), &lookup->wait);
	if (list) {
		note_answer(lookup, list);
		return;
	}
	lookup->is_asking = true;
	atomic_fetch_add(&lookup->expansion->refs, 1);
}

static void look_up(struct expansion *expansion)
{
	for (size_t i = 0; i < expansion->n; i++)
		ask(&expansion->lookups[i]);
	update(expansion);
	set_timer(expansion);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct expansion *expansion = arg;

	(void)fd;
	(void)what;
	if (atomic_exchange(&expansion->is_used, false)) {
		look_up(expansion);
		return;
	}
	atomic_store(&expansion->is_dormant, true);
	/* One may have come just before that. */
	if (atomic_load(&expansion->is_used) && atomic_exchange(&expansion->is_dormant, false))
		look_up(expansion);
}

static void wake_delivered(struct message *message)
{
	struct expansion *expansion = message_owner(message, struct expansion, wake);

	if (!expansion->is_stopped)
		look_up(expansion);
	expansion_unref(expansion);
}

struct backend *expansion_backend(struct expansion *expansion)
{
	struct backend *backend;

	pthread_mutex_lock(&expansion->lock);
	backend = backend_ref(expansion->current);
	pthread_mutex_unlock(&expansion->lock);
	if (!atomic_load(&expansion->is_used))
		atomic_store(&expansion->is_used, true);
	if (atomic_load(&expansion->is_dormant) && atomic_exchange(&expansion->is_dormant, false)) {
		atomic_fetch_add(&expansion->refs, 1);
		mailbox_post(&expansion->loop->mailbox, &expansion->wake);
	}
	return backend;
}

/* ---- its life ---- */

static void lookup_init(struct lookup *lookup, struct expansion *expansion, size_t line)
{
	struct resolver *resolver = backend_server(expansion->named, line)->resolver;

	const struct server_config *config = &expansion->config->servers[line];
	bool is_looked_up = config->is_srv || expansion->config->resolve_each;

	lookup->expansion = expansion;
	lookup->resolver = resolver_first(resolver) || !is_looked_up ? NULL : resolver;
	lookup->wait.mailbox = &expansion->loop->mailbox;
	lookup->wait.message.deliver = answered;
}

struct expansion *expansion_new(struct loop *loop, const struct proxy_config *config,
				struct loop_guard *guard, struct backend *named)
{
	size_t n = config->n_servers;
	struct expansion *expansion =
		calloc(1, sizeof(*expansion) + n * sizeof(*expansion->lookups));

	if (!expansion)
		return NULL;
	expansion->loop = loop;
	expansion->config = config;
	expansion->guard = loop_guard_ref(guard);
	atomic_init(&expansion->refs, 1);
	expansion->named = backend_ref(named);
	expansion->current = backend_ref(named);
	expansion->wake.deliver = wake_delivered;
	pthread_mutex_init(&expansion->lock, NULL);
	expansion->n = n;
	for (size_t i = 0; i < n; i++)
		lookup_init(&expansion->lookups[i], expansion, i);
	if (prober_for(expansion, named, &expansion->prober))
		return expansion;
	expansion_unref(expansion);
	return NULL;
}

void expansion_share(struct expansion *expansion, struct expansion *before)
{
	backend_unref(expansion->before);
	expansion->before = backend_ref(before->current);
}

void expansion_start(struct expansion *expansion)
{
	event_assign(&expansion->timer, expansion->loop->base, -1, 0, timer_fired, expansion);
	expansion->is_started = true;
	if (expansion->prober)
		prober_start(expansion->prober);
	for (size_t i = 0; i < expansion->n; i++)
		note_last(&expansion->lookups[i]);
	look_up(expansion);
}

void expansion_stop(struct expansion *expansion)
{
	expansion->is_stopped = true;
	if (expansion->prober)
		prober_stop(expansion->prober);
	if (expansion->is_started)
		event_del(&expansion->timer);
	for (size_t i = 0; i < expansion->n; i++) {
		struct lookup *lookup = &expansion->lookups[i];

		if (lookup->is_asking && resolver_cancel(lookup->resolver, &lookup->wait)) {
			lookup->is_asking = false;
			atomic_fetch_sub(&expansion->refs, 1);
		}
	}
}

void expansion_free(struct expansion *expansion)
{
	if (!expansion)
		return;
	expansion_stop(expansion);
	prober_free(expansion->prober);
	expansion->prober = NULL;
	expansion_unref(expansion);
}
