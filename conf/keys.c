/* SPDX-License-Identifier: MIT */
/*
 * The table of keys: name, help, parser and the place in struct config where
 * the value goes.  The file (load.c) and the command line (args.c) both
 * set through here.  Listener options stand in the library's table; rows for
 * them are made from it once.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/refuse.h"

#define WORKERS_MAX       1024
#define CONNECTIONS_MAX   INT32_MAX
#define PIPE_SIZE_MIN     UINT64_C(4096)
#define PIPE_SIZE_MAX     (UINT64_C(64) << 20)
#define COALESCE_MAX_MS   1000
#define USER_TIMEOUT_MAX  INT32_MAX /* the kernel keeps milliseconds in an int */
#define OPTION_ROWS       64
#define OPTION_NAME_SIZE  48
#define CHECKS_MAX        1000
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

struct value {
	const struct key *key;
	const char *text;
	const struct place *place;
	void *field; /* at the row's offset in the struct of its section */
};

struct row {
	struct key key;
	int (*parse)(const struct value *value, struct sfront_error *err);
	size_t offset;
};

static int parse_switch(const struct value *value, struct sfront_error *err)
{
	return sfront_parse_switch(value->text, value->field, err);
}

/* Zero means "never" in some programs and "at once" in others: neither is guessed. */
static int parse_duration(const struct value *value, struct sfront_error *err)
{
	uint64_t ms;
	int r;

	r = sfront_parse_duration(value->text, &ms, err);
	if (r < 0)
		return r;
	if (ms == 0)
		return refuse(err, -ERANGE,
			      "\"%s\" leaves no time; write \"infinity\" for no limit, or at "
			      "least 1ms",
			      value->text);

	*(uint64_t *)value->field = ms;
	return 0;
}

/* Here zero can only mean "at once". */
static int parse_any_duration(const struct value *value, struct sfront_error *err)
{
	return sfront_parse_duration(value->text, value->field, err);
}

static int parse_user_timeout(const struct value *value, struct sfront_error *err)
{
	uint64_t ms;
	int r;

	r = sfront_parse_duration(value->text, &ms, err);
	if (r < 0)
		return r;
	if (ms < 1 || ms > USER_TIMEOUT_MAX)
		return refuse(err, -ERANGE,
			      "\"%s\" is out of range (1ms to 24d; leave the key out for the "
			      "system's value)",
			      value->text);

	*(uint64_t *)value->field = ms;
	return 0;
}

static int parse_coalesce_time(const struct value *value, struct sfront_error *err)
{
	uint64_t ms;
	int r;

	r = sfront_parse_duration(value->text, &ms, err);
	if (r < 0)
		return r;
	if (ms > COALESCE_MAX_MS)
		return refuse(err, -ERANGE,
			      "\"%s\" is out of range (1ms to 1s, or 0 to move every byte at once)",
			      value->text);

	*(uint64_t *)value->field = ms;
	return 0;
}

static int parse_keepalive(const struct value *value, struct sfront_error *err)
{
	return sfront_parse_keepalive(value->text, value->field, err);
}

static unsigned int usable_cpus(void)
{
	cpu_set_t set;
	long n;

	/* Refused where the kernel counts more CPUs than the set holds. */
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	else
		n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 1)
		return 1;
	return n > WORKERS_MAX ? WORKERS_MAX : (unsigned int)n;
}

static int parse_workers(const struct value *value, struct sfront_error *err)
{
	uint64_t n;

	if (strcasecmp(value->text, "auto") == 0)
		n = usable_cpus();
	else if (sfront_parse_count(value->text, 1, WORKERS_MAX, &n, NULL) < 0)
		return refuse(err, -EINVAL, "\"%s\" is neither a number from 1 to %d nor \"auto\"",
			      value->text, WORKERS_MAX);

	*(unsigned int *)value->field = (unsigned int)n;
	return 0;
}

static int parse_log_level(const struct value *value, struct sfront_error *err)
{
	static const struct {
		const char *name;
		int level;
	} levels[] = {
		{ "error", LOG_ERR }, { "warning", LOG_WARNING }, { "notice", LOG_NOTICE },
		{ "info", LOG_INFO }, { "debug", LOG_DEBUG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcasecmp(value->text, levels[i].name) == 0) {
			*(int *)value->field = levels[i].level;
			return 0;
		}
	}
	return refuse(err, -EINVAL,
		      "\"%s\" is not a log level (error, warning, notice, info, debug)",
		      value->text);
}

