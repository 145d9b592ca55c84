/* SPDX-License-Identifier: MIT */
/*
 * A section whose backend is a range of ports becomes a proxy for each of them.
 */
#include "descriptors.h"

#include <stdlib.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/spread.h"

static char told[4096];

static void reported(void *data, const struct place *place, const char *message)
{
	size_t length = strlen(told);

	(void)data;
	snprintf(told + length, sizeof(told) - length, "%u: %s\n", place->line, message);
}

/* Returns how many problems there are; told has them. */
static unsigned int load(const char *text, struct config *config)
{
	struct problems problems = { .report = reported };
	char path[] = "/tmp/spread-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	told[0] = '\0';
	config_init(config);
	config_load(path, config, &problems);
	config_check(config, &problems);
	unlink(path);
	return problems.count;
}

static void load_and_spread(const char *text, struct config *config)
{
	if (load(text, config) > 0)
		fail_msg("%s", told);
	assert_int_equal(config_spread(config), 0);
}

static void assert_address(const struct sfront_address *address, const char *wanted)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	sfront_address_format(address, text, sizeof(text));
	assert_string_equal(text, wanted);
}

static void assert_server(const struct server_config *server, const char *wanted)
{
	char text[SERVER_TEXT_SIZE];

	server_format(server, text, sizeof(text));
	assert_string_equal(text, wanted);
}

static void test_in_step(void **state)
{
	struct config config;
	struct proxy_config *proxy;

	(void)state;
	load_and_spread("[proxy a]\nlisten = ./a\nbackend = h:1\n"
			"[proxy b]\nlisten = 127.0.0.1:7000-7002\nlisten = [::1]:8000-8002\n"
			"backend = h:9000-9002 weight=3 max=5\nbackend = [::2]:1-3 backup\n"
			"allow = 10.0.0.0/8\nbackend-unit = a.service\ncheck-send = x\n"
			"check-expect = y\nbackend-source = 10.0.0.1 ::3\ntcp-nodelay = no\n"
			"idle-timeout = 7s\n"
			"[proxy c]\nlisten = ./c\nbackend = h:1\n",
			&config);
	assert_int_equal(config.n_proxies, 5);
	assert_string_equal(config.proxies[0].name, "a");
	assert_string_equal(config.proxies[1].name, "b:7000");
	assert_string_equal(config.proxies[3].name, "b:7002");
	assert_string_equal(config.proxies[4].name, "c");
	assert_false(config.proxies[0].is_further);
	assert_false(config.proxies[1].is_further);
	assert_true(config.proxies[2].is_further);

	proxy = &config.proxies[2];
	assert_int_equal(proxy->n_listen, 2);
	assert_address(&proxy->listen[0].address, "127.0.0.1:7001");
	assert_address(&proxy->listen[1].address, "[::1]:8001");
	assert_int_equal(proxy->n_servers, 2);
	assert_server(&proxy->servers[0], "h:9001");
	assert_int_equal(proxy->servers[0].weight, 3);
	assert_int_equal(proxy->servers[0].max, 5);
	assert_server(&proxy->servers[1], "[::2]:2");
	assert_true(proxy->servers[1].is_backup);
	assert_int_equal(proxy->access.n, 1);
	assert_string_equal(proxy->unit, "a.service");
	assert_int_equal(proxy->check.send.n, 1);
	assert_int_equal(proxy->check.expect.bytes.n, 1);
	assert_int_equal(proxy->backend_source.n, 2);
	assert_true(sfront_options_is_set(proxy->options, "tcp-nodelay"));
	assert_int_equal(proxy->idle_timeout_ms, 7000);
	config_clear(&config);
}

/* Long lists of rules are there once, until the last proxy that has them is gone. */
static void test_rules_are_shared(void **state)
{
	struct config config;

	(void)state;
	load_and_spread("[proxy b]\nlisten = 127.0.0.1:7000-7001\nbackend = h:9000-9001\n"
			"allow = 10.0.0.0/8 unix\n",
			&config);
	assert_int_equal(config.n_proxies, 2);
	assert_ptr_equal(config.proxies[0].access.rules, config.proxies[1].access.rules);
	source_list_clear(&config.proxies[0].access);
	assert_int_equal(config.proxies[1].access.n, 2);
	assert_true(config.proxies[1].access.rules[0].allows);
	config_clear(&config);
}

/* One port for all: nothing to be spread. */
static void test_one_port(void **state)
{
	struct config config;

	(void)state;
	load_and_spread("[proxy b]\nlisten = 127.0.0.1:7000-7002\nlisten = ./a\nbackend = h:9000\n",
			&config);
	assert_int_equal(config.n_proxies, 1);
	assert_string_equal(config.proxies[0].name, "b");
	assert_int_equal(config.proxies[0].n_listen, 4);
	assert_address(&config.proxies[0].listen[2].address, "127.0.0.1:7002");
	config_clear(&config);
}

static const struct {
	const char *text, *problem;
} bad[] = {
	{ "listen = :7000-7009\nbackend = h:7000-7999\n",
	  "2: listen: \"*:7000-7009\" is 10 ports, and the backend \"h:7000-7999\"" },
	{ "listen = :7000-7009\nbackend = h:7000-7999\n", ":3) is 1000:" },
	{ "listen = :7000\nbackend = h:7000-7001\n", "2: listen: \"*:7000\" is 1 port, and" },
	{ "listen = ./a\nbackend = h:7000-7001\n", "2: listen: \"./a\" is 1 port, and" },
	{ "listen = :7000-7001\nbackend = h:7000-7001\nbackend = i:80\n",
	  "4: backend: \"i:80\" is 1 port, and the backend \"h:7000-7001\"" },
	{ "listen = :7000-7001\nbackend = i:80\nbackend = h:7000-7001\n",
	  "3: backend: \"i:80\" is 1 port, and the backend \"h:7000-7001\"" },
	{ "listen = :7000-7001\nbackend = h:7000-7001\nresolve-each = yes\n",
	  "3: backend: \"h:7000-7001\" is a range of ports, which cannot be combined with "
	  "resolve-each" },
	{ "listen = :7000-7999\nlisten = :7500\nbackend = h:80\n",
	  "3: listen: \"*:7500\" is listened on already" },
	{ "listen = :7000-7999\nlisten = 127.0.0.1:7500-7600\nbackend = h:80\n",
	  "3: listen: \"127.0.0.1:7500\" overlaps with \"*:7500\"" },
	{ "listen = 127.0.0.1:7000-7999\nbackend = 127.0.0.1:7999-8998\n",
	  "3: backend: \"127.0.0.1:7999-8998\" is our own listener \"127.0.0.1:7999\"" },
};

/* Each is said once, not for each port. */
static void test_bad(void **state)
{
	char text[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct config config;

		snprintf(text, sizeof(text), "[proxy a]\n%s", bad[i].text);
		assert_int_equal(load(text, &config), 1);
		assert_contains(told, bad[i].problem);
		config_clear(&config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_in_step),
		counted(test_rules_are_shared),
		counted(test_one_port),
		counted(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
