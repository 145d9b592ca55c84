/* SPDX-License-Identifier: MIT */
/*
 * conf/keys.c and conf/suggest.c: the table itself, what each key takes, and
 * which name is offered for a mistyped one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "conf/foreign.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static void test_table(void **state)
{
	const struct key *key;

	(void)state;
	for (size_t i = 0; (key = key_at(i)); i++) {
		assert_ptr_equal(key_find(key->name, key->scope), key);
		assert_int_equal(
			key->name[strspn(key->name, "abcdefghijklmnopqrstuvwxyz0123456789-")],
			'\0');
		assert_true(strlen(key->name) < 50);
		assert_true(*key->help && key->help[strlen(key->help) - 1] != '.');
		assert_null(strchr(key->help, '\n'));
		assert_int_equal(key->is_switch, strncmp(key->argument, "yes|no", 6) == 0);
		assert_int_equal(
			key->is_list,
			strcmp(key->name, "listen") == 0 || strcmp(key->name, "backend") == 0 ||
				strcmp(key->name, "status-host") == 0 ||
				strcmp(key->name, "allow") == 0 || strcmp(key->name, "deny") == 0 ||
				strcmp(key->name, "backend-source") == 0 ||
				strncmp(key->name, "accept-proxy-", 13) == 0);
		if (!sfront_option_find(key->name))
			assert_non_null(strstr(key->help, "default"));
	}
	assert_null(key_find("exit-idle", KEY_PROCESS));
	assert_null(key_find("", KEY_PROXY));
}

/* A section's own keys, then all of the library's in its order.  Returns where the next begins. */
static size_t check_section(size_t i, enum key_scope scope, const char *before)
{
	const struct sfront_option *option;
	const struct key *key;

	while (key_at(i) && !sfront_option_find(key_at(i)->name))
		assert_int_equal(key_at(i++)->scope, scope);

	for (size_t j = 0; (option = sfront_option_at(j)); j++, i++) {
		key = key_at(i);
		assert_non_null(key);
		assert_string_equal(key->name, option->name);
		assert_memory_equal(key->option, before, strlen(before));
		assert_string_equal(key->option + strlen(before), option->name);
		assert_string_equal(key->argument, option->argument);
		assert_string_equal(key->help, option->help);
		assert_int_equal(key->is_switch, option->is_switch);
		assert_int_equal(key->scope, scope);
	}
	return i;
}

/* The process's keys, then the proxy's, then those of [status]. */
static void test_order(void **state)
{
	size_t i = 0;

	(void)state;
	while (key_at(i)->scope == KEY_PROCESS)
		i++;
	assert_true(i >= 6);
	i = check_section(i, KEY_PROXY, "");
	i = check_section(i, KEY_STATUS, "status-");
	assert_null(key_at(i));
}