static int parse_max_connections(const struct value *value, struct sfront_error *err)
{
	return sfront_parse_count(value->text, 1, CONNECTIONS_MAX, value->field, err);
}

static int parse_allow(const struct value *value, struct sfront_error *err)
{
	return source_list_add(value->field, value->text, true, err);
}

static int parse_deny(const struct value *value, struct sfront_error *err)
{
	return source_list_add(value->field, value->text, false, err);
}

static int parse_rate(const struct value *value, struct sfront_error *err)
{
	return rate_parse(value->text, value->field, err);
}

/* A list of whom to trust: there is no order of allowing and denying in it. */
static int parse_sources(const struct value *value, struct sfront_error *err)
{
	return source_list_add(value->field, value->text, true, err);
}

static int parse_header_version(const struct value *value, struct sfront_error *err)
{
	static const char *const versions[] = { "no", "v1", "v2" };

	for (unsigned int i = 0; i < ARRAY_SIZE(versions); i++) {
		if (strcasecmp(value->text, versions[i]) == 0) {
			*(unsigned int *)value->field = i;
			return 0;
		}
	}
	return refuse(err, -EINVAL, "\"%s\" is none of no, v1 and v2", value->text);
}

static int parse_backend_source(const struct value *value, struct sfront_error *err)
{
	struct backend_source *source = value->field;

	source->place = *value->place;
	return backend_source_add(source, value->text, err);
}

static int parse_source_prefix(const struct value *value, struct sfront_error *err)
{
	struct source_prefix prefix;
	char more;

	if (sscanf(value->text, "%u %u %c", &prefix.v4, &prefix.v6, &more) != 2 ||
	    strspn(value->text, "0123456789 \t") != strlen(value->text) || prefix.v4 > 32 ||
	    prefix.v6 > 128)
		return refuse(
			err, -EINVAL,
			"\"%s\" is not two numbers of bits: wanted is that of IPv4 (0 to 32) and "
			"that of IPv6 (0 to 128), such as 24 56",
			value->text);
	*(struct source_prefix *)value->field = prefix;
	return 0;
}

static int parse_pipe_size(const struct value *value, struct sfront_error *err)
{
	uint64_t bytes;
	int r;

	r = sfront_parse_size(value->text, &bytes, err);
	if (r < 0)
		return r;
	if (bytes != 0 && (bytes < PIPE_SIZE_MIN || bytes > PIPE_SIZE_MAX))
		return refuse(err, -ERANGE,
			      "\"%s\" is out of range (4K to 64M, or 0 to copy instead of splice)",
			      value->text);

	*(uint64_t *)value->field = bytes;
	return 0;
}

static int add_listen(const struct value *value, struct listen_config **lines, size_t *n,
		      struct sfront_error *err)
{
	struct listen_config listen = { .place = *value->place };
	struct listen_config *grown;
	int r;

	if (!*value->text)
		return refuse(err, -EINVAL,
			      "the address is missing (such as :8080, /run/app.sock, @app, "
			      "vsock:any:8080, sd-listen)");
	r = sfront_address_parse(value->text, &listen.address, err);
	if (r < 0)
		return r;

	grown = reallocarray(*lines, *n + 1, sizeof(*grown));
	if (!grown)
		return refuse(err, -ENOMEM, "out of memory");
	*lines = grown;
	grown[(*n)++] = listen;
	return 0;
}

static int parse_listen(const struct value *value, struct sfront_error *err)
{
	struct proxy_config *proxy = value->field;

	proxy->listen_given = true;
	return add_listen(value, &proxy->listen, &proxy->n_listen, err);
}

static int parse_status_listen(const struct value *value, struct sfront_error *err)
{
	struct status_config *status = value->field;

	status->listen_given = true;
	return add_listen(value, &status->listen, &status->n_listen, err);
}

static int parse_hosts(const struct value *value, struct sfront_error *err)
{
	return host_list_add(value->field, value->text, err);
}

static int parse_backend(const struct value *value, struct sfront_error *err)
{
	struct proxy_config *proxy = value->field;
	struct server_config server, *grown;
	int r;

	proxy->backend_given = true;
	r = server_parse(value->text, &server, err);
	if (r < 0)
		return r;
	if (proxy->n_servers == SERVERS_MAX)
		return refuse(err, -E2BIG, "there are %d already, as many as a proxy may have",
			      SERVERS_MAX);
	grown = reallocarray(proxy->servers, proxy->n_servers + 1, sizeof(*grown));
	if (!grown)
		return refuse(err, -ENOMEM, "out of memory");
	proxy->servers = grown;
	server.place = *value->place;
	proxy->servers[proxy->n_servers++] = server;
	return 0;
}

