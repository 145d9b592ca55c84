/* SPDX-License-Identifier: MIT */
/*
 * conf/load.c and conf/check.c: what a file is understood as, and every problem
 * of a bad one with its line, in one run.  Each case writes its text into a
 * file "t.conf" in a directory of its own and compares all that was reported.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"

#define FILE_NAME         "t.conf"
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static char directory[] = "/tmp/test_conf.XXXXXX";
static char *sample; /* text of conf/sockfront.conf */

/* ---- what was reported, one "LINE: message" a line ---- */

struct report {
	char *text;
	size_t size;
	FILE *stream;
	unsigned int last_line;
	bool in_order;
};

static void add_to_report(void *data, const struct place *place, const char *message)
{
	struct report *report = data;

	assert_string_equal(place->file, FILE_NAME);
	if (place->line && place->line < report->last_line)
		report->in_order = false;
	if (place->line)
		report->last_line = place->line;
	fprintf(report->stream, "%u: %s\n", place->line, message);
}

static void write_file(const void *bytes, size_t n)
{
	FILE *stream = fopen(FILE_NAME, "we");

	assert_non_null(stream);
	assert_int_equal(fwrite(bytes, 1, n, stream), n);
	assert_int_equal(fclose(stream), 0);
}

/* Loads and checks "t.conf"; the caller frees the text and clears @config. */
static char *load_file(struct config *config)
{
	struct report report = { .in_order = true };
	struct problems problems = { .report = add_to_report, .data = &report };
	unsigned int lines = 0;

	report.stream = open_memstream(&report.text, &report.size);
	assert_non_null(report.stream);
	config_init(config);

	config_load(FILE_NAME, config, &problems);
	assert_true(report.in_order);
	config_check(config, &problems);

	assert_int_equal(fclose(report.stream), 0);
	for (const char *c = report.text; (c = strchr(c, '\n')); c++)
		lines++;
	assert_true(lines >= problems.count);
	return report.text;
}

static char *load_bytes(const void *bytes, size_t n, struct config *config)
{
	write_file(bytes, n);
	return load_file(config);
}

static char *load_text(const char *text, struct config *config)
{
	return load_bytes(text, strlen(text), config);
}

/* Like string equality, but a line of @expected that ends in '*' only has to begin right. */
static void assert_reported(const char *text, const char *got, const char *expected)
{
	const char *g = got, *e = expected;

	while (*e) {
		size_t n = strcspn(e, "\n"), n_got = strcspn(g, "\n");
		bool open_end = n > 0 && e[n - 1] == '*';
		bool same = open_end ? n_got >= n - 1 && memcmp(e, g, n - 1) == 0
				     : n_got == n && memcmp(e, g, n) == 0;

		if (!same)
			break;
		e += n + (e[n] == '\n');
		g += n_got + (g[n_got] == '\n');
	}
	if (*e || *g)
		fail_msg("reported:\n%s\nexpected:\n%s\nfile:\n%s", got, expected, text);
}

struct case_of_file {
	const char *text;
	const char *reported;
};

static void run_cases(const struct case_of_file *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct config config;
		char *got = load_text(cases[i].text, &config);

		assert_reported(cases[i].text, got, cases[i].reported);
		free(got);
		config_clear(&config);
	}
}

/* ---- good files ---- */