static const struct {
	const char *key;
	const char *value;
	int result;
	uint64_t expected; /* for a result of 0 */
} values[] = {
	{ "workers", "1", 0, 1 },
	{ "workers", "1024", 0, 1024 },
	{ "workers", "1025", -EINVAL, 0 },
	{ "workers", "-1", -EINVAL, 0 },
	{ "workers", "", -EINVAL, 0 },
	{ "log-level", "error", 0, 3 },
	{ "log-level", "WARNING", 0, 4 },
	{ "log-level", "notice", 0, 5 },
	{ "log-level", "7", -EINVAL, 0 },
	{ "exit-idle-time", "1ms", 0, 1 },
	{ "exit-idle-time", "5min", 0, 300000 },
	{ "exit-idle-time", "infinity", 0, SFRONT_INFINITY_MS },
	{ "exit-idle-time", "0", -ERANGE, 0 },
	{ "exit-idle-time", "", -EINVAL, 0 },
	{ "exit-idle-time", "later", -EINVAL, 0 },
	{ "max-connections", "1", 0, 1 },
	{ "max-connections", "99999999999", -ERANGE, 0 },
	{ "max-connections", "auto", -EINVAL, 0 },
	{ "pipe-size", "0", 0, 0 },
	{ "pipe-size", "4k", 0, 4096 },
	{ "pipe-size", "64M", 0, 64 << 20 },
	{ "pipe-size", "65M", -ERANGE, 0 },
	{ "pipe-size", "big", -EINVAL, 0 },
	{ "drain-timeout", "infinity", 0, SFRONT_INFINITY_MS },
	{ "drain-timeout", "0", 0, 0 },
	{ "send-proxy-protocol", "no", 0, 0 },
	{ "send-proxy-protocol", "v1", 0, 1 },
	{ "send-proxy-protocol", "V2", 0, 2 },
	{ "send-proxy-protocol", "2", -EINVAL, 0 },
	{ "send-proxy-protocol", "yes", -EINVAL, 0 },
	{ "send-proxy-protocol", NULL, -EINVAL, 0 },
	{ "accept-proxy-protocol", "10.0.0.0/8 unix", 0, 0 },
	{ "accept-proxy-protocol", "yes", -EINVAL, 0 },
	{ "accept-proxy-protocol", NULL, -EINVAL, 0 },
	{ "accept-proxy-protocol-tlvs", "uid:0", 0, 0 },
	{ "accept-proxy-protocol-tlvs", "", -EINVAL, 0 },
	{ "proxy-protocol-timeout", "250ms", 0, 250 },
	{ "proxy-protocol-timeout", "infinity", 0, SFRONT_INFINITY_MS },
	{ "proxy-protocol-timeout", "0", -ERANGE, 0 },
	{ "connect-timeout", "5s", 0, 5000 },
	{ "connection-rate", "20/s", 0, 20 },
	{ "max-connections-per-source", "7", 0, 7 },
	{ "connection-rate-per-source", "5/min", 0, 5 },
	{ "source-prefix", "24 56", 0, 24056 },
	{ "source-prefix", "0\t0", 0, 0 },
	{ "source-prefix", "24", -EINVAL, 0 },
	{ "source-prefix", "33 64", -EINVAL, 0 },
	{ "source-prefix", "32 129", -EINVAL, 0 },
	{ "source-prefix", "32 64 1", -EINVAL, 0 },
	{ "source-prefix", "-1 64", -EINVAL, 0 },
	{ "connection-rate", "600/min  50", 0, 600 },
	{ "connection-rate", "20", -EINVAL, 0 },
	{ "connection-rate", "0/s", -EINVAL, 0 },
	{ "connection-rate", "20/h", -EINVAL, 0 },
	{ "connection-rate", "20/s 0", -EINVAL, 0 },
	{ "connection-rate", "1000001/s", -EINVAL, 0 },
	{ "connect-timeout", "0ms", -ERANGE, 0 },
	{ "idle-timeout", "1ms", 0, 1 },
	{ "half-close-timeout", "2min", 0, 120000 },
	{ "connection-timeout", "1d", 0, 86400000 },
	{ "coalesce-time", "5ms", 0, 5 },
	{ "coalesce-time", "0", 0, 0 },
	{ "coalesce-time", "1s", 0, 1000 },
	{ "coalesce-time", "1001ms", -ERANGE, 0 },
	{ "coalesce-time", "infinity", -ERANGE, 0 },
	{ "coalesce-time", "soon", -EINVAL, 0 },
	{ "backend-tcp-user-timeout", "24d", 0, UINT64_C(24) * 86400 * 1000 },
	{ "backend-tcp-user-timeout", "25d", -ERANGE, 0 },
	{ "backend-tcp-user-timeout", "0", -ERANGE, 0 },
	{ "backend-source", "10.0.0.1 2001:db8::1", 0, 0 },
	{ "backend-source", "10.0.0.1:0", -EINVAL, 0 },
	{ "backend-source", NULL, -EINVAL, 0 },
	{ "balance", "first", 0, BALANCE_FIRST },
	{ "balance", "round-robin", 0, BALANCE_ROUND_ROBIN },
	{ "balance", "least-connections", 0, BALANCE_LEAST_CONNECTIONS },
	{ "balance", "random", 0, BALANCE_RANDOM },
	{ "balance", "source", 0, BALANCE_SOURCE },
	{ "balance", "Random", -EINVAL, 0 },
	{ "balance", "", -EINVAL, 0 },
	{ "down-action", "none", 0, false },
	{ "down-action", "close", 0, true },
	{ "down-action", "reset", -EINVAL, 0 },
	{ "backend-unit", "wiki.service", 0, true },
	{ "backend-unit", "wiki@main-\\x2d.service", 0, true },
	{ "backend-unit", "wiki", -EINVAL, true },
	{ "backend-unit", "wiki.socket", -EINVAL, true },
	{ "backend-unit", "wiki@.service", -EINVAL, true },
	{ "backend-unit", "@main.service", -EINVAL, true },
	{ "backend-unit", ".service", -EINVAL, true },
	{ "backend-unit", "/etc/wiki.service", -EINVAL, true },
	{ "backend-unit-idle", "10min", 0, 10 * 60 * 1000 },
	{ "backend-unit-idle", "0", -ERANGE, 0 },
	{ "max-held", "50", 0, 50 },
	{ "max-held", "0", -ERANGE, 0 },
	{ "resolve-interval", "1min", 0, 60000 },
	{ "resolve-interval", "0", -ERANGE, 0 },
	{ "check-interval", "5s", 0, 5000 },
	{ "check-interval", "infinity", 0, SFRONT_INFINITY_MS },
	{ "check-interval", "0", -ERANGE, 0 },
	{ "check-timeout", "500ms", 0, 500 },
	{ "check-rise", "2", 0, 2 },
	{ "check-rise", "0", -ERANGE, 0 },
	{ "check-fall", "1001", -ERANGE, 0 },
	{ "check-send", "PING\\r\\n", 0, 6 },
	{ "check-send", "\\0\\t\\x00\\xfF\\\\", 0, 5 },
	{ "check-send", "", -EINVAL, 0 },
	{ "check-send", "a\\q", -EINVAL, 0 },
	{ "check-send", "a\\x1", -EINVAL, 0 },
	{ "check-send", "a\\", -EINVAL, 0 },
	{ "check-expect", "+PONG", 0, 5 },
	{ "check-expect", "*200 OK", 0, 1006 },
	{ "check-expect", "\\x2a", 0, 1 },
	{ "check-expect", "*", -EINVAL, 0 },
	{ "check-expect", "\\e", -EINVAL, 0 },
	{ "access-log", NULL, 0, ACCESS_LOG_LOGFMT },
	{ "access-log", "no", 0, ACCESS_LOG_NO },
	{ "access-log", "on", 0, ACCESS_LOG_LOGFMT },
	{ "access-log", "logfmt", 0, ACCESS_LOG_LOGFMT },
	{ "access-log", "json", 0, ACCESS_LOG_JSON },
	{ "access-log", "journal", 0, ACCESS_LOG_JOURNAL },
	{ "access-log", "xml", -EINVAL, 0 },
	{ "access-log-file", "/var/log/sockfront/access.log", 0, true },
	{ "access-log-file", "", -EINVAL, 0 },
	{ "access-log-file", NULL, -EINVAL, 0 },
	{ "connect-retry", "off", 0, false },
	{ "backend-tcp-nodelay", "no", 0, false },
	{ "listen", NULL, -EINVAL, 0 },
	{ "idle-timeout", NULL, -EINVAL, 0 },
};