static int parse_access_log(const struct value *value, struct sfront_error *err)
{
	static const char *const forms[] = {
		[ACCESS_LOG_LOGFMT] = "logfmt",
		[ACCESS_LOG_JSON] = "json",
		[ACCESS_LOG_JOURNAL] = "journal",
	};
	enum access_log *field = value->field;
	bool is_on;

	for (unsigned int i = ACCESS_LOG_LOGFMT; i < ARRAY_SIZE(forms); i++) {
		if (strcasecmp(value->text, forms[i]) == 0) {
			*field = (enum access_log)i;
			return 0;
		}
	}
	if (sfront_parse_switch(value->text, &is_on, NULL) < 0)
		return refuse(err, -EINVAL, "\"%s\" is none of yes, no, logfmt, json and journal",
			      value->text);
	*field = is_on ? ACCESS_LOG_LOGFMT : ACCESS_LOG_NO;
	return 0;
}

static int parse_access_log_file(const struct value *value, struct sfront_error *err)
{
	struct process_config *process = value->field;

	if (!*value->text)
		return refuse(err, -EINVAL, "the path is missing");
	if (strlen(value->text) >= sizeof(process->access_log_file))
		return refuse(err, -ENAMETOOLONG, "\"%.40s...\" is too long for a path",
			      value->text);
	strcpy(process->access_log_file, value->text);
	process->access_log_file_place = *value->place;
	return 0;
}

static int parse_balance(const struct value *value, struct sfront_error *err)
{
	for (enum balance balance = 0; balance < BALANCE_POLICIES; balance++) {
		if (strcmp(value->text, balance_name(balance)) == 0) {
			*(enum balance *)value->field = balance;
			return 0;
		}
	}
	return refuse(err, -EINVAL,
		      "\"%s\" is none of first, round-robin, least-connections, random and source",
		      value->text);
}

static int parse_down_action(const struct value *value, struct sfront_error *err)
{
	bool closes = strcmp(value->text, "close") == 0;

	if (!closes && strcmp(value->text, "none") != 0)
		return refuse(err, -EINVAL, "\"%s\" is neither none nor close", value->text);
	*(bool *)value->field = closes;
	return 0;
}

static const char *what_is_wrong_with_unit(const char *name)
{
	const char *suffix = strrchr(name, '.'), *at = strchr(name, '@');

	if (!suffix || strcmp(suffix, ".service") != 0)
		return "only a .service unit can be started for clients, such as wiki.service";
	if (name == suffix || at == name || strlen(name) >= UNIT_NAME_SIZE)
		return "a name has 1 to 255 characters";
	if (name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			      ":-_.\\@")] != '\0')
		return "a name is made of letters, digits and : - _ . \\ @ alone";
	if (at && at + 1 == suffix)
		return "a template has no process: name an instance, such as wiki@main.service";
	return NULL;
}

/* Takes the whole proxy for its field. */
static int parse_unit(const struct value *value, struct sfront_error *err)
{
	struct proxy_config *proxy = value->field;
	const char *wrong = what_is_wrong_with_unit(value->text);
	char *copy;

	if (wrong)
		return refuse(err, -EINVAL, "\"%s\" is no name of a service unit: %s", value->text,
			      wrong);
	copy = strdup(value->text);
	if (!copy)
		return refuse(err, -ENOMEM, "out of memory");
	free(proxy->unit);
	proxy->unit = copy;
	proxy->unit_place = *value->place;
	return 0;
}

static int parse_unit_idle(const struct value *value, struct sfront_error *err)
{
	struct proxy_config *proxy = value->field;
	struct value time = *value;

	proxy->unit_idle_place = *value->place;
	time.field = &proxy->unit_idle_ms;
	return parse_duration(&time, err);
}

static int parse_bytes(const struct value *value, struct sfront_error *err)
{
	return bytes_parse(value->text, value->field, err);
}

static int parse_expectation(const struct value *value, struct sfront_error *err)
{
	struct expectation *expectation = value->field;
	bool is_anywhere = *value->text == '*';
	int r = bytes_parse(value->text + is_anywhere, &expectation->bytes, err);

	if (r == 0)
		expectation->is_anywhere = is_anywhere;
	return r;
}

static int parse_check_count(const struct value *value, struct sfront_error *err)
{
	return sfront_parse_count(value->text, 1, CHECKS_MAX, value->field, err);
}

