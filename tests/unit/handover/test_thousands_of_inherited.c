/* SPDX-License-Identifier: MIT */
/*
 * Thousands of inherited sockets, for lines that ask for each by its name, and for lines that
 * name the address that one is bound to: the work grows as their number does, and not as its
 * square.  Counted in comparisons of names and questions to the kernel, so that it holds on any
 * machine.  Each count is a child process, as what was passed is read once.
 */
#include "tests/unit/sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "conf/conf.h"
#include "daemon/base/log.h"
#include "daemon/handover/spare_sockets.h"
#include "daemon/proxy/listener.h"

#define FEW  100
#define MANY 400

static size_t steps;
static char directory[] = "/tmp/sf-inherited-XXXXXX";

/* ---- what is counted ---- */

#define COUNTED(type, name, parameters, arguments) \
	type __real_##name parameters;             \
	type __wrap_##name parameters;             \
	type __wrap_##name parameters              \
	{                                          \
		steps++;                           \
		return __real_##name arguments;    \
	}

COUNTED(int, strcmp, (const char *a, const char *b), (a, b))
COUNTED(int, getsockname, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len))
COUNTED(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len),
	(fd, level, name, value, len))
COUNTED(int, fstatat, (int fd, const char *path, struct stat *st, int flags), (fd, path, st, flags))
COUNTED(bool, sfront_inherited_is_wanted,
	(const struct sfront_address *address, const struct sfront_options *options, int fd),
	(address, options, fd))

/* ---- what is inherited, and the lines ---- */

enum kind { NAMES, NAMES_REGARDLESS, PATHS, RELATIVE_PATHS, HOSTS, KINDS };

/* What a child is to do, and what it took. */
static struct trial {
	enum kind kind;
	unsigned int n;
	size_t steps;
} * trial; /* shared with the children */

static bool is_named(enum kind kind)
{
	return kind == NAMES || kind == NAMES_REGARDLESS;
}

static struct sfront_sockaddr address_to_bind(unsigned int i, in_port_t port)
{
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa.in) };

	if (trial->kind == PATHS || trial->kind == RELATIVE_PATHS) {
		addr.len = sizeof(addr.sa.un);
		addr.sa.un.sun_family = AF_UNIX;
		snprintf(addr.sa.un.sun_path, sizeof(addr.sa.un.sun_path), "%s/%u", directory, i);
		CHECK(mkdir(addr.sa.un.sun_path, 0700) == 0);
		strcat(addr.sa.un.sun_path, "/app.sock");
		return addr;
	}
	addr.sa.in.sin_family = AF_INET;
	addr.sa.in.sin_port = port;
	addr.sa.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (trial->kind == HOSTS ? i : 0));
	return addr;
}

static in_port_t inherit(unsigned int i, in_port_t port)
{
	struct sfront_sockaddr addr = address_to_bind(i, port);
	int fd = socket(addr.sa.any.sa_family, SOCK_STREAM, 0);

	CHECK(bind(fd, &addr.sa.any, addr.len) == 0 && listen(fd, 1) == 0);
	CHECK(fd == 3 + (int)i);
	if (addr.sa.any.sa_family == AF_INET)
		CHECK(__real_getsockname(fd, &addr.sa.any, &addr.len) == 0);
	return trial->kind == HOSTS ? addr.sa.in.sin_port : 0;
}

static void announce(void)
{
	char number[16], *names = NULL;
	size_t size;
	FILE *stream = open_memstream(&names, &size);

	CHECK(stream);
	for (unsigned int i = 0; i < trial->n; i++)
		fprintf(stream, "%sa%u", i > 0 ? ":" : "", i);
	CHECK(fclose(stream) == 0);
	setenv("LISTEN_FDNAMES", names, 1);
	free(names);
	snprintf(number, sizeof(number), "%u", trial->n);
	setenv("LISTEN_FDS", number, 1);
	snprintf(number, sizeof(number), "%d", trial->kind == NAMES_REGARDLESS ? 1 : (int)getpid());
	setenv("LISTEN_PID", number, 1);
}

/* In another order than they were passed. */
static void add_line(struct config *config, unsigned int i, in_port_t port)
{
	const struct place place = { .line = 1 };
	struct in_addr host = { htonl(INADDR_LOOPBACK + i) };
	char text[SFRONT_ADDRESS_TEXT_SIZE], buf[INET_ADDRSTRLEN];

	if (is_named(trial->kind))
		snprintf(text, sizeof(text), "sd-listen:a%u", i);
	else if (trial->kind == HOSTS)
		snprintf(text, sizeof(text), "%s:%u", inet_ntop(AF_INET, &host, buf, sizeof(buf)),
			 ntohs(port));
	else
		snprintf(text, sizeof(text), "%s/%u/app.sock",
			 trial->kind == PATHS ? directory : ".", i);
	CHECK(key_set(key_find("listen", KEY_PROXY), config, config->proxies, text, &place, &why) ==
	      0);
}

