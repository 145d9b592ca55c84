/* SPDX-License-Identifier: MIT */
/*
 * What no single key can show: proxies that lack something, and addresses that
 * get in each other's way.  Runs over the configuration once it is complete,
 * from a file or from the command line; looks up services, touches no socket.
 */
#include <arpa/inet.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/conf.h"
#include "conf/listen_index.h"
#include "conf/port_range.h"
#include "conf/source_index.h"

#define PLACE_TEXT_SIZE 512

struct text {
	char s[SFRONT_ADDRESS_TEXT_SIZE];
};

static struct text text_of(const struct sfront_address *address)
{
	struct text text = { "" };

	sfront_address_format(address, text.s, sizeof(text.s));
	return text;
}

static const char *place_format(const struct place *place, char *buf, size_t size)
{
	if (place->file)
		snprintf(buf, size, "%s:%u", place->file, place->line);
	else
		snprintf(buf, size, "the command line");
	return buf;
}

/* ---- one proxy ---- */

static void check_complete(const struct proxy_config *proxy, struct problems *problems)
{
	if (!proxy->place.file) {
		if (proxy->n_listen == 0 || proxy->n_servers == 0)
			problem(problems, &proxy->place,
				"an address is missing; wanted: sockfront LISTEN... BACKEND, such "
				"as sockfront :8080 127.0.0.1:80, or sockfront -c FILE");
		return;
	}
	/* Where one was given and was bad, that was said already. */
	if (proxy->n_listen == 0 && !proxy->listen_given)
		problem(problems, &proxy->place,
			"[proxy %s] has no address to listen on (such as listen = :8080)",
			proxy->name);
	if (proxy->n_servers == 0 && !proxy->backend_given)
		problem(problems, &proxy->place,
			"[proxy %s] has no backend (such as backend = 127.0.0.1:8080)",
			proxy->name);
}

static void check_service(const char *key, const struct sfront_address *address,
			  const struct place *place, struct problems *problems)
{
	struct sfront_error err;

	if (sfront_address_check(address, &err) < 0)
		problem(problems, place, "%s: %s", key, err.message);
}

static void check_services(const struct proxy_config *proxy, struct problems *problems)
{
	for (size_t i = 0; i < proxy->n_servers; i++)
		if (!proxy->servers[i].is_srv)
			check_service("backend", &proxy->servers[i].address,
				      &proxy->servers[i].place, problems);
}

/* ---- who takes which connections ---- */

enum family { FAMILY_NONE = 0, FAMILY_V4 = 1, FAMILY_V6 = 2 };

/* [::ffff:0.0.0.0] */
static bool is_mapped_any(const struct in6_addr *in6)
{
	static const unsigned char any[4];

	return IN6_IS_ADDR_V4MAPPED(in6) && memcmp(&in6->s6_addr[12], any, sizeof(any)) == 0;
}

/* Which families reach this machine itself under @host, by its text alone. */
static enum family loopback_families(const char *host)
{
	struct in6_addr in6;
	struct in_addr in;

	if (strcasecmp(host, "localhost") == 0)
		return FAMILY_V4 | FAMILY_V6;
	if (inet_pton(AF_INET, host, &in) == 1)
		return ntohl(in.s_addr) >> 24 == 127 || in.s_addr == 0 ? FAMILY_V4 : FAMILY_NONE;
	if (inet_pton(AF_INET6, host, &in6) != 1)
		return FAMILY_NONE;
	if (IN6_IS_ADDR_V4MAPPED(&in6))
		return in6.s6_addr[12] == 127 || is_mapped_any(&in6) ? FAMILY_V4 : FAMILY_NONE;
	return IN6_IS_ADDR_LOOPBACK(&in6) || IN6_IS_ADDR_UNSPECIFIED(&in6) ? FAMILY_V6
									   : FAMILY_NONE;
}

/* Whether [::] without an option is IPv6 alone. */
static bool is_v6_alone_by_default(void)
{
	FILE *f = fopen("/proc/sys/net/ipv6/bindv6only", "re");
	bool alone = f && getc(f) == '1';

	if (f)
		fclose(f);
	return alone;
}

/* Which families a listener accepts on every address of this machine. */
static enum family wildcard_families(const struct sfront_options *options, const char *host)
{
	struct in6_addr in6;
	struct in_addr in;
	bool every = !*host || strcmp(host, "*") == 0, alone;