/* The library puts the name in front; here it is the caller who does, for every key alike. */
static int parse_option(const struct value *value, struct sfront_error *err)
{
	struct sfront_options **options = value->field;
	const char *name = value->key->name;
	struct sfront_error full;
	const char *reason = full.message;
	int r;

	r = sfront_options_set(*options, name, value->text, &full);
	if (r >= 0)
		return r;

	if (strncmp(reason, name, strlen(name)) == 0 && reason[strlen(name)] == ':')
		reason += strlen(name) + strspn(reason + strlen(name), ": ");
	return refuse(err, r, "%s", reason);
}

/* clang-format off */
#define PROCESS(name, argument, help, parse, field) \
	{ { name, name, argument, help, KEY_PROCESS, (parse) == parse_switch, false }, parse, \
	  offsetof(struct process_config, field) }
#define PROXY(name, argument, help, parse, field) \
	{ { name, name, argument, help, KEY_PROXY, (parse) == parse_switch, false }, parse, \
	  offsetof(struct proxy_config, field) }

static const struct row rows[] = {
	PROCESS("workers", "N|auto", "threads that serve connections; auto: one per CPU (default 1)",
		parse_workers, workers),
	PROCESS("log-level", "LEVEL", "error, warning, notice, info or debug (default info)",
		parse_log_level, log_level),
	{ { "access-log", "access-log", "yes|no|logfmt|json|journal",
	    "log one line per connection at its end, yes: as logfmt (default no)",
	    KEY_PROCESS, true, false }, parse_access_log, offsetof(struct process_config, access_log) },
	{ { "access-log-file", "access-log-file", "PATH",
	    "append these lines to a file (default: to the log)",
	    KEY_PROCESS, false, false }, parse_access_log_file, 0 },
	PROCESS("drain-timeout", "TIME", "how long connections may last after a stop (default 30s)",
		parse_any_duration, drain_timeout_ms),
	PROCESS("exit-idle-time", "TIME", "end after so long without a connection (default infinity)",
		parse_duration, exit_idle_ms),
	PROCESS("max-connections", "N",
		"connections at once; others wait unaccepted (default: what descriptors allow)",
		parse_max_connections, max_connections),
	PROCESS("pipe-size", "BYTES", "size of a splice pipe; 0: copy instead (default 1M)",
		parse_pipe_size, pipe_size),
	/* What follows two values at once takes the whole proxy for its field. */
	{ { "listen", "listen", "ADDRESS", "accept connections here; may be repeated (no default)",
	    KEY_PROXY, false, true }, parse_listen, 0 },
	{ { "backend", "backend", "ADDRESS", "where the connections go; may be repeated (no default)",
	    KEY_PROXY, false, true }, parse_backend, 0 },
	PROXY("balance", "POLICY", "which of several backends a client gets (default least-connections)",
	      parse_balance, balance),
	PROXY("resolve-interval", "TIME", "look names up again this often while they are used (default 10s)",
	      parse_duration, resolve_interval_ms),
	PROXY("resolve-each", "yes|no", "each address of a name is a server of its own (default no)",
	      parse_switch, resolve_each),
	PROXY("down-action", "none|close",
	      "what becomes of the connections of a server that goes down (default none)",
	      parse_down_action, closes_when_down),
	{ { "backend-unit", "backend-unit", "NAME.service",
	    "have systemd start this unit for the first client (default: none)",
	    KEY_PROXY, false, false }, parse_unit, 0 },
	{ { "backend-unit-idle", "backend-unit-idle", "TIME",
	    "stop it after so long without a connection (default infinity)",
	    KEY_PROXY, false, false }, parse_unit_idle, 0 },
	PROXY("check-interval", "TIME", "check that each server answers this often (default infinity)",
	      parse_duration, check.interval_ms),
	PROXY("check-timeout", "TIME", "how long a check may take (default 2s)",
	      parse_duration, check.timeout_ms),
	PROXY("check-rise", "N", "so many checks in a row make a server up (default 1)",
	      parse_check_count, check.rise),
	PROXY("check-fall", "N", "so many failed checks in a row make a server down (default 3)",
	      parse_check_count, check.fall),
	PROXY("check-send", "TEXT", "what a check sends, with \\r, \\n, \\xNN (default: nothing)",
	      parse_bytes, check.send),
	PROXY("check-expect", "TEXT",
	      "how the answer must begin, *TEXT: what must be in it, before clients come (default: nothing)",
	      parse_expectation, check.expect),
	{ { "allow", "allow", "SOURCE...", "who may connect; may be repeated (default: everybody)",
	    KEY_PROXY, false, true }, parse_allow, offsetof(struct proxy_config, access) },
	{ { "deny", "deny", "SOURCE...", "who may not; the first rule that matches decides (default: nobody)",
	    KEY_PROXY, false, true }, parse_deny, offsetof(struct proxy_config, access) },
	{ { "max-connections", NULL, "N", "this proxy's connections at once; others wait (default: no limit)",
	    KEY_PROXY, false, false }, parse_max_connections,
	  offsetof(struct proxy_config, max_connections) },
	PROXY("max-held", "N",
	      "clients at once that wait for the backend; others stay in the queue (default: no limit)",
	      parse_max_connections, max_held),
	PROXY("connection-rate", "RATE", "new connections at most, such as 20/s (default: no limit)",
	      parse_rate, connection_rate),
	PROXY("send-proxy-protocol", "no|v1|v2",
	      "tell the backend who the client is, by a header (default no)",
	      parse_header_version, send_proxy_protocol),
	{ { "accept-proxy-protocol", "accept-proxy-protocol", "SOURCE...",
	    "proxies whose connections begin with a header that tells the client (default: nobody)",
	    KEY_PROXY, false, true }, parse_sources,
	  offsetof(struct proxy_config, accept_proxy_protocol) },
	{ { "accept-proxy-protocol-tlvs", "accept-proxy-protocol-tlvs", "SOURCE...",
	    "those of them whose words on UNIX and vsock clients are passed on (default: nobody)",
	    KEY_PROXY, false, true }, parse_sources, offsetof(struct proxy_config, trusted_tlvs) },
	PROXY("proxy-protocol-timeout", "TIME", "how long such a header may take to come (default 5s)",
	      parse_duration, header_timeout_ms),
	PROXY("max-connections-per-source", "N",
	      "connections at once of one source; others are refused (default: no limit)",
	      parse_max_connections, max_connections_per_source),
	PROXY("connection-rate-per-source", "RATE",
	      "new connections of one source; others are refused (default: no limit)",
	      parse_rate, connection_rate_per_source),
	PROXY("source-prefix", "V4 V6",
	      "how many bits of an address are one source (default 32 64)",
	      parse_source_prefix, source_prefix),
	PROXY("connect-timeout", "TIME", "how long to try to reach the backend (default 10s)",
	      parse_duration, connect_timeout_ms),
	PROXY("connect-retry", "yes|no", "try a backend that refuses again (default yes)",
	      parse_switch, connect_retry),
	PROXY("idle-timeout", "TIME", "end a connection that is silent for this long (default infinity)",
	      parse_duration, idle_timeout_ms),
	PROXY("half-close-timeout", "TIME",
	      "the same, once one side has ended (default infinity)",
	      parse_duration, half_close_timeout_ms),
	PROXY("connection-timeout", "TIME", "end a connection after this long (default infinity)",
	      parse_duration, connection_timeout_ms),
	PROXY("coalesce-time", "TIME",
	      "how long a byte of a long stream may wait for more; 0: not at all (default 2ms)",
	      parse_coalesce_time, coalesce_ms),
	{ { "backend-source", "backend-source", "ADDRESS...|client",
	    "connect to the backend from there; may be repeated (default: the system chooses)",
	    KEY_PROXY, false, true }, parse_backend_source,
	  offsetof(struct proxy_config, backend_source) },
	PROXY("backend-tcp-keepalive", "TIME:COUNT:INTERVAL",
	      "keepalive probes to the backend, as in 60s:3:5s (default no)",
	      parse_keepalive, backend_keepalive),
	PROXY("backend-tcp-nodelay", "yes|no", "send small packets to the backend at once (default yes)",
	      parse_switch, backend_nodelay),
	PROXY("backend-tcp-user-timeout", "TIME",
	      "how long data to the backend may stay unacknowledged (default: the system's)",
	      parse_user_timeout, backend_user_timeout_ms),
};