static uint64_t field(const struct config *config, const struct proxy_config *proxy,
		      const struct key *key)
{
	const struct process_config *process = &config->process;
	const struct {
		const char *key;
		uint64_t value;
		enum key_scope scope;
	} fields[] = {
		{ "workers", process->workers, KEY_PROCESS },
		{ "log-level", (uint64_t)process->log_level, KEY_PROCESS },
		{ "access-log", process->access_log, KEY_PROCESS },
		{ "access-log-file", *process->access_log_file != '\0', KEY_PROCESS },
		{ "max-connections", process->max_connections, KEY_PROCESS },
		{ "pipe-size", process->pipe_size, KEY_PROCESS },
		{ "drain-timeout", process->drain_timeout_ms, KEY_PROCESS },
		{ "exit-idle-time", process->exit_idle_ms, KEY_PROCESS },
		{ "connection-rate", proxy->connection_rate.count, KEY_PROXY },
		{ "max-connections-per-source", proxy->max_connections_per_source, KEY_PROXY },
		{ "connection-rate-per-source", proxy->connection_rate_per_source.count,
		  KEY_PROXY },
		{ "source-prefix", proxy->source_prefix.v4 * 1000 + proxy->source_prefix.v6,
		  KEY_PROXY },
		{ "allow", proxy->access.n, KEY_PROXY },
		{ "deny", proxy->access.n, KEY_PROXY },
		{ "send-proxy-protocol", proxy->send_proxy_protocol, KEY_PROXY },
		{ "accept-proxy-protocol", proxy->accept_proxy_protocol.n, KEY_PROXY },
		{ "accept-proxy-protocol-tlvs", proxy->trusted_tlvs.n, KEY_PROXY },
		{ "proxy-protocol-timeout", proxy->header_timeout_ms, KEY_PROXY },
		{ "max-connections", proxy->max_connections, KEY_PROXY },
		{ "max-held", proxy->max_held, KEY_PROXY },
		{ "balance", proxy->balance, KEY_PROXY },
		{ "resolve-interval", proxy->resolve_interval_ms, KEY_PROXY },
		{ "resolve-each", proxy->resolve_each, KEY_PROXY },
		{ "check-interval", proxy->check.interval_ms, KEY_PROXY },
		{ "check-timeout", proxy->check.timeout_ms, KEY_PROXY },
		{ "check-rise", proxy->check.rise, KEY_PROXY },
		{ "check-fall", proxy->check.fall, KEY_PROXY },
		{ "check-send", proxy->check.send.n, KEY_PROXY },
		{ "check-expect",
		  proxy->check.expect.bytes.n + 1000 * proxy->check.expect.is_anywhere, KEY_PROXY },
		{ "down-action", proxy->closes_when_down, KEY_PROXY },
		{ "backend-unit", proxy->unit != NULL, KEY_PROXY },
		{ "backend-unit-idle", proxy->unit_idle_ms, KEY_PROXY },
		{ "connect-timeout", proxy->connect_timeout_ms, KEY_PROXY },
		{ "connect-retry", proxy->connect_retry, KEY_PROXY },
		{ "idle-timeout", proxy->idle_timeout_ms, KEY_PROXY },
		{ "half-close-timeout", proxy->half_close_timeout_ms, KEY_PROXY },
		{ "connection-timeout", proxy->connection_timeout_ms, KEY_PROXY },
		{ "coalesce-time", proxy->coalesce_ms, KEY_PROXY },
		{ "backend-source", proxy->backend_source.n + proxy->backend_source.is_client,
		  KEY_PROXY },
		{ "backend-tcp-keepalive", proxy->backend_keepalive.on, KEY_PROXY },
		{ "backend-tcp-nodelay", proxy->backend_nodelay, KEY_PROXY },
		{ "backend-tcp-user-timeout", proxy->backend_user_timeout_ms, KEY_PROXY },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].scope == key->scope && strcmp(fields[i].key, key->name) == 0)
			return fields[i].value;
	fail_msg("the test does not know where \"%s\" goes", key->name);
	return 0;
}