	if (inet_pton(AF_INET, host, &in) == 1)
		return in.s_addr == 0 ? FAMILY_V4 : FAMILY_NONE;
	alone = options_are_yes(options, "tcp-only-v6");
	if (inet_pton(AF_INET6, host, &in6) == 1) {
		if (is_mapped_any(&in6))
			return FAMILY_V4;
		every = IN6_IS_ADDR_UNSPECIFIED(&in6);
		if (every && !sfront_options_is_set(options, "tcp-only-v6"))
			alone = is_v6_alone_by_default();
	}
	if (!every)
		return FAMILY_NONE;
	return alone ? FAMILY_V6 : FAMILY_V4 | FAMILY_V6;
}

/* ---- a listener and the others ---- */

/* Whether every listener of that address gets a port of its own. */
static bool takes_free_port(const struct sfront_address *address)
{
	const char *service = address->u.tcp.service;

	if (address->kind == SFRONT_VSOCK)
		return address->u.vsock.port == 0;
	return address->kind == SFRONT_TCP && strspn(service, "0") == strlen(service);
}

/* A service may go by its name here and by its number there. */
static bool is_same_port(const struct sfront_address *a, const struct sfront_address *b)
{
	uint16_t port_a, port_b;

	return sfront_address_port(a, &port_a, NULL) == 0 &&
	       sfront_address_port(b, &port_b, NULL) == 0 && port_a == port_b;
}

static bool is_same(const struct sfront_address *a, const struct sfront_address *b)
{
	struct sfront_address other = *b;

	if (a->kind != SFRONT_TCP || b->kind != SFRONT_TCP)
		return sfront_address_equal(a, b);
	if (!is_same_port(a, b))
		return false;
	memcpy(other.u.tcp.service, a->u.tcp.service, sizeof(other.u.tcp.service));
	return sfront_address_equal(a, &other);
}

/* Which family an address that is no name belongs to. */
static enum family literal_family(const char *host)
{
	struct in6_addr in6;
	struct in_addr in;

	if (inet_pton(AF_INET, host, &in) == 1)
		return FAMILY_V4;
	if (inet_pton(AF_INET6, host, &in6) != 1)
		return FAMILY_NONE;
	return IN6_IS_ADDR_V4MAPPED(&in6) ? FAMILY_V4 : FAMILY_V6;
}

/* Whether the socket of @every takes that of @one the port away. */
static bool covers(const struct sfront_options *owner, const struct sfront_address *every,
		   const struct sfront_options *other, const struct sfront_address *one)
{
	enum family families = wildcard_families(owner, every->u.tcp.host);

	return families &
	       (literal_family(one->u.tcp.host) | wildcard_families(other, one->u.tcp.host));
}

/* Which devices they are bound to nobody knows here, and two that share a port may. */
static bool may_overlap(const struct sfront_options *a, const struct sfront_options *b)
{
	if (sfront_options_is_set(a, "bind-to-device") ||
	    sfront_options_is_set(b, "bind-to-device"))
		return true;
	return options_are_yes(a, "tcp-reuse-port") && options_are_yes(b, "tcp-reuse-port");
}

/* Whether @other has the same port on some of the same addresses. */
static bool overlaps(const struct listen_entry *other, const struct sfront_options *options,
		     const struct listen_config *listen)
{
	const struct sfront_address *address = &other->listen->address;

	return is_same_port(address, &listen->address) && !may_overlap(other->options, options) &&
	       (covers(other->options, address, options, &listen->address) ||
		covers(options, &listen->address, other->options, address));
}

/* Those that may be in the way of @address without being the same. */
static struct listen_group find_near(const struct listen_index *index,
				     const struct sfront_address *address)
{
	return listen_is_every(address) ? listen_index_find(index, address)
					: listen_index_find_every(index, address);
}

/* The line of the file that comes first. */
static void note_first(const struct listen_entry **first, const struct listen_entry *entry)
{
	if (!*first || entry->order < (*first)->order)
		*first = entry;
}

/* The first line above @own that has the same address; or NULL. */
static const struct listen_config *find_same(const struct listen_index *index,
					     const struct listen_entry *own)
{
	const struct sfront_address *address = &own->listen->address;
	struct listen_group group = listen_index_find_same(index, address);
	const struct listen_entry *first = NULL;

	for (size_t i = 0; i < group.n && group.entries[i].order < own->order && !first; i++)
		if (is_same(&group.entries[i].listen->address, address))
			first = &group.entries[i];
	return first ? first->listen : NULL;
}