static const struct row status_rows[] = {
	{ { "listen", "status-listen", "ADDRESS",
	    "answer questions about the process here; may be repeated (no default)",
	    KEY_STATUS, false, true }, parse_status_listen, 0 },
	{ { "allow", "status-allow", "SOURCE...", "who may ask; may be repeated (default: everybody)",
	    KEY_STATUS, false, true }, parse_allow, offsetof(struct status_config, access) },
	{ { "deny", "status-deny", "SOURCE...",
	    "who may not; the first rule that matches decides (default: nobody)",
	    KEY_STATUS, false, true }, parse_deny, offsetof(struct status_config, access) },
	{ { "status-host", "status-host", "NAME...",
	    "names by which it may be asked for, beside localhost (default: none)",
	    KEY_STATUS, false, true }, parse_hosts, offsetof(struct status_config, hosts) },
};
/* clang-format on */

/* What the library has, once for a proxy and once for [status]. */
static struct row option_rows[OPTION_ROWS], status_option_rows[OPTION_ROWS];
static char status_names[OPTION_ROWS][OPTION_NAME_SIZE]; /* of those on the command line */
static size_t n_option_rows;

static struct row row_of(const struct sfront_option *option)
{
	return (struct row){
		.key = {
			.name = option->name,
			.option = option->name,
			.argument = option->argument,
			.help = option->help,
			.scope = KEY_PROXY,
			.is_switch = option->is_switch,
		},
		.parse = parse_option,
		.offset = offsetof(struct proxy_config, options),
	};
}