static void check_value(struct config *config, struct proxy_config *proxy, size_t i)
{
	const struct place place = { 0 };
	const struct key *key = key_find_anywhere(values[i].key);
	struct sfront_error err = { "" };
	uint64_t before = 0;
	int r;

	assert_non_null(key);
	if (!key->is_list)
		before = field(config, proxy, key);

	r = key_set(key, config, proxy, values[i].value, &place, &err);
	if (r != values[i].result)
		fail_msg("%s = %s: %d, not %d (%s)", values[i].key, values[i].value, r,
			 values[i].result, err.message);
	assert_int_equal(r < 0, *err.message != '\0');
	if (!key->is_list)
		assert_true(field(config, proxy, key) == (r < 0 ? before : values[i].expected));

	assert_int_equal(key_set(key, config, proxy, values[i].value, &place, NULL), r);
}

static void test_values(void **state)
{
	const struct place place = { 0 };
	struct proxy_config *proxy;
	struct config config;

	(void)state;
	config_init(&config);
	proxy = config_add_proxy(&config, "", &place);
	assert_non_null(proxy);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		check_value(&config, proxy, i);
	config_clear(&config);
	assert_int_equal(config.n_proxies, 0);
}

/* What follows "(default " in the help of a key, up to the bracket. */
static void read_default(const struct key *key, char *buf, size_t size)
{
	const char *start = strstr(key->help, "(default ");
	size_t length;

	assert_non_null(start);
	start += strlen("(default ");
	length = strcspn(start, ")");
	assert_true(start[length] == ')' && length > 0 && length < size);
	memcpy(buf, start, length);
	buf[length] = '\0';
}

/* The value that the help calls the default is the one that is there when nobody has set any. */
static void check_default(struct config *config, struct proxy_config *proxy, const struct key *key)
{
	const struct place place = { 0 };
	struct sfront_error err = { "" };
	uint64_t before = field(config, proxy, key);
	char text[32];

	read_default(key, text, sizeof(text));
	if (key_set(key, config, proxy, text, &place, &err) < 0)
		fail_msg("%s does not take its own default, %s: %s", key->name, text, err.message);
	if (field(config, proxy, key) != before)
		fail_msg("%s: the help says \"%s\", which is %llu; it is %llu", key->name, text,
			 (unsigned long long)field(config, proxy, key), (unsigned long long)before);
}