/* The first line above @own that takes some of its clients; or NULL. */
static const struct listen_config *find_overlap(const struct listen_index *index,
						const struct listen_entry *own)
{
	const struct sfront_address *address = &own->listen->address;
	struct listen_group group = find_near(index, address);
	const struct listen_entry *first = NULL;

	for (size_t i = 0; i < group.n; i++) {
		const struct listen_entry *other = &group.entries[i];

		if (other->order < own->order && !is_same(&other->listen->address, address) &&
		    overlaps(other, own->options, own->listen))
			note_first(&first, other);
	}
	return first ? first->listen : NULL;
}

/* The first listener of another kind; NULL: there is none. */
static const struct listen_config *find_other_kind(const struct config *config,
						   enum sfront_kind kind)
{
	struct listen_section section;

	for (size_t i = 0; config_listen_section(config, i, &section); i++)
		for (size_t j = 0; j < section.n; j++)
			if (section.lines[j].address.kind != kind)
				return section.lines + j;
	return NULL;
}

static void check_listen(const struct config *config, const struct listen_index *index,
			 const struct listen_entry *own, struct problems *problems)
{
	const struct listen_config *listen = own->listen, *other = NULL, *overlap = NULL;
	char where[PLACE_TEXT_SIZE];

	if (!takes_free_port(&listen->address)) {
		other = find_same(index, own);
		overlap = find_overlap(index, own);
	}
	if (other)
		problem(problems, &listen->place, "listen: \"%s\" is listened on already (%s)",
			text_of(&listen->address).s,
			place_format(&other->place, where, sizeof(where)));

	other = overlap;
	if (other)
		problem(problems, &listen->place,
			"listen: \"%s\" overlaps with \"%s\" (%s): an address and port can be "
			"listened on once",
			text_of(&listen->address).s, text_of(&other->address).s,
			place_format(&other->place, where, sizeof(where)));

	if (listen->address.kind != SFRONT_INETD)
		return;
	other = find_other_kind(config, SFRONT_INETD);
	if (other)
		problem(problems, &listen->place,
			"listen: \"%s\" is one connection; no other address may be given with it, "
			"but there is \"%s\" (%s)",
			text_of(&listen->address).s, text_of(&other->address).s,
			place_format(&other->place, where, sizeof(where)));
}

/* @order: of the first line, in the file.  Of a range, one port that is wrong stands for all. */
static void check_section(const struct config *config, const struct listen_index *index,
			  const struct listen_section *section, size_t order,
			  struct problems *problems)
{
	for (size_t i = 0; i < section->n; i++) {
		struct listen_config *listen = &section->lines[i];
		const struct listen_entry own = {
			.options = section->options,
			.listen = listen,
			.order = order + i,
		};
		unsigned int before = problems->count;

		check_service("listen", &listen->address, &listen->place, problems);
		check_listen(config, index, &own, problems);
		if (problems->count > before)
			i += listen->further - listen->step;
	}
}

static void check_listeners(const struct config *config, const struct listen_index *index,
			    struct problems *problems)
{
	struct listen_section section;
	size_t order = 0;

	for (size_t i = 0; config_listen_section(config, i, &section); i++) {
		check_section(config, index, &section, order, problems);
		order += section.n;
	}
}

/* ---- ranges of ports ---- */

/* The first backend that has one; NULL: none has. */
static const struct server_config *find_range(const struct proxy_config *proxy)
{
	for (size_t i = 0; i < proxy->n_servers; i++)
		if (proxy->servers[i].further > 0)
			return &proxy->servers[i];
	return NULL;
}

/* @key, @what, @n: a line that has another number of ports than the range */
static void report_length(const char *key, const char *what, unsigned int n,
			  const struct place *place, const struct server_config *range,
			  struct problems *problems)
{
	char where[PLACE_TEXT_SIZE], text[SERVER_TEXT_SIZE];

	server_format(range, text, sizeof(text));
	problem(problems, place,
		"%s: \"%s\" is %u port%s, and the backend \"%s\" (%s) is %u: where one backend is a "
		"range, every listen and every backend has to be a range of the same length",
		key, what, n, n == 1 ? "" : "s", text,
		place_format(&range->place, where, sizeof(where)), 1 + range->further);
}