static void assert_address(const struct sfront_address *address, const char *expected)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	sfront_address_format(address, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void test_defaults(void **state)
{
	const struct proxy_config *proxy;
	struct config config;
	char *got;

	(void)state;
	got = load_text("[proxy web]\nlisten=:1\nbackend=h:2\n", &config);
	assert_string_equal(got, "");

	assert_int_equal(config.process.workers, 1);
	assert_int_equal(config.process.log_level, LOG_INFO);
	assert_int_equal(config.process.access_log, ACCESS_LOG_NO);
	assert_int_equal(config.process.drain_timeout_ms, 30000);
	assert_true(config.process.exit_idle_ms == SFRONT_INFINITY_MS);
	assert_int_equal(config.process.max_connections, 0);
	assert_int_equal(config.process.pipe_size, 1024 * 1024);

	assert_int_equal(config.n_proxies, 1);
	proxy = &config.proxies[0];
	assert_string_equal(proxy->name, "web");
	assert_int_equal(proxy->place.line, 1);
	assert_int_equal(proxy->n_listen, 1);
	assert_address(&proxy->listen[0].address, "*:1");
	assert_int_equal(proxy->listen[0].place.line, 2);
	assert_int_equal(proxy->n_servers, 1);
	assert_address(&proxy->servers[0].address, "h:2");
	assert_int_equal(proxy->servers[0].place.line, 3);
	assert_int_equal(proxy->connect_timeout_ms, 10000);
	assert_true(proxy->connect_retry);
	assert_true(proxy->idle_timeout_ms == SFRONT_INFINITY_MS);
	assert_true(proxy->half_close_timeout_ms == SFRONT_INFINITY_MS);
	assert_true(proxy->connection_timeout_ms == SFRONT_INFINITY_MS);
	assert_int_equal(proxy->coalesce_ms, 2);
	assert_false(proxy->backend_keepalive.on);
	assert_true(proxy->backend_nodelay);
	assert_int_equal(proxy->backend_user_timeout_ms, 0);
	free(got);
	config_clear(&config);
}

static void test_every_key(void **state)
{
	static const char text[] = "[sockfront]\n"
				   "workers = 4\n"
				   "log-level = Debug\n"
				   "access-log = on\n"
				   "drain-timeout = 1min 30s\n"
				   "max-connections = 200\n"
				   "pipe-size = 1M\n"
				   "[proxy a.b_c-1]\n"
				   "listen = /run/sockfront/web.sock\n"
				   "listen = [::]:8443\n"
				   "listen = sd-listen:web\n"
				   "backend = 127.0.0.1:8080\n"
				   "connect-timeout = 250ms\n"
				   "connect-retry = no\n"
				   "idle-timeout = 1h\n"
				   "half-close-timeout = 5\n"
				   "connection-timeout = 1h\n"
				   "coalesce-time = 10ms\n"
				   "backend-tcp-keepalive = 1500:3:2000\n"
				   "backend-tcp-nodelay = 0\n"
				   "backend-tcp-user-timeout = 10s\n"
				   "unix-listen-chmod = group\n"
				   "tcp-listen-backlog = 7\n"
				   "[proxy second]\n"
				   "listen = @second\n"
				   "backend = [::1]:http\n";
	const struct proxy_config *proxy;
	struct config config;
	char *got;

	(void)state;
	got = load_text(text, &config);
	assert_string_equal(got, "");

	assert_int_equal(config.process.workers, 4);
	assert_int_equal(config.process.log_level, LOG_DEBUG);
	assert_int_equal(config.process.access_log, ACCESS_LOG_LOGFMT);
	assert_int_equal(config.process.drain_timeout_ms, 90000);
	assert_int_equal(config.process.max_connections, 200);
	assert_int_equal(config.process.pipe_size, 1 << 20);

	assert_int_equal(config.n_proxies, 2);
	proxy = &config.proxies[0];
	assert_string_equal(proxy->name, "a.b_c-1");
	assert_int_equal(proxy->n_listen, 3);
	assert_address(&proxy->listen[0].address, "/run/sockfront/web.sock");
	assert_address(&proxy->listen[1].address, "[::]:8443");
	assert_address(&proxy->listen[2].address, "sd-listen:web");
	assert_int_equal(proxy->listen[2].place.line, 11);
	assert_int_equal(proxy->connect_timeout_ms, 250);
	assert_false(proxy->connect_retry);
	assert_int_equal(proxy->idle_timeout_ms, 3600000);
	assert_int_equal(proxy->half_close_timeout_ms, 5000);
	assert_int_equal(proxy->connection_timeout_ms, 3600000);
	assert_int_equal(proxy->coalesce_ms, 10);
	assert_true(proxy->backend_keepalive.on);
	assert_int_equal(proxy->backend_keepalive.time_s, 2);
	assert_int_equal(proxy->backend_keepalive.count, 3);
	assert_int_equal(proxy->backend_keepalive.interval_s, 2);
	assert_false(proxy->backend_nodelay);
	assert_int_equal(proxy->backend_user_timeout_ms, 10000);
	assert_true(sfront_options_is_set(proxy->options, "unix-listen-chmod"));
	assert_true(sfront_options_is_set(proxy->options, "tcp-listen-backlog"));
	assert_false(sfront_options_is_set(proxy->options, "tcp-nodelay"));

	assert_false(sfront_options_is_set(config.proxies[1].options, "unix-listen-chmod"));
	assert_address(&config.proxies[1].listen[0].address, "@second");
	free(got);
	config_clear(&config);
}

/* One proxy each, listening at the path that stands beside the file. */
static const struct {
	const char *text;
	const char *listen;
} formats[] = {
	{ "[proxy w]\nlisten = /a\nbackend = h:1", "/a" },
	{ "\xEF\xBB\xBF[proxy w]\nlisten=/a\nbackend=h:1\n", "/a" },
	{ "\xEF\xBB\xBF  # note\n[proxy w]\nlisten=/a\nbackend=h:1\n", "/a" },
	{ "[proxy w]\r\nlisten = /a\r\nbackend = h:1\r\n", "/a" },
	{ "  [proxy w]  \n\tlisten = /a\n\t  backend = h:1\n", "/a" },
	{ "[ proxy\tw ] ; note\nlisten : /a ; note\nbackend: h:1\t; note ; note\n", "/a" },
	{ "# note\n; note\n;note\n\n \t\n[proxy w]\n #x\nlisten = /a\n ;x\nbackend = h:1\n", "/a" },
	{ "[proxy w]\nlisten = /a;b\nbackend = h:1\n", "/a;b" },
	{ "[proxy w]\nlisten = /a#b # c\nbackend = h:1\n", "/a#b # c" },
	{ "[proxy w]\nlisten = /a=b:c\nbackend = h:1\n", "/a=b:c" },
	{ "[proxy w]\nlisten = /\"a\" '\\n\nbackend = h:1\n", "/\"a\" '\\n" },
	{ "[proxy w]\nlisten = /\xFF\xC3\x28\nbackend = h:1\n", "/\xFF\xC3\x28" },
	{ "[proxy w]\nlisten\t=\t/a\nbackend=\t\vh:1\f\n", "/a" },
};

static void test_formats(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct config config;
		char *got = load_text(formats[i].text, &config);

		assert_reported(formats[i].text, got, "");
		assert_int_equal(config.n_proxies, 1);
		assert_string_equal(config.proxies[0].name, "w");
		assert_int_equal(config.proxies[0].n_listen, 1);
		assert_string_equal(config.proxies[0].listen[0].address.u.local.name,
				    formats[i].listen);
		assert_address(&config.proxies[0].servers[0].address, "h:1");
		free(got);
		config_clear(&config);
	}
}

/* ---- bad files ---- */

#define BACKEND_KINDS                                                           \
	"a backend is HOST:PORT (such as 127.0.0.1:8080), a UNIX path, @NAME, " \
	"vsock:CID:PORT, vsock-mux:PATH:PORT or srv:NAME"

#define GOOD   "[proxy w]\nlisten = /a\nbackend = h:1\n"
#define STATUS "[status]\nlisten = /s\n"