static void make_option_rows(void)
{
	const struct sfront_option *option;

	for (size_t n = 0; n < OPTION_ROWS && (option = sfront_option_at(n)); n++) {
		struct row row = row_of(option);

		option_rows[n] = row;
		snprintf(status_names[n], sizeof(status_names[n]), "status-%s", option->name);
		row.key.option = status_names[n];
		row.key.scope = KEY_STATUS;
		row.offset = offsetof(struct status_config, options);
		status_option_rows[n] = row;
		n_option_rows = n + 1;
	}
}

static const struct row *row_at(size_t index)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const struct {
		const struct row *rows;
		size_t n;
	} parts[] = {
		{ rows, ARRAY_SIZE(rows) },
		{ option_rows, n_option_rows },
		{ status_rows, ARRAY_SIZE(status_rows) },
		{ status_option_rows, n_option_rows },
	};

	pthread_once(&once, make_option_rows);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (index < parts[i].n)
			return &parts[i].rows[index];
		index -= parts[i].n;
	}
	return NULL;
}

const struct key *key_at(size_t index)
{
	const struct row *row = row_at(index);

	return row ? &row->key : NULL;
}

const struct key *key_find(const char *name, enum key_scope scope)
{
	const struct key *key;

	for (size_t i = 0; (key = key_at(i)); i++)
		if (key->scope == scope && strcmp(key->name, name) == 0)
			return key;
	return NULL;
}

const struct key *key_find_anywhere(const char *name)
{
	const struct key *key = key_find(name, KEY_PROCESS);

	if (!key)
		key = key_find(name, KEY_PROXY);
	return key ? key : key_find(name, KEY_STATUS);
}

/* The struct that the settings of a scope are kept in. */
static char *settings_of(enum key_scope scope, struct config *config, struct proxy_config *proxy)
{
	switch (scope) {
	case KEY_PROCESS:
		return (char *)&config->process;
	case KEY_STATUS:
		return (char *)config->status;
	case KEY_PROXY:
		break;
	}
	return (char *)proxy;
}

/* config_check_effects() wants to say where it stood. */
static void note_given(const struct key *key, struct proxy_config *proxy, const struct place *place)
{
	for (enum check_key i = 0; i < CHECK_KEYS; i++)
		if (strcmp(key->name, check_key_name(i)) == 0)
			proxy->check_keys[i] = (struct given){ true, *place };
}

int key_set(const struct key *key, struct config *config, struct proxy_config *proxy,
	    const char *value, const struct place *place, struct sfront_error *err)
{
	const struct row *row = (const struct row *)((const char *)key - offsetof(struct row, key));

	if (!value && !key->is_switch)
		return refuse(err, -EINVAL, "a value is missing (%s)", key->argument);
	if (key->scope == KEY_PROXY)
		note_given(key, proxy, place);

	return row->parse(
		&(struct value){
			.key = key,
			.text = value ? value : "yes",
			.place = place,
			.field = settings_of(key->scope, config, proxy) + row->offset,
		},
		err);
}

void key_note_line(const struct key *key, struct config *config, struct proxy_config *proxy)
{
	bool is_listen = strcmp(key->name, "listen") == 0;

	if (key->scope == KEY_STATUS && is_listen)
		config->status->listen_given = true;
	else if (key->scope == KEY_PROXY && is_listen)
		proxy->listen_given = true;
	else if (key->scope == KEY_PROXY && strcmp(key->name, "backend") == 0)
		proxy->backend_given = true;
}