static void check_listen_lengths(const struct proxy_config *proxy,
				 const struct server_config *range, struct problems *problems)
{
	char text[PORT_RANGE_TEXT_SIZE];

	for (size_t i = 0; i < proxy->n_listen; i += 1 + proxy->listen[i].further) {
		const struct listen_config *listen = &proxy->listen[i];

		if (listen->further == range->further)
			continue;
		port_range_format(&listen->address, listen->further, text, sizeof(text));
		report_length("listen", text, 1 + listen->further, &listen->place, range, problems);
	}
}

static void check_server_lengths(const struct proxy_config *proxy,
				 const struct server_config *range, struct problems *problems)
{
	char text[SERVER_TEXT_SIZE];

	for (size_t i = 0; i < proxy->n_servers; i++) {
		const struct server_config *server = &proxy->servers[i];

		if (server->further == range->further)
			continue;
		server_format(server, text, sizeof(text));
		report_length("backend", text, 1 + server->further, &server->place, range,
			      problems);
	}
}

/* Each port of a range has servers of its own, which are those of the lines. */
static void check_ranges(const struct proxy_config *proxy, struct problems *problems)
{
	const struct server_config *range = find_range(proxy);
	char text[SERVER_TEXT_SIZE];

	if (!range)
		return;
	check_listen_lengths(proxy, range, problems);
	check_server_lengths(proxy, range, problems);
	if (!proxy->resolve_each)
		return;
	server_format(range, text, sizeof(text));
	problem(problems, &range->place,
		"backend: \"%s\" is a range of ports, which cannot be combined with resolve-each",
		text);
}

/* ---- where connections to a backend come from ---- */

/* A literal address that none of those to come from fits. */
static void check_source_of(const struct backend_source *source, const struct server_config *server,
			    struct problems *problems)
{
	enum family family = literal_family(server->address.u.tcp.host);

	if (family != FAMILY_NONE &&
	    !backend_source_serves(source, family == FAMILY_V4 ? AF_INET : AF_INET6))
		problem(problems, &source->place,
			"backend-source: the backend \"%s\" has an IPv%c address, and none of "
			"these has",
			text_of(&server->address).s, family == FAMILY_V4 ? '4' : '6');
}

static void check_backend_source(const struct proxy_config *proxy, struct problems *problems)
{
	const struct backend_source *source = &proxy->backend_source;
	size_t n_tcp = 0;

	if (source->n == 0 && !source->is_client)
		return;
	for (size_t i = 0; i < proxy->n_servers; i++) {
		if (proxy->servers[i].address.kind != SFRONT_TCP)
			continue;
		check_source_of(source, &proxy->servers[i], problems);
		n_tcp++;
	}
	if (n_tcp == 0 && proxy->n_servers > 0)
		problem(problems, &source->place,
			"backend-source: \"%s\" is no TCP address; connections to it come from no "
			"address",
			text_of(&proxy->servers[0].address).s);
}

/* ---- a backend and the listeners ---- */

/* Of this machine itself; its number on the outside is known to the kernel alone. */
#define CID_LOCAL 1

static bool is_local_vsock(const struct sfront_address *listen,
			   const struct sfront_address *backend)
{
	return listen->kind == SFRONT_VSOCK && backend->kind == SFRONT_VSOCK &&
	       listen->u.vsock.port == backend->u.vsock.port &&
	       listen->u.vsock.cid == SFRONT_CID_ANY && backend->u.vsock.cid == CID_LOCAL;
}

static bool is_reached(const struct sfront_options *owner, const struct sfront_address *listen,
		       const struct sfront_address *backend)
{
	if (is_same(listen, backend) || is_local_vsock(listen, backend))
		return true;
	if (!is_same_port(listen, backend))
		return false;
	return wildcard_families(owner, listen->u.tcp.host) &
	       loopback_families(backend->u.tcp.host);
}

/* The listener of a proxy of ours that @backend would connect to; or NULL. */
static const struct listen_config *listener_reached(const struct listen_index *index,
						    const struct sfront_address *backend)
{
	const struct listen_group groups[] = {
		listen_index_find_same(index, backend),
		listen_index_find_every(index, backend),
	};

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		for (size_t j = 0; j < groups[i].n; j++) {
			const struct listen_entry *entry = &groups[i].entries[j];

			if (!entry->is_status &&
			    is_reached(entry->options, &entry->listen->address, backend))
				return entry->listen;
		}
	return NULL;
}