static const struct case_of_file bad_files[] = {
	{ "", "0: there is no [proxy NAME] section, and so nothing to listen on\n" },
	{ "[sockfront]\n", "0: there is no [proxy NAME] section, and so nothing to listen on\n" },

	/* sections */
	{ "[proxi web]\nlisten = /a\nbackend = h:1\n",
	  "1: unknown section [proxi web] (did you mean [proxy web]?)\n" },
	{ "[Proxy web]\nlisten = /a\nbackend = h:1\n",
	  "1: unknown section [Proxy web] (did you mean [proxy web]?)\n" },
	{ "[proxy:web]\nlisten = /a\nbackend = h:1\n",
	  "1: unknown section [proxy:web] (did you mean [proxy web]?)\n" },
	{ "[prxy]\nlisten = /a\nbackend = h:1\n",
	  "1: unknown section [prxy] (did you mean [proxy NAME]?)\n" },
	{ "[proxy\nlisten = /a\nbackend = h:1\n",
	  "1: \"[proxy\" is not a section header (such as [sockfront] or [proxy web])\n" },
	{ "[proxy]\nlisten = /a\nbackend = h:1\n",
	  "1: [proxy] has no name (such as [proxy web])\n" },
	{ "[proxy we b]\nlisten = /a\nbackend = h:1\n",
	  "1: [proxy we b]: a name consists of letters, digits, \".\", \"_\" and \"-\"\n" },
	{ "[sockfrnt]\nworkers = x\n" GOOD,
	  "1: unknown section [sockfrnt] (did you mean [sockfront]?)\n"
	  "2: workers: \"x\" is neither a number from 1 to 1024 nor \"auto\"\n" },
	{ "[sockfront web]\n" GOOD,
	  "1: unknown section [sockfront web] (did you mean [sockfront]?)\n" },
	{ "[logging]\nfile = /x\n" GOOD,
	  "1: unknown section [logging] (there are [sockfront], [proxy NAME] and [status])\n" },
	{ "[Status]\nlisten = /s\n" GOOD,
	  "1: unknown section [Status] (did you mean [status]?)\n" },
	{ "[status web]\nlisten = /s\n" GOOD,
	  "1: unknown section [status web] (did you mean [status]?)\n" },
	{ STATUS "[status]\nlisten = /t\n" GOOD,
	  "3: section [status] is there already, in line 1\n" },
	{ "[]\n" GOOD,
	  "1: unknown section [] (there are [sockfront], [proxy NAME] and [status])\n" },
	{ "[proxy w\nlisten = /a\nbackend = h:1\n",
	  "1: \"[proxy w\" is not a section header (such as [sockfront] or [proxy web])\n" },
	{ "[proxy w] x\nlisten = /a\nbackend = h:1\n",
	  "1: \"[proxy w] x\" is not a section header (such as [sockfront] or [proxy web])\n" },
	/* whose keys those are, nobody knows */
	{ GOOD "[web\nlisten = /b\nbackend = h:2\n",
	  "4: \"[web\" is not a section header (such as [sockfront] or [proxy web])\n" },
	{ GOOD "  [::1]:80\nidle-timeout = x\n",
	  "4: \"[::1]:80\" is not a section header (such as [sockfront] or [proxy web])\n"
	  "5: idle-timeout: \"x\" *\n" },
	{ "[sockfront]\n" GOOD "[sockfront]\nworkers = 2\n",
	  "5: section [sockfront] is there already, in line 1\n" },
	{ GOOD "[proxy w]\nlisten = /b\nbackend = h:1\n",
	  "4: section [proxy w] is there already, in line 1\n" },
	{ "[proxy 01234567890123456789012345678901234567890123]\nlisten = /a\nbackend = h:1\n",
	  "1: the section's name is longer than 49 bytes (it begins "
	  "\"proxy 0123456789012345678901234567890123456789012\")\n" },
	{ "workers = 1\nx = y\n" GOOD,
	  "1: key \"workers\" comes before any section ([sockfront], [proxy NAME] or [status])\n"
	  "2: key \"x\" comes before any section ([sockfront], [proxy NAME] or [status])\n" },

	/* lines */
	{ GOOD "nonsense\n\nmore nonsense\n",
	  "4: \"nonsense\" is neither KEY = VALUE nor [SECTION] nor a comment (# or ;)\n"
	  "6: \"more nonsense\" is neither KEY = VALUE nor [SECTION] nor a comment (# or ;)\n" },
	{ GOOD "foo ; a = b\n",
	  "4: \"foo\" is neither KEY = VALUE nor [SECTION] nor a comment (# or ;)\n" },
	{ GOOD "= 5\n: 6\n",
	  "4: a key is missing in front of \"=\"\n5: a key is missing in front of \":\"\n" },
	{ GOOD "listen 127.0.0.1:80\nidle-timeout\n",
	  "4: \"=\" is missing after \"listen\"\n5: \"=\" is missing after \"idle-timeout\"\n" },
	/* what they were to give is not missing as well */
	{ "[proxy w]\nlisten :80\nbackend h:1\n",
	  "2: \"=\" is missing after \"listen\"\n3: \"=\" is missing after \"backend\"\n" },
	{ "[proxy w]\nlisten : :80\nbackend: h:1\nidle-timeout :1\n",
	  "4: \"=\" is missing after \"idle-timeout\"\n" },
	{ "[proxy w]\nlisen = :80\nbackned = h:1\n",
	  "2: unknown key \"lisen\" (did you mean \"listen\"?)\n"
	  "3: unknown key \"backned\" (did you mean \"backend\"?)\n" },
	{ GOOD "listn :80\n", "4: unknown key \"listn\" (did you mean \"listen\"?)\n" },

	/* keys */
	{ GOOD "idle-timout = 5s\n",
	  "4: unknown key \"idle-timout\" (did you mean \"idle-timeout\"?)\n" },
	{ GOOD "Idle_Timeout = 5s\n",
	  "4: unknown key \"Idle_Timeout\" (did you mean \"idle-timeout\"?)\n" },
	{ GOOD "worker = 5\n",
	  "4: unknown key \"worker\" (did you mean \"workers\", which belongs in [sockfront]?)\n" },
	{ "[sockfront]\nlistn = 5\n" GOOD,
	  "2: unknown key \"listn\" (did you mean \"listen\", which belongs in a [proxy NAME] "
	  "section?)\n" },
	{ GOOD "colour = red\ntwo words = x\n",
	  "4: unknown key \"colour\" (see sockfront.conf(5))\n"
	  "5: unknown key \"two words\" (see sockfront.conf(5))\n" },
	{ GOOD "workers = 2\n", "4: key \"workers\" belongs in [sockfront]\n" },
	{ GOOD "status-host = a\n", "4: key \"status-host\" belongs in [status]\n" },
	{ STATUS "workers = 2\nbackend = h:1\n" GOOD,
	  "3: key \"workers\" belongs in [sockfront]\n"
	  "4: key \"backend\" belongs in a [proxy NAME] section\n" },
	{ STATUS "alow = any\nunix-listen-chmd = 0660\nhost = a\n" GOOD,
	  "3: unknown key \"alow\" (did you mean \"allow\"?)\n"
	  "4: unknown key \"unix-listen-chmd\" (did you mean \"unix-listen-chmod\"?)\n"
	  "5: unknown key \"host\" (did you mean \"status-host\"?)\n" },
	{ STATUS "status-host = a b.example.org\nstatus-host = a:80\nstatus-host =\n" GOOD,
	  "4: status-host: \"a:80\" is no name of a host (such as proxy.example.org, without a "
	  "port)\n"
	  "5: status-host: a name is missing (such as proxy.example.org)\n" },
	{ STATUS "unix-listen-chmod = 0660\nunix-listen-chmod = 0660\n" GOOD,
	  "4: key \"unix-listen-chmod\" is there already, in line 3\n" },
	{ "[sockfront]\nbackend = h:1\ntcp-nodelay = no\n" GOOD,
	  "2: key \"backend\" belongs in a [proxy NAME] section\n"
	  "3: key \"tcp-nodelay\" belongs in a [proxy NAME] section\n" },
	{ GOOD "balance = first\nbalance = first\n[sockfront]\nworkers=1\n[proxy v]\nlisten = /b\n"
	       "backend = h:1\ntcp-nodelay = no\ntcp-nodelay = no\n",
	  "5: key \"balance\" is there already, in line 4\n"
	  "12: key \"tcp-nodelay\" is there already, in line 11\n" },
	{ "[sockfront]\nworkers = 1\nworkers = 1\n" GOOD,
	  "3: key \"workers\" is there already, in line 2\n" },

	/* values; what the library says is its own tests' */
	{ GOOD "connect-timeout = ten\nconnect-retry = perhaps\nbackend-tcp-keepalive = x\n"
	       "tcp-listen-backlog = x\nunix-listen-chmod = x\nidle-timeout =\nconnect-retry =\n",
	  "4: connect-timeout: \"ten\" *\n5: connect-retry: \"perhaps\" *\n"
	  "6: backend-tcp-keepalive: \"x\" *\n7: tcp-listen-backlog: \"x\" *\n"
	  "8: unix-listen-chmod: \"x\" *\n9: idle-timeout: \"\" *\n"
	  "10: key \"connect-retry\" is there already, in line 5\n" },
	{ GOOD "idle-timeout = 0\n",
	  "4: idle-timeout: \"0\" leaves no time; write \"infinity\" for no limit, or at least "
	  "1ms\n" },
	{ GOOD "backend-tcp-user-timeout = infinity\n",
	  "4: backend-tcp-user-timeout: \"infinity\" is out of range (1ms to 24d; leave the key "
	  "out for the system's value)\n" },
	{ "[sockfront]\nworkers = 0\nlog-level = loud\npipe-size = 4095\nmax-connections = 0\n" GOOD,
	  "2: workers: \"0\" is neither a number from 1 to 1024 nor \"auto\"\n"
	  "3: log-level: \"loud\" is not a log level (error, warning, notice, info, debug)\n"
	  "4: pipe-size: \"4095\" is out of range (4K to 64M, or 0 to copy instead of splice)\n"
	  "5: max-connections: \"0\" *\n" },

	/* addresses: bad ones do not count as missing */
	{ "[proxy w]\nlisten =\nbackend =\n",
	  "2: listen: the address is missing (such as :8080, /run/app.sock, @app, vsock:any:8080, "
	  "sd-listen)\n"
	  "3: backend: the address is missing; " BACKEND_KINDS "\n" },
	{ "[proxy w]\nlisten = 127.0.0.1:99999\nbackend = sd-listen:x\n",
	  "2: listen: *\n"
	  "3: backend: \"sd-listen:x\" is an inherited descriptor; " BACKEND_KINDS "\n" },
	{ "[proxy w]\nlisten = /a\nbackend = vsock:any:80\n",
	  "3: backend: \"vsock:any:80\" names no machine: a CID is a number, host or local\n" },
	{ "[proxy w]\nlisten = /a\nbackend = -\n",
	  "3: backend: \"-\" is stdin and stdout; " BACKEND_KINDS "\n" },
	{ "[proxy w]\nlisten = /a\nbackend = :80\n",
	  "3: backend: \":80\" names no host; " BACKEND_KINDS "\n" },
	{ "[proxy w]\nlisten = /a\nbackend = h:0\n",
	  "3: backend: \"h:0\": nothing can be reached on port 0; " BACKEND_KINDS "\n" },
	{ "[proxy w]\nlisten = /a\nbackend = /b c\n",
	  "3: backend: \"/b c\": unknown word \"c\"; after the address there may be weight=N, max=N and "
	  "backup (a blank in a path is \\x20)\n" },
	/* backends that are our own listeners */
	{ "[proxy w]\nlisten = /a\nbackend = /b\n[proxy v]\nlisten = /b\nbackend = @a\n",
	  "3: backend: \"/b\" is our own listener \"/b\" (" FILE_NAME
	  ":5), not another service\n" },
	{ "[proxy w]\nlisten = @a\nbackend = @a\n", "3: backend: \"@a\" is our own listener *\n" },
	{ "[proxy w]\nlisten = /a\nbackend = vsock-mux:/a:80\n",
	  "3: backend: \"vsock-mux:/a:80\" is our own listener *\n" },
	{ "[proxy w]\nlisten = vsock:any:80\nbackend = vsock:local:80\n",
	  "3: backend: \"vsock:1:80\" is our own listener *\n" },
	{ "[proxy w]\nlisten = vsock:host:80\nbackend = vsock:2:80\n",
	  "3: backend: \"vsock:2:80\" is our own listener *\n" },
	{ GOOD "backend = /a\n", "4: backend: \"/a\" is our own listener *\n" },
	/* lines that cannot all be meant */
	{ GOOD "backend = h:01\n", "4: backend: \"h:1\" is there already (" FILE_NAME
				   ":3); weight=N gives it more clients\n" },
	{ GOOD "backend = H:1 backup\n", "4: backend: \"h:1\" is there already *\n" },
	{ "[proxy w]\nlisten = /a\nbackend = h:1 backup\nbackend = h:2 backup\n",
	  "3: backend: each one is a backup, and none is there that it could stand in for\n" },
	{ "[proxy w]\nlisten = /a\nbackend = vsock-mux:/m:1\nbackend = vsock-mux:/m:2\n"
	  "backend = /m\n",
	  "" },
	{ GOOD "backend = h:2 weight=3 max=7 backup\nbalance = random\n[proxy v]\nlisten = /b\n"
	       "backend = h:1\n",
	  "" },
	{ GOOD "balance = best\n",
	  "4: balance: \"best\" is none of first, round-robin, least-connections, random and "
	  "source\n" },
	/* and backends that are not our own listeners */
	{ "[proxy w]\nlisten = vsock:any:80\nbackend = vsock:host:80\n", "" },
	{ "[proxy w]\nlisten = vsock:any:80\nbackend = vsock:local:81\n", "" },
	{ "[proxy w]\nlisten = /a\nbackend = @/a\n", "" },
};

