/* SPDX-License-Identifier: MIT */
/*
 * What the daemon is told to do, as plain data: the same structures whether it
 * came from an INI file (load.c) or from the command line (args.c).  The
 * keys stand in one table (keys.c); what spans several keys is checked in
 * check.c.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sockfront/address.h>
#include <sockfront/options.h>
#include <sockfront/value.h>

#include "conf/backend_source.h"
#include "conf/bytes.h"
#include "conf/host_list.h"
#include "conf/place.h"
#include "conf/rate.h"
#include "conf/server.h"
#include "conf/source.h"

/* Whether there is a line for each connection, and how it looks. */
enum access_log {
	ACCESS_LOG_NO,
	ACCESS_LOG_LOGFMT,
	ACCESS_LOG_JSON,
	ACCESS_LOG_JOURNAL /* fields of the system's journal */
};

/* The process: section [sockfront]. */
struct process_config {
	unsigned int workers; /* threads that serve connections, at least 1 */
	int log_level;        /* as in syslog(3): LOG_ERR .. LOG_DEBUG */
	enum access_log access_log;
	char access_log_file[PATH_MAX]; /* empty: the lines go where all others do */
	struct place access_log_file_place;
	uint64_t drain_timeout_ms; /* SFRONT_INFINITY_MS: without end */
	uint64_t exit_idle_ms;     /* SFRONT_INFINITY_MS: never */
	uint64_t max_connections;  /* 0: as many as there are descriptors for */
	uint64_t pipe_size;        /* bytes; 0: never splice */
};

/* An address that a section listens on, and where that was said. */
struct listen_config {
	struct sfront_address address;
	/*
	 * Which of the listen lines with that same address this one is, from 0: two that
	 * take a free port each are told apart by it.  Set by config_check().
	 */
	unsigned int nth;
	struct place place;
};

/* Of a systemd unit; with the terminating 0. */
#define UNIT_NAME_SIZE 256

/* Checks of the servers, by connections of our own. */
struct check_config {
	uint64_t interval_ms; /* of servers that are up; SFRONT_INFINITY_MS: none of those */
	uint64_t timeout_ms;
	uint64_t rise, fall; /* how many in a row make a server up, and down */
	struct bytes send;   /* owned */
	struct expectation {
		struct bytes bytes; /* owned; none: whoever accepts is up */
		bool is_anywhere;   /* not at the beginning of the answer alone */
	} expect;
};

/* The keys that have no effect where nothing is checked. */
enum check_key { CHECK_TIMEOUT, CHECK_RISE, CHECK_FALL, CHECK_SEND, CHECK_KEYS };

const char *check_key_name(enum check_key key);

/* A section [proxy NAME], or the command line. */
struct proxy_config {
	char *name; /* owned */
	struct place place;
	struct listen_config *listen; /* owned array */
	size_t n_listen;
	bool listen_given;             /* a listen key was there, even if its value was bad */
	struct server_config *servers; /* owned array: the backend lines */
	size_t n_servers;
	bool backend_given; /* as listen_given */
	enum balance balance;
	char *unit; /* owned: "wiki.service", started for the first client; NULL: none */
	struct place unit_place;
	uint64_t unit_idle_ms; /* until it is stopped; SFRONT_INFINITY_MS: never */
	struct place unit_idle_place;
	struct check_config check;
	struct given {
		bool is_given;
		struct place place;
	} check_keys[CHECK_KEYS];
	struct sfront_options *options;           /* owned; of the listeners */
	struct source_list access;                /* owned: allow and deny, in their order */
	unsigned int send_proxy_protocol;         /* version of the header, 1 or 2; 0: none */
	struct source_list accept_proxy_protocol; /* owned: who begins with a header */
	struct source_list trusted_tlvs;          /* owned: whose 0xE0 and 0xE1 are passed on */
	uint64_t header_timeout_ms;               /* how long a header may take to come */
	uint64_t max_connections;                 /* 0: no limit of its own */
	uint64_t max_held;                        /* 0: no limit */
	struct rate connection_rate;              /* .count 0: none */
	uint64_t max_connections_per_source;      /* 0: no limit */
	struct rate connection_rate_per_source;   /* .count 0: none */
	struct source_prefix {
		unsigned int v4, v6; /* bits of an address that are one source */
	} source_prefix;
	uint64_t connect_timeout_ms;
	uint64_t resolve_interval_ms;
	bool closes_when_down; /* down-action: ends the connections of a server that goes down */
	bool resolve_each;     /* each address of a name is a server */
	bool is_counted;       /* for the status, if there is one; set by config_check() */
	bool connect_retry;
	uint64_t idle_timeout_ms;
	uint64_t half_close_timeout_ms;
	uint64_t connection_timeout_ms;
	uint64_t coalesce_ms; /* how long a byte of a long stream may wait; 0: not at all */
	struct sfront_keepalive backend_keepalive;
	bool backend_nodelay;
	uint64_t backend_user_timeout_ms; /* 0: the system's */
	struct backend_source backend_source;
};