/* ---- the work ---- */

static void open_named(const struct proxy_config *proxy)
{
	struct sfront_address *addresses = calloc(proxy->n_listen, sizeof(*addresses));
	struct sfront_listener **open = calloc(proxy->n_listen, sizeof(struct sfront_listener *));

	CHECK(addresses && open);
	for (size_t i = 0; i < proxy->n_listen; i++)
		addresses[i] = proxy->listen[i].address;
	CHECK(sfront_listener_open_each(addresses, proxy->n_listen, proxy->options, open, &why) ==
	      0);
	for (size_t i = 0; i < proxy->n_listen; i++)
		CHECK(sfront_listener_fd(open[i], 0) == 3 + (int)(proxy->n_listen - 1 - i));
	for (size_t i = 0; i < proxy->n_listen; i++)
		sfront_listener_close(open[i]);
	free(open);
	free(addresses);
}

static void open_spare(struct spare_sockets *spare, const struct proxy_config *proxy)
{
	for (size_t i = 0; i < proxy->n_listen; i++) {
		struct listener *listener =
			spare_sockets_open(spare, &proxy->listen[i], proxy->options);

		CHECK(listener);
		CHECK(sfront_listener_fd(listener->open, 0) == 3 + (int)(proxy->n_listen - 1 - i));
		listener_unref(listener);
	}
}

static void take_all(struct config *config)
{
	struct proxy_config *proxy = config->proxies;
	struct spare_sockets spare;

	steps = 0;
	CHECK(spare_sockets_list(&spare, config) == 0);
	CHECK(spare.n == (is_named(trial->kind) ? 0 : trial->n));
	if (is_named(trial->kind))
		open_named(proxy);
	else
		open_spare(&spare, proxy);
	trial->steps = steps;
	spare_sockets_clear(&spare);
}

static void body(void)
{
	const struct place place = { .line = 1 };
	struct config config;
	in_port_t port = 0;

	log_set_level(LOG_ERR);
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	CHECK(chdir(directory) == 0);
	for (unsigned int i = 0; i < trial->n; i++)
		port = inherit(i, port);
	announce();
	config_init(&config);
	CHECK(config_add_proxy(&config, "p", &place));
	if (trial->kind == NAMES_REGARDLESS)
		CHECK(sfront_options_set(config.proxies->options, "sd-accept-ignore-environment",
					 NULL, &why) == 0);
	for (unsigned int i = trial->n; i-- > 0;)
		add_line(&config, i, port);
	take_all(&config);
	config_clear(&config);
}

static void remove_paths(unsigned int n)
{
	char path[64];

	for (unsigned int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%u/app.sock", directory, i);
		(void)unlink(path);
		*strrchr(path, '/') = '\0';
		(void)rmdir(path);
	}
}

static size_t steps_for(enum kind kind, unsigned int n)
{
	*trial = (struct trial){ .kind = kind, .n = n };
	in_child(body);
	remove_paths(n);
	assert_true(trial->steps >= n);
	return trial->steps;
}

static void test_work_grows_with_their_number(void **state)
{
	static const char *const kinds[KINDS] = {
		[NAMES] = "by name",
		[NAMES_REGARDLESS] = "by name, regardless of LISTEN_PID",
		[PATHS] = "at paths of one file name",
		[RELATIVE_PATHS] = "at relative paths of one file name",
		[HOSTS] = "at hosts of one port",
	};

	(void)state;
	for (enum kind kind = 0; kind < KINDS; kind++) {
		size_t few = steps_for(kind, FEW), many = steps_for(kind, MANY);

		if (many > 2 * MANY / FEW * few)
			fail_msg("%s: %zu steps for %d, %zu for %d", kinds[kind], few, FEW, many,
				 MANY);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_work_grows_with_their_number),
	};
	const int flags = MAP_SHARED | MAP_ANONYMOUS;
	int failed;

	/* cppcheck-suppress invalidFunctionArg ; -1 is what mmap() is given without a file */
	trial = mmap(NULL, sizeof(*trial), PROT_READ | PROT_WRITE, flags, -1, 0);
	if (trial == MAP_FAILED || !mkdtemp(directory))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)rmdir(directory);
	return failed;
}