static void test_bad_files(void **state)
{
	(void)state;
	run_cases(bad_files, ARRAY_SIZE(bad_files));
}

/* ---- lines that are too long, bytes that are no text ---- */

static char *long_line(const char *before, size_t n, const char *after)
{
	char *text;

	assert_true(asprintf(&text, "%s%*s%s", before, (int)n, "", after) >= 0);
	memset(text + strlen(before), 'x', n);
	return text;
}

static void assert_loads(char *text, const char *reported)
{
	const struct case_of_file one = { text, reported };

	run_cases(&one, 1);
	free(text);
}

static void test_long_lines(void **state)
{
	static const char too_long[] = "4: the line is longer than 199 bytes (without its "
				       "comment)\n";

	(void)state;
	/* 199 bytes of key and value reach the key's parser, whole. */
	assert_loads(long_line(GOOD "log-level = ", 187, "\n"),
		     "4: key \"log-level\" belongs in [sockfront]\n");
	assert_loads(long_line(GOOD "log-level = ", 188, "\n"), too_long);
	assert_loads(long_line(GOOD "log-level = ", 188, ""), too_long);
	assert_loads(long_line(GOOD "x = ", 100000, "\ny = 1\n"),
		     "4: the line is longer than 199 bytes (without its comment)\n"
		     "5: unknown key \"y\" (see sockfront.conf(5))\n");
	assert_loads(long_line(GOOD "[proxy", 100000, "\ny = 1\n"), too_long);

	/* Comments may be as long as they like, and so may indentation. */
	assert_loads(long_line(GOOD "# ", 100000, "\n"), "");
	assert_loads(long_line(GOOD ";", 100000, " = y\n"), "");
	assert_loads(long_line(GOOD "tcp-nodelay = no ; ", 100000, "\n"), "");
	assert_loads(long_line("[proxy w] ; ", 100000, "\nlisten=/a\nbackend=h:1\n"), "");
}