/* The section [status], or the options --status-NAME. */
struct status_config {
	struct place place;
	struct listen_config *listen; /* owned array */
	size_t n_listen;
	bool listen_given;              /* a listen key was there, even if its value was bad */
	struct sfront_options *options; /* owned; of the listeners */
	struct source_list access;      /* owned: allow and deny, in their order */
	struct host_list hosts;         /* owned: names that a request may be meant for */
};

struct config {
	struct process_config process;
	struct proxy_config *proxies; /* owned array */
	size_t n_proxies;
	struct status_config *status; /* owned; NULL: there is no such section */
};

/* What a section listens on, whichever it is.  Everything is borrowed from the configuration. */
struct listen_section {
	struct listen_config *lines;
	size_t n;
	const struct sfront_options *options;
	bool is_status;
};

/*
 * Told of each thing that is wrong, in the order of the file.  @message is one
 * line without file and line number in front.
 */
struct problems {
	void (*report)(void *data, const struct place *place, const char *message);
	void *data;
	unsigned int count; /* how many were reported */
};

/* Reports a problem, formatted as by printf, and counts it. */
void problem(struct problems *problems, const struct place *place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Everything at its default, no proxies. */
void config_init(struct config *config);
void config_clear(struct config *config);

/* Frees what a proxy owns, and not itself. */
void proxy_config_clear(struct proxy_config *proxy);

/*
 * Adds a proxy with every setting at its default.  Copies @name.  Returns it
 * (valid until the next one is added), or NULL when out of memory.
 */
struct proxy_config *config_add_proxy(struct config *config, const char *name,
				      const struct place *place);

/* Whether there is a limit on what one source may have. */
static inline bool proxy_config_limits_sources(const struct proxy_config *proxy)
{
	return proxy->max_connections_per_source > 0 || proxy->connection_rate_per_source.count > 0;
}

/*
 * Whether it is to be bound, by this process or by a .socket unit: no descriptor that
 * somebody hands over.
 */
bool address_is_own(const struct sfront_address *address);

/* Whether a yes/no option of listeners was set to yes. */
bool options_are_yes(const struct sfront_options *options, const char *name);

/* Forgets the proxies; what they were said to be has no say any more. */
void config_drop_proxies(struct config *config);

/*
 * The [status] section, which is added with every setting at its default if there is none
 * yet.  Returns it, or NULL when out of memory.
 */
struct status_config *config_add_status(struct config *config, const struct place *place);

/* Frees it, and what it owns.  NULL is allowed. */
void status_config_free(struct status_config *status);

/* Forgets the [status] section. */
void config_drop_status(struct config *config);

/*
 * What section number @index listens on: that of each proxy, and then that of [status].
 * False: there are no more.
 */
bool config_listen_section(const struct config *config, size_t index, struct listen_section *ret);

/* Where a key belongs. */
enum key_scope { KEY_PROCESS, KEY_PROXY, KEY_STATUS };

/*
 * A key of the file and a long option of the command line.  Rows for the
 * listener options are made from the library's table, so that there is one list
 * of each.
 */
struct key {
	const char *name;     /* in its section */
	const char *option;   /* the long option without its dashes; NULL: the file alone has it */
	const char *argument; /* for help texts: "TIME"; "yes|no" for a switch */
	const char *help;     /* one line without a full stop */
	enum key_scope scope;
	bool is_switch; /* takes yes and no, at least: stands alone on the command line */
	bool is_list;   /* may be given more than once */
};

/* Key number @index, the process's first, then the proxy's, then its listener options, then those
 * of [status] in the same order; NULL past the last. */
const struct key *key_at(size_t index);

/* The key of that exact name in the sections of @scope, or NULL. */
const struct key *key_find(const char *name, enum key_scope scope);

/* The same, whatever its section: the first one, if there are two. */
const struct key *key_find_anywhere(const char *name);

/*
 * The name nearest to @word among the keys of @scope, if it is near enough to
 * be worth asking "did you mean"; else NULL.
 */
const char *key_nearest(const char *word, enum key_scope scope);

/*
 * Sets one key.
 *
 * @config: for KEY_PROCESS and KEY_STATUS, which wants the section to be there
 * @proxy:  for KEY_PROXY; may be NULL for the others
 * @value:  NULL: "yes", for a switch
 *
 * Returns 0, or a negative errno with @err saying what the key takes, without
 * the key's name in front.
 */
int key_set(const struct key *key, struct config *config, struct proxy_config *proxy,
	    const char *value, const struct place *place, struct sfront_error *err);

/* Notes that a line for the key is there, though it cannot be read.  @config, @proxy: as above. */
void key_note_line(const struct key *key, struct config *config, struct proxy_config *proxy);

/*
 * Reads the INI file at @path.  Reports everything that is wrong with it, the
 * file that cannot be read included; config_check() is the caller's.
 *
 * @path: borrowed for as long as @config lives
 */
void config_load(const char *path, struct config *config, struct problems *problems);

/*
 * Reports what no single key can show: a proxy without listen or backend, two
 * proxies on one address, a backend that is a listener of ours, inetd beside
 * another address, an unknown service.  Opens no socket, resolves no host.
 */
void config_check(struct config *config, struct problems *problems);

/* Reports what stops nothing: keys that have no effect. */
void config_check_effects(const struct config *config, struct problems *warnings);

#endif