/* The same for any port of a server. */
static const struct listen_config *listener_reached_by(const struct listen_index *index,
						       const struct server_config *server)
{
	const struct listen_config *listen = NULL;

	for (unsigned int step = 0; step <= server->further && !listen; step++) {
		const struct server_config one = server_at(server, step);

		listen = listener_reached(index, &one.address);
	}
	return listen;
}

static void check_loop(const struct listen_index *index, const struct server_config *server,
		       struct problems *problems)
{
	const struct listen_config *listen =
		server->is_srv ? NULL : listener_reached_by(index, server);
	char where[PLACE_TEXT_SIZE], text[SERVER_TEXT_SIZE];

	if (!listen)
		return;
	server_format(server, text, sizeof(text));
	problem(problems, &server->place,
		"backend: \"%s\" is our own listener \"%s\" (%s), not another service", text,
		text_of(&listen->address).s, place_format(&listen->place, where, sizeof(where)));
}

static bool is_same_server(const struct server_config *a, const struct server_config *b)
{
	if (a->is_srv || b->is_srv)
		return a->is_srv && b->is_srv &&
		       strcasecmp(a->address.u.tcp.host, b->address.u.tcp.host) == 0;
	return a->mux_port == b->mux_port && is_same(&a->address, &b->address);
}

/* Two lines would be two servers, of which each counts its connections by itself. */
static void check_twice(const struct proxy_config *proxy, size_t at, struct problems *problems)
{
	const struct server_config *server = &proxy->servers[at];
	char where[PLACE_TEXT_SIZE], text[SERVER_TEXT_SIZE];

	for (size_t i = 0; i < at; i++) {
		if (!is_same_server(&proxy->servers[i], server))
			continue;
		server_format(server, text, sizeof(text));
		problem(problems, &server->place,
			"backend: \"%s\" is there already (%s); weight=N gives it more clients",
			text, place_format(&proxy->servers[i].place, where, sizeof(where)));
		return;
	}
}

static void check_servers(const struct listen_index *index, const struct proxy_config *proxy,
			  struct problems *problems)
{
	size_t n_backups = 0;

	for (size_t i = 0; i < proxy->n_servers; i++) {
		check_loop(index, &proxy->servers[i], problems);
		check_twice(proxy, i, problems);
		n_backups += proxy->servers[i].is_backup;
	}
	if (n_backups > 0 && n_backups == proxy->n_servers)
		problem(problems, &proxy->servers[0].place,
			"backend: each one is a backup, and none is there that it could stand in for");
}

/* ---- units ---- */

static int compare_units(const void *a, const void *b)
{
	const struct proxy_config *one = a, *other = b;

	return strcmp(one->unit, other->unit);
}

static void leave_alone(void *proxy)
{
	(void)proxy;
}

/*
 * All proxies of a unit say together when it is stopped.
 *
 * @units: a tree of the first proxy of each
 */
static void check_unit(void **units, const struct proxy_config *proxy, struct problems *problems)
{
	const struct proxy_config *const *first;

	if (!proxy->unit && proxy->unit_idle_ms != SFRONT_INFINITY_MS)
		problem(problems, &proxy->unit_idle_place,
			"backend-unit-idle: there is no backend-unit that could be stopped");
	if (!proxy->unit)
		return;
	first = tsearch(proxy, units, compare_units);
	if (!first)
		problem(problems, &proxy->unit_place, "out of memory");
	else if ((*first)->unit_idle_ms != proxy->unit_idle_ms)
		problem(problems, &proxy->unit_place,
			"backend-unit: [proxy %s] names %s too, with another backend-unit-idle: it "
			"has to be the same in both",
			(*first)->name, proxy->unit);
}

static void check_units(const struct config *config, struct problems *problems)
{
	void *units = NULL;

	for (size_t i = 0; i < config->n_proxies; i++)
		check_unit(&units, &config->proxies[i], problems);
	tdestroy(units, leave_alone);
}

/* ---- the status address ---- */

/* Whether only this machine reaches @host, by its text alone. */
static bool is_loopback(const char *host)
{
	struct in6_addr in6;
	struct in_addr in;

	if (inet_pton(AF_INET, host, &in) == 1)
		return ntohl(in.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &in6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&in6) ||
		       (IN6_IS_ADDR_V4MAPPED(&in6) && in6.s6_addr[12] == 127);
	return strcasecmp(host, "localhost") == 0;
}