static void test_nul_bytes(void **state)
{
	static const char text[] = "[proxy w]\nlisten = /a\0b\nlisten = /b\nbackend = h:1\n"
				   "# \0\n[pro\0xy v]\nx = y\n\0";
	struct config config;
	char *got;

	(void)state;
	got = load_bytes(text, sizeof(text) - 1, &config);
	assert_string_equal(got, "2: a NUL byte: the file must be plain text\n"
				 "5: a NUL byte: the file must be plain text\n"
				 "6: a NUL byte: the file must be plain text\n"
				 "8: a NUL byte: the file must be plain text\n");
	assert_int_equal(config.n_proxies, 1);
	assert_int_equal(config.proxies[0].n_listen, 1);
	free(got);
	config_clear(&config);
}

/* ---- files that are none ---- */

static void assert_unreadable(const char *reported)
{
	struct config config;
	char *got = load_file(&config);

	assert_reported("", got, reported);
	assert_int_equal(config.n_proxies, 0);
	free(got);
	config_clear(&config);
	remove(FILE_NAME);
}

static void test_unreadable(void **state)
{
	(void)state;
	remove(FILE_NAME);
	assert_unreadable("0: the configuration cannot be opened: No such file or directory\n");

	assert_int_equal(mkdir(FILE_NAME, 0700), 0);
	assert_unreadable("0: the configuration cannot be read: Is a directory\n");

	assert_int_equal(symlink(FILE_NAME, FILE_NAME), 0);
	assert_unreadable("0: the configuration cannot be opened: *");

	assert_int_equal(symlink("/dev/zero", FILE_NAME), 0);
	assert_unreadable("1: the file is larger than 16M, and so is no configuration\n");
}

static void test_permission_denied(void **state)
{
	struct config config;
	char *got;

	(void)state;
	write_file("", 0);
	assert_int_equal(chmod(FILE_NAME, 0), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	got = load_file(&config);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);

	assert_reported("", got, "0: the configuration cannot be opened: Permission denied\n");
	free(got);
	config_clear(&config);
	remove(FILE_NAME);
}

/* ---- what spans several keys ---- */