static void test_defaults_are_as_the_help_says(void **state)
{
	const struct place place = { 0 };
	struct proxy_config *proxy;
	struct config config;
	const struct key *key;
	size_t compared = 0;

	(void)state;
	config_init(&config);
	proxy = config_add_proxy(&config, "", &place);
	assert_non_null(proxy);
	for (size_t i = 0; (key = key_at(i)) && !sfront_option_find(key->name); i++) {
		if (strstr(key->help, "(no default)")) {
			assert_true(strcmp(key->name, "listen") == 0 ? proxy->n_listen == 0
								     : proxy->n_servers == 0);
		} else if (strstr(key->help, "(default: ")) { /* in words: found out later */
			assert_int_equal(field(&config, proxy, key), 0);
		} else {
			check_default(&config, proxy, key);
			compared++;
		}
	}
	assert_true(compared >= 10);
	config_clear(&config);
}

static void test_workers_auto(void **state)
{
	const struct place place = { 0 };
	struct config config;

	(void)state;
	config_init(&config);
	config.process.workers = 0;
	assert_int_equal(
		key_set(key_find("workers", KEY_PROCESS), &config, NULL, "auto", &place, NULL), 0);
	assert_in_range(config.process.workers, 1, 1024);
	config_clear(&config);
}

/* Places of the command line; the addresses follow each other. */
static void test_list(void **state)
{
	const struct place place = { .file = NULL, .line = 0 };
	struct proxy_config *proxy;
	struct config config;

	(void)state;
	config_init(&config);
	proxy = config_add_proxy(&config, "", &place);
	assert_non_null(proxy);
	for (int i = 0; i < 20; i++) {
		char text[16];

		snprintf(text, sizeof(text), ":%d", 1000 + i);
		assert_int_equal(
			key_set(key_find("listen", KEY_PROXY), &config, proxy, text, &place, NULL),
			0);
	}
	assert_int_equal(proxy->n_listen, 20);
	assert_string_equal(proxy->listen[19].address.u.tcp.service, "1019");
	assert_null(proxy->listen[19].place.file);
	config_clear(&config);
}

static const struct {
	const char *word;
	enum key_scope scope;
	const char *nearest;
} words[] = {
	{ "idle-timout", KEY_PROXY, "idle-timeout" },
	{ "IDLE_TIMEOUT", KEY_PROXY, "idle-timeout" },
	{ "listne", KEY_PROXY, "listen" },
	{ "backed", KEY_PROXY, "backend" },
	{ "conect-timeot", KEY_PROXY, "connect-timeout" },
	{ "nodelay", KEY_PROXY, "backend-tcp-nodelay" },
	{ "backlog", KEY_PROXY, "tcp-listen-backlog" },
	{ "tcp-keep-alive", KEY_PROXY, "tcp-keepalive" },
	{ "worker", KEY_PROCESS, "workers" },
	{ "worker", KEY_PROXY, NULL },
	{ "max-conn", KEY_PROCESS, "max-connections" },
	{ "loglevel", KEY_PROCESS, "log-level" },
	{ "exit-idle", KEY_PROCESS, "exit-idle-time" },
	{ "colour", KEY_PROXY, NULL },
	{ "x", KEY_PROXY, NULL },
	{ "", KEY_PROXY, NULL },
	{ "\xFF\xFE", KEY_PROXY, NULL },
	{ "tcp-keepaliveeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", KEY_PROXY, NULL },
};

static void test_nearest(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const char *nearest = key_nearest(words[i].word, words[i].scope);

		if (!nearest || !words[i].nearest)
			assert_ptr_equal(nearest, words[i].nearest);
		else
			assert_string_equal(nearest, words[i].nearest);
	}
}

/* Nothing of ours, or it would never be looked for; and what it is here is a key. */
static void test_foreign_options(void **state)
{
	const struct foreign_option *option;

	(void)state;
	for (size_t i = 0; (option = foreign_option_at(i)); i++) {
		assert_null(key_find_anywhere(option->name));
		assert_ptr_equal(foreign_option_find(option->name), option);
		assert_true(option->key || option->remark);
		assert_true(!option->remark || strlen(option->remark) < FOREIGN_REMARK_SIZE - 4);
		if (option->key && !key_find_anywhere(option->key))
			fail_msg("%s: %s is no key", option->name, option->key);
	}
	assert_string_equal(foreign_option_find("TIMEOUT client-fin 3s")->key,
			    "half-close-timeout");
	assert_null(foreign_option_find("binding"));
	assert_null(foreign_option_find("bin"));
	assert_null(foreign_option_find(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_foreign_options),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_workers_auto),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_defaults_are_as_the_help_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