/* What is inherited is seen once it is opened. */
static void check_reach(const struct listen_config *listen, struct problems *problems)
{
	const struct sfront_address *address = &listen->address;

	if (address->kind == SFRONT_TCP && !is_loopback(address->u.tcp.host))
		problem(problems, &listen->place,
			"listen: \"%s\" can be reached from other machines: [status] wants an "
			"allow that says who may ask (such as allow = 10.0.0.0/8)",
			text_of(address).s);
}

static void check_status(const struct status_config *status, struct problems *problems)
{
	if (status->n_listen == 0 && !status->listen_given)
		problem(problems, &status->place, "%s",
			status->place.file
				? "[status] has no address to listen on (such as listen = "
				  "/run/sockfront/status.sock)"
				: "--status-listen is missing, without which the other --status "
				  "options mean nothing");
	if (status->access.allows_some)
		return;
	for (size_t i = 0; i < status->n_listen; i += 1 + status->listen[i].further)
		check_reach(&status->listen[i], problems);
}

/* ---- the process ---- */

static void check_access_log(const struct process_config *process, struct problems *problems)
{
	if (*process->access_log_file && process->access_log == ACCESS_LOG_JOURNAL)
		problem(problems, &process->access_log_file_place,
			"access-log-file: access-log = journal writes into no file (logfmt and "
			"json do)");
}

/* ---- what has no effect ---- */

static bool is_checked(const struct proxy_config *proxy)
{
	return proxy->check.expect.bytes.data || proxy->check.interval_ms != SFRONT_INFINITY_MS;
}

/* Where there are several servers, one that is not up is probed, whatever is checked. */
static bool has_several_servers(const struct proxy_config *proxy)
{
	return proxy->n_servers > 1 || proxy->resolve_each || proxy->servers[0].is_srv;
}

static bool has_effect(const struct proxy_config *proxy, enum check_key key)
{
	bool is_of_probes = key == CHECK_TIMEOUT || key == CHECK_SEND;

	return is_checked(proxy) || (is_of_probes && has_several_servers(proxy));
}

static void check_effects(const struct proxy_config *proxy, struct problems *warnings)
{
	for (enum check_key key = 0; key < CHECK_KEYS; key++)
		if (proxy->check_keys[key].is_given && !has_effect(proxy, key))
			problem(warnings, &proxy->check_keys[key].place,
				"%s has no effect: nothing is checked without check-interval or "
				"check-expect",
				check_key_name(key));
}

void config_check_effects(const struct config *config, struct problems *warnings)
{
	for (size_t i = 0; i < config->n_proxies; i++)
		check_effects(&config->proxies[i], warnings);
}

/* ---- all of it ---- */

/* One more than the line above it with the same address has. */
static unsigned int number_in(const struct listen_group *group, size_t at)
{
	const struct listen_config *listen = group->entries[at].listen;

	for (size_t i = at; i-- > 0;)
		if (sfront_address_equal(&group->entries[i].listen->address, &listen->address))
			return group->entries[i].listen->nth + 1;
	return 0;
}

static bool is_one_group(const struct listen_entry *a, const struct listen_entry *b)
{
	return a->key == b->key && a->host == b->host;
}

static void number_lines(struct listen_index *index)
{
	for (size_t i = 0, first = 0; i < index->n; i++) {
		struct listen_group group;

		if (!is_one_group(&index->entries[i], &index->entries[first]))
			first = i;
		group = (struct listen_group){ index->entries + first, i - first + 1 };
		index->entries[i].listen->nth = number_in(&group, i - first);
	}
}

void config_check(struct config *config, struct problems *problems)
{
	struct listen_index index;

	if (listen_index_make(&index, config) < 0) {
		problem(problems, &(struct place){ 0 }, "out of memory");
		return;
	}
	number_lines(&index);
	check_access_log(&config->process, problems);

	check_listeners(config, &index, problems);

	for (size_t i = 0; i < config->n_proxies; i++) {
		struct proxy_config *proxy = &config->proxies[i];

		source_list_prepare(&proxy->access);
		source_list_prepare(&proxy->accept_proxy_protocol);
		source_list_prepare(&proxy->trusted_tlvs);
		proxy->is_counted = config->status;
		check_complete(proxy, problems);
		check_services(proxy, problems);
		check_servers(&index, proxy, problems);
		check_backend_source(proxy, problems);
		check_ranges(proxy, problems);
	}
	check_units(config, problems);
	if (config->status) {
		source_list_prepare(&config->status->access);
		check_status(config->status, problems);
	}
	listen_index_clear(&index);
}