static const struct case_of_file checks[] = {
	{ "[proxy w]\n[proxy v]\nlisten = /a\n[proxy u]\nbackend = h:1\n",
	  "1: [proxy w] has no address to listen on (such as listen = :8080)\n"
	  "1: [proxy w] has no backend (such as backend = 127.0.0.1:8080)\n"
	  "2: [proxy v] has no backend (such as backend = 127.0.0.1:8080)\n"
	  "4: [proxy u] has no address to listen on (such as listen = :8080)\n" },

	/* one address twice */
	{ "[proxy w]\nlisten = /a\nlisten = :80\nlisten = *:080\nlisten = /a\nlisten = /a\n"
	  "backend = h:1\n",
	  "4: listen: \"*:80\" is listened on already (t.conf:3)\n"
	  "5: listen: \"/a\" is listened on already (t.conf:2)\n"
	  "6: listen: \"/a\" is listened on already (t.conf:2)\n" },
	{ GOOD "[proxy v]\nlisten = @b\nlisten = /a\nbackend = h:1\n",
	  "6: listen: \"/a\" is listened on already (t.conf:2)\n" },
	{ GOOD "[status]\nlisten = /a\n", "5: listen: \"/a\" is listened on already (t.conf:2)\n" },
	{ "[proxy w]\nlisten = sd-listen:a\nlisten = SD_LISTEN:a\nbackend = h:1\n",
	  "3: listen: \"sd-listen:a\" is listened on already (t.conf:2)\n" },
	{ "[proxy w]\nlisten = vsock:any:80\nlisten = vsock::80\nbackend = h:1\n",
	  "3: listen: \"vsock:any:80\" is listened on already (t.conf:2)\n" },
	{ "[proxy w]\nlisten = :0\nlisten = :0\nlisten = vsock:any:0\nlisten = vsock:any:0\n"
	  "listen = [::1]:80\nlisten = [::1]:81\nlisten = @a\nlisten = /a\nbackend = h:1\n",
	  "" },

	/* stdin and stdout */
	{ "[proxy w]\nlisten = -\nbackend = h:1\n", "" },
	{ "[proxy w]\nlisten = -\nlisten = stdio\nbackend = h:1\n",
	  "3: listen: \"-\" is listened on already (t.conf:2)\n" },
	{ GOOD "[proxy v]\nlisten = inetd\nbackend = h:1\n",
	  "5: listen: \"-\" is one connection; no other address may be given with it, but "
	  "there is \"/a\" (t.conf:2)\n" },
	{ "[proxy w]\nlisten = -\nlisten = :80\nlisten = :81\nbackend = h:1\n",
	  "2: listen: \"-\" is one connection; no other address may be given with it, but "
	  "there is \"*:80\" (t.conf:3)\n" },

	{ "[proxy w]\nlisten = 127.0.0.1:http\nlisten = 127.0.0.1:080\nbackend = h:1\n",
	  "3: listen: \"127.0.0.1:80\" is listened on already (t.conf:2)\n" },
	{ "[proxy w]\nlisten = 127.0.0.1:http\nlisten = 127.0.0.1:https\nbackend = h:1\n", "" },

	{ GOOD "[status]\nlisten = -\n", "5: listen: \"-\" is one connection; no other*" },

	/* parts of each other */
	{ "[proxy w]\nlisten = 127.0.0.1:80\nbackend = h:1\n[status]\nlisten = :80\nallow = any\n",
	  "5: listen: \"*:80\" overlaps with \"127.0.0.1:80\" (t.conf:2)*" },
	{ "[proxy w]\nlisten = :80\nlisten = 0.0.0.0:80\nbackend = h:1\n",
	  "3: listen: \"0.0.0.0:80\" overlaps with \"*:80\" (t.conf:2): an address and port can be "
	  "listened on once\n" },
	{ "[proxy w]\nlisten = 127.0.0.1:80\nbackend = h:1\n[proxy v]\nlisten = *:http\n"
	  "backend = h:1\n",
	  "5: listen: \"*:http\" overlaps with \"127.0.0.1:80\" (t.conf:2)*" },
	{ "[proxy w]\nlisten = [::]:80\nlisten = [::1]:80\nbackend = h:1\n", "3: listen: *" },
	{ "[proxy w]\nlisten = 127.0.0.1:80\nlisten = [::1]:80\nlisten = 127.0.0.2:80\n"
	  "backend = h:1\n",
	  "" },
	{ "[proxy w]\nlisten = 0.0.0.0:80\nlisten = [::1]:80\nlisten = :81\nbackend = h:1\n", "" },
	{ "[proxy w]\nlisten = [::]:80\nlisten = 0.0.0.0:80\ntcp-only-v6 = yes\nbackend = h:1\n",
	  "" },
	{ "[proxy w]\nlisten = :80\nlisten = 127.0.0.1:80\ntcp-reuse-port = yes\nbackend = h:1\n",
	  "" },
	{ "[proxy w]\nlisten = :80\nbind-to-device = a\nbackend = h:1\n[proxy v]\nlisten = "
	  "127.0.0.1:80\nbackend = h:1\n",
	  "" },
	{ "[proxy w]\nlisten = :0\nlisten = 127.0.0.1:0\nbackend = h:1\n", "" },

	/* services */
	{ "[proxy w]\nlisten = :no-such-service\nbackend = h:no-such-either\n",
	  "2: listen: *\n3: backend: *\n" },
	{ "[proxy w]\nlisten = :https\nbackend = h:http\n", "" },

	/* the status address, which keeps nobody waiting for a backend */
	{ "[sockfront]\nexit-idle-time = 1h\n[proxy w]\nlisten = sd-listen\nbackend = h:1\n" STATUS,
	  "" },
	{ GOOD "[proxy v]\nlisten = /b\nbackend = /s\n" STATUS, "" },
	{ GOOD "[status]\n", "4: [status] has no address to listen on (such as listen = "
			     "/run/sockfront/status.sock)\n" },
	{ GOOD "[status]\nlisten = :http-but-wrong:\n", "5: listen: *" },
	{ GOOD "[status]\nlisten = 127.0.0.1:1\nlisten = [::1]:1\nlisten = localhost:2\n"
	       "listen = [::ffff:127.0.0.1]:3\nlisten = @s\nlisten = vsock:any:1\n"
	       "listen = sd-listen:s\n",
	  "" },
	{ GOOD "[status]\nlisten = :1\nlisten = 192.0.2.1:6\nlisten = [::]:2\nlisten = 0.0.0.0:3\n"
	       "listen = h:4\nlisten = [::ffff:192.0.2.1]:5\ndeny = 10.0.0.0/8\n",
	  "5: listen: \"*:1\" can be reached from other machines: [status] wants an allow that "
	  "says who may ask (such as allow = 10.0.0.0/8)\n"
	  "6: listen: \"192.0.2.1:6\" can be reached*\n"
	  "7: listen: *\n8: listen: *\n9: listen: *\n10: listen: *" },
	{ GOOD "[status]\nlisten = :1\nallow = 10.0.0.0/8\n", "" },

	/* a backend that is a listener */
	{ "[proxy w]\nlisten = 127.0.0.1:80\nbackend = 127.0.0.1:80\n",
	  "3: backend: \"127.0.0.1:80\" is our own listener \"127.0.0.1:80\" (t.conf:2), not another "
	  "service\n" },
	{ "[proxy w]\nlisten = /a\nbackend = h:80\n[proxy v]\nlisten = h:80\nbackend = h:1\n",
	  "3: backend: \"h:80\" is our own listener \"h:80\" (t.conf:5), not another "
	  "service\n" },
	{ "[proxy w]\nlisten = :80\nbackend = localhost:080\n", "3: backend: \"localhost:*" },
	{ "[proxy w]\nlisten = :80\nbackend = 127.9.9.9:80\n", "3: backend: \"127.9.9.9:80*" },
	{ "[proxy w]\nlisten = *:80\nbackend = [::1]:80\n", "3: backend: \"[::1]:80*" },
	{ "[proxy w]\nlisten = [::]:80\nbackend = 127.0.0.1:80\n", "3: backend: \"127.0.0.1:80*" },
	{ "[proxy w]\nlisten = [0::0]:80\nbackend = [::1]:80\n", "3: backend: \"[::1]:80*" },
	{ "[proxy w]\nlisten = 0.0.0.0:80\nbackend = LOCALHOST:80\n", "3: backend: *" },
	{ "[proxy w]\nlisten = :http\nbackend = localhost:http\n", "3: backend: *" },
	{ "[proxy w]\nlisten = :80\nbackend = localhost:81\n", "" },
	{ "[proxy w]\nlisten = :80\nbackend = 192.0.2.1:80\n", "" },
	{ "[proxy w]\nlisten = :80\nbackend = example.org:80\n", "" },
	{ "[proxy w]\nlisten = 0.0.0.0:80\nbackend = [::1]:80\n", "" },
	{ "[proxy w]\nlisten = 127.0.0.1:80\nbackend = 127.0.0.2:80\n", "" },
	{ "[proxy w]\nlisten = [::]:80\ntcp-only-v6 = yes\nbackend = 127.0.0.1:80\n", "" },
	{ "[proxy w]\nlisten = [::]:80\ntcp-only-v6 = yes\nbackend = [::1]:80\n", "4: backend: *" },
	{ "[proxy w]\nlisten = :80\ntcp-only-v6 = yes\nbackend = 127.0.0.1:80\n", "" },
	{ "[proxy w]\nlisten = :80\ntcp-only-v6 = no\nbackend = 127.0.0.1:80\n", "4: backend: *" },
	{ "[proxy w]\nlisten = [::ffff:0.0.0.0]:80\nbackend = 127.0.0.1:80\n", "3: backend: *" },
	{ "[proxy w]\nlisten = 0.0.0.0:80\nbackend = [::ffff:0.0.0.0]:80\n", "3: backend: *" },
	{ "[proxy w]\nlisten = [::ffff:0.0.0.0]:80\nbackend = [::1]:80\n", "" },
	{ "[proxy w]\nlisten = 127.0.0.1:80\nbackend = 127.0.0.1:http\n", "3: backend: *" },
	{ "[proxy w]\nlisten = :80\nbackend = localhost:http\n", "3: backend: *" },
};

static void test_checks(void **state)
{
	(void)state;
	run_cases(checks, ARRAY_SIZE(checks));
}

/* ---- what has no effect ---- */

#define ONE "[proxy a]\nlisten = :80\nbackend = 10.0.0.1:80\n"

#define NO_EFFECT " has no effect: nothing is checked without check-interval or check-expect\n"

static const struct case_of_file effects[] = {
	{ ONE, "" },
	{ ONE "check-send = PING\n", "4: check-send" NO_EFFECT },
	{ ONE "check-rise = 1\n\ncheck-fall = 2\n",
	  "4: check-rise" NO_EFFECT "6: check-fall" NO_EFFECT },
	{ ONE "check-timeout = 1s\n", "4: check-timeout" NO_EFFECT },
	/* Several servers are probed, and each probe is sent that; it counts by itself. */
	{ ONE "backend = 10.0.0.2:80\ncheck-send = PING\ncheck-timeout = 1s\n", "" },
	{ ONE "resolve-each = yes\ncheck-send = PING\n", "" },
	{ "[proxy a]\nlisten = :80\nbackend = srv:_a._tcp.b\ncheck-send = PING\n", "" },
	{ ONE "backend = 10.0.0.2:80\ncheck-fall = 2\n", "5: check-fall" NO_EFFECT },
	{ ONE "check-rise = 2\ncheck-interval = 5s\n", "" },
	{ ONE "check-send = PING\ncheck-expect = PONG\n", "" },
};

static void test_effects(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(effects); i++) {
		struct report report = { .in_order = true };
		struct problems warnings = { .report = add_to_report, .data = &report };
		struct config config;
		char *errors = load_text(effects[i].text, &config);

		assert_string_equal(errors, "");
		report.stream = open_memstream(&report.text, &report.size);
		assert_non_null(report.stream);
		config_check_effects(&config, &warnings);
		assert_int_equal(fclose(report.stream), 0);
		assert_reported(effects[i].text, report.text, effects[i].reported);
		free(report.text);
		free(errors);
		config_clear(&config);
	}
}

/* ---- the sample ---- */

static void test_sample(void **state)
{
	struct config config;
	char *got;

	(void)state;
	got = load_text(sample, &config);
	assert_reported(sample, got, "");
	assert_int_equal(config.n_proxies, 1);
	free(got);
	config_clear(&config);
}

/* What is commented out in the sample is right as well: "#key = value", "#[section]". */
static void test_sample_examples(void **state)
{
	char *text = strdup(sample);
	struct config config;
	char *got;

	(void)state;
	assert_non_null(text);
	for (char *line = text; (line = strchr(line, '\n')); line++)
		if (line[1] == '#' && line[2] && !strchr(" \t\n", line[2]))
			line[1] = ' ';
	got = load_text(text, &config);
	assert_reported(text, got, "");
	assert_int_equal(config.n_proxies, 2);
	assert_true(config.proxies[0].n_listen > 4);
	free(got);
	free(text);
	config_clear(&config);
}

/* ---- any bytes at all: nothing crashes, nothing leaks, lines stay in order ---- */

#define ROUNDS 600

static void mutate(char *bytes, size_t *n, size_t size)
{
	static const char *const pieces[] = { "\n",     "\0x", "[",    "]",         "=",
					      ";",      " ;",  "\r",   "[proxy ",   "\xEF\xBB\xBF",
					      "listen", ":",   "\xFF", "9999999999" };
	const char *piece = pieces[(size_t)random() % ARRAY_SIZE(pieces)];
	size_t length = (size_t)random() % 40;
	size_t at;

	if (*n == 0)
		bytes[(*n)++] = '\n';
	at = (size_t)random() % *n;

	switch (random() % 4) {
	case 0:
		bytes[at] = (char)random();
		break;
	case 1: /* take a run out */
		if (length > *n - at)
			length = *n - at;
		memmove(bytes + at, bytes + at + length, *n - at - length);
		*n -= length;
		break;
	case 2: /* write a piece over what is there */
		length = strlen(piece) + (*piece == '\0');
		if (at + length <= *n)
			memcpy(bytes + at, piece, length);
		break;
	default: /* repeat a run */
		if (length > *n - at || *n + length > size)
			break;
		memmove(bytes + at + length, bytes + at, *n - at);
		*n += length;
		break;
	}
}

static void test_mutations(void **state)
{
	size_t size = strlen(sample) + 4096;
	char *bytes = malloc(size);
	unsigned int refused = 0;

	(void)state;
	assert_non_null(bytes);
	srandom(20261122);

	for (int round = 0; round < ROUNDS; round++) {
		size_t n = strlen(sample);
		struct config config;
		char *got;

		memcpy(bytes, sample, n + 1);
		for (size_t i = 0; i < n; i++) /* wake up what is commented out */
			if (bytes[i] == '#' && random() % 2)
				bytes[i] = ' ';
		for (long i = random() % 30; i >= 0; i--)
			mutate(bytes, &n, size);

		got = load_bytes(bytes, n, &config);
		refused += *got != '\0';
		free(got);
		config_clear(&config);
	}
	assert_true(refused > ROUNDS / 2);
	free(bytes);
}

/* ---- each test leaves as many descriptors open as it found ---- */

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int descriptors_before;

static int before_test(void **state)
{
	(void)state;
	descriptors_before = count_descriptors();
	return 0;
}

static int after_test(void **state)
{
	(void)state;
	return count_descriptors() == descriptors_before ? 0 : -1;
}

static int before_all(void **state)
{
	FILE *stream = fopen("conf/sockfront.conf", "re");
	size_t size = 0;

	(void)state;
	if (!stream) {
		fprintf(stderr, "run this from the top of the source tree\n");
		return -1;
	}
	if (getdelim(&sample, &size, '\0', stream) < 0) {
		fclose(stream);
		return -1;
	}
	fclose(stream);
	/* Another user has to get through to the file in test_permission_denied. */
	return mkdtemp(directory) && chmod(directory, 0711) == 0 ? chdir(directory) : -1;
}

static int after_all(void **state)
{
	(void)state;
	free(sample);
	remove(FILE_NAME);
	return rmdir(directory);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, before_test, after_test)

/* So that each client is not compared with every rule. */
static void test_long_lists_are_prepared(void **state)
{
	struct config config;
	char *text, *report;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	(void)state;
	assert_non_null(stream);
	fputs("[proxy a]\nlisten = 127.0.0.1:1\nbackend = 127.0.0.1:2\nallow = 10.0.0.1\n", stream);
	fputs("[proxy b]\nlisten = 127.0.0.1:3\nbackend = 127.0.0.1:4\n", stream);
	for (int i = 0; i < 100; i++)
		fprintf(stream,
			"deny = 10.0.0.%d\naccept-proxy-protocol = 10.0.1.%d\n"
			"accept-proxy-protocol-tlvs = 10.0.2.%d\n",
			i, i, i);
	assert_int_equal(fclose(stream), 0);
	report = load_text(text, &config);
	assert_reported(text, report, "");
	assert_null(config.proxies[0].access.index);
	assert_non_null(config.proxies[1].access.index);
	assert_non_null(config.proxies[1].accept_proxy_protocol.index);
	assert_non_null(config.proxies[1].trusted_tlvs.index);
	config_clear(&config);
	free(report);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_defaults),   TEST(test_every_key),
		TEST(test_formats),    TEST(test_bad_files),
		TEST(test_long_lines), TEST(test_nul_bytes),
		TEST(test_unreadable), TEST(test_permission_denied),
		TEST(test_checks),     TEST(test_effects),
		TEST(test_sample),     TEST(test_sample_examples),
		TEST(test_mutations),  cmocka_unit_test(test_long_lists_are_prepared),
	};

	return cmocka_run_group_tests(tests, before_all, after_all);
}
