/* SPDX-License-Identifier: MIT */
/*
 * Addresses of our own on sockets that others have bound: lib/kind/bound.c, and what
 * the class of each kind says fits.  What was claimed stays so for the life of a process,
 * so that each test is a child of its own.
 */
#include "sockets.h"

#include <sys/stat.h>

static char directory[] = "/tmp/sockfront-test-bound.XXXXXX";

/* A socket as somebody else leaves it to us, who opened it by @text with @settings. */
static int bound(const char *text, const char *settings)
{
	struct sfront_listener *listener = must_open(text, settings);
	int fd = sfront_listener_release(listener, 0);

	sfront_listener_close(listener);
	CHECK(fd >= 0);
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sfront_sockaddr local = { .len = sizeof(local.sa) };

	CHECK(getsockname(fd, &local.sa.any, &local.len) == 0);
	return ntohs(local.sa.any.sa_family == AF_INET ? local.sa.in.sin_port
						       : local.sa.in6.sin6_port);
}

/* @text: with %u for the port of @fd */
static int try_inherited(const char *text, const char *settings, int fd,
			 struct sfront_listener **ret)
{
	struct sfront_options *options = options_of(settings);
	char typed[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_address address;
	const char *port = strstr(text, "%u");
	int r;

	warnings[0] = '\0';
	if (port)
		snprintf(typed, sizeof(typed), "%.*s%u%s", (int)(port - text), text, port_of(fd),
			 port + 2);
	else
		snprintf(typed, sizeof(typed), "%s", text);
	CHECK(sfront_address_parse(typed, &address, &why) == 0);
	r = sfront_listener_open_inherited(&address, fd, options, ret, &why);
	sfront_options_free(options);
	return r;
}

static const struct {
	const char *bound, *settings; /* how the socket was opened */
	const char *text, *options;   /* what is asked for; %u: the port */
	bool fits;
} cases[] = {
	{ "127.0.0.1:0", "", "127.0.0.1:%u", "", true },
	{ "127.0.0.1:0", "", "127.0.0.1:0%u", "", true },
	{ "127.0.0.1:0", "", "[::ffff:127.0.0.1]:%u", "", true },
	{ "127.0.0.1:0", "", "127.0.0.2:%u", "", false },
	{ "127.0.0.1:0", "", "0.0.0.0:%u", "", false },
	{ "127.0.0.1:0", "", ":%u", "", false },
	{ "127.0.0.1:0", "", "localhost:%u", "", false },
	{ "127.0.0.1:0", "", "127.0.0.1:0", "", false },
	{ "127.0.0.1:0", "", "127.0.0.1:1", "", false },
	{ "127.0.0.1:0", "", "127.0.0.1:no-such-service", "", false },
	{ "127.0.0.1:0", "", "127.0.0.1:%u", "bind-to-device=lo", false },
	{ "127.0.0.1:0", "bind-to-device=lo", "127.0.0.1:%u", "bind-to-device=lo", true },
	{ "127.0.0.1:0", "bind-to-device=lo", "127.0.0.1:%u", "", true },
	{ "[::1]:0", "", "[::1]:%u", "", true },
	{ "[::1]:0", "", "[0:0::1]:%u", "tcp-only-v6", true },
	{ "[::1]:0", "", "127.0.0.1:%u", "", false },
	{ ":0", "", ":%u", "", true },
	{ ":0", "", "*:%u", "", true },
	{ ":0", "", "[::]:%u", "", true },
	{ ":0", "", "[::]:%u", "tcp-only-v6=no", true },
	{ ":0", "", "[::]:%u", "tcp-only-v6", false },
	{ ":0", "", ":%u", "tcp-only-v6", false },
	{ ":0", "", "0.0.0.0:%u", "", false },
	{ ":0", "tcp-only-v6", ":%u", "", false },
	{ ":0", "tcp-only-v6", ":%u", "tcp-only-v6", true },
	{ ":0", "tcp-only-v6", "[::]:%u", "", true },
	{ ":0", "tcp-only-v6", "[::]:%u", "tcp-only-v6=no", false },
	{ "0.0.0.0:0", "", "0.0.0.0:%u", "", true },
	{ "0.0.0.0:0", "", ":%u", "", false },
	{ "@sockfront-test-bound", "", "@sockfront-test-bound", "", true },
	{ "@sockfront-test-bound", "", "@sockfront-test", "", false },
	{ "@sockfront-test-bound", "", "./sockfront-test-bound", "", false },
	{ "./app.sock", "", "./app.sock", "", true },
	{ "./app.sock", "", ".//app.sock", "", true },
	{ "./app.sock", "", "./here/app.sock", "", true },
	{ "./app.sock", "", "./other/app.sock", "", false },
	{ "./app.sock", "", "./nowhere/app.sock", "", false },
	{ "./app.sock", "", "./other.sock", "", false },
	{ "./app.sock", "", "@app.sock", "", false },
	{ "./app.sock", "", "127.0.0.1:80", "", false },
	{ "./app.sock", "", "vsock:any:80", "", false },
};

static void check_case(size_t i)
{
	struct sfront_listener *listener = NULL;
	int fd = bound(cases[i].bound, cases[i].settings);
	int before = count_descriptors(), r;

	r = try_inherited(cases[i].text, cases[i].options, fd, &listener);
	if (r != (cases[i].fits ? 0 : -EADDRNOTAVAIL)) {
		dprintf(STDERR_FILENO, "case %zu, %s for %s: %d %s\n", i, cases[i].bound,
			cases[i].text, r, why.message);
		_exit(99);
	}
	CHECK(count_descriptors() == before);
	if (!listener) {
		close(fd);
		return;
	}
	CHECK(sfront_listener_is_inherited(listener, 0));
	CHECK(sfront_listener_fd(listener, 0) == fd);
	sfront_listener_close(listener);
	CHECK(count_descriptors() == before - 1);
}

/* A number that was claimed cannot be so again. */
static void cases_in_child(void)
{
	CHECK(mkdir("other", 0700) == 0 && symlink(".", "here") == 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			check_case(i);
			_exit(0);
		}
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		(void)unlink("app.sock");
	}
	CHECK(rmdir("other") == 0 && unlink("here") == 0);
}

static void kinds_and_lending(void)
{
	struct sfront_listener *listener = NULL, *again = NULL;
	struct sfront_connection client;
	struct stat st;
	int fd = bound("./app.sock", "");
	struct sfront_sockaddr local = { .len = sizeof(local.sa) };
	int peer = socket(AF_UNIX, SOCK_STREAM, 0);

	CHECK(try_inherited("./app.sock", "accept-proxy-protocol", fd, &listener) == 0);
	CHECK(sfront_listener_kind(listener, 0) == SFRONT_UNIX);
	CHECK(sfront_listener_header_due(listener, 0));
	CHECK(sfront_listener_path_id(listener, 0, &st.st_dev, &st.st_ino) == -ENOENT);
	CHECK(try_inherited("./app.sock", "", fd, &again) == -EBUSY);
	CHECK_CONTAINS(why.message, "is taken already");
	CHECK(getsockname(fd, &local.sa.any, &local.len) == 0);
	CHECK(connect(peer, &local.sa.any, local.len) == 0);
	CHECK(sfront_listener_accept(listener, &client) == 0);
	sfront_connection_close(&client);
	close(peer);

	sfront_listener_lend(listener);
	CHECK(try_inherited("./app.sock", "", fd, &again) == 0);
	CHECK(sfront_listener_take_back(listener) == -EBUSY);
	sfront_listener_close(listener);
	CHECK(fcntl(fd, F_GETFD) >= 0);
	sfront_listener_lend(again);
	sfront_listener_close(again);
	CHECK(fcntl(fd, F_GETFD) >= 0 && lstat("app.sock", &st) == 0);
	CHECK(unlink("app.sock") == 0);
}

static void unfit_descriptors(void)
{
	struct sfront_listener *listener = NULL;
	int pair[2], unbound = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(try_inherited("127.0.0.1:80", "", pair[0], &listener) == -EADDRNOTAVAIL);
	CHECK(try_inherited("127.0.0.1:80", "", unbound, &listener) == -EADDRNOTAVAIL);
	CHECK(try_inherited("127.0.0.1:80", "", STDERR_FILENO, &listener) == -EADDRNOTAVAIL);
	CHECK(try_inherited("127.0.0.1:80", "", 999, &listener) == -EADDRNOTAVAIL);
	CHECK_CONTAINS(why.message, "127.0.0.1:80: descriptor 999 does not listen there");
	CHECK(try_inherited("sd-listen", "", unbound, &listener) == -EINVAL);
	CHECK(try_inherited("-", "", unbound, &listener) == -EINVAL);
	CHECK(!listener);
}

static const struct {
	const char *text, *options, *warned; /* NULL: of nothing */
} of_binding[] = {
	{ "127.0.0.1:%u", "tcp-reuse-port", "tcp-reuse-port has no effect on this inherited" },
	{ "127.0.0.1:%u", "ip-freebind", "ip-freebind has no effect" },
	{ "127.0.0.1:%u", "mptcp", "mptcp has no effect" },
	{ "127.0.0.1:%u", "tcp-reuse-port=no", NULL },
	{ "127.0.0.1:%u", "mptcp=no", NULL },
	{ "127.0.0.1:%u", "unix-listen-chmod=group", NULL },
	{ "127.0.0.1:%u", "tcp-keepalive=60s type-of-service=16", NULL },
	{ "./app.sock", "unix-listen-chmod=0640", NULL },
	{ "./app.sock", "unix-listen-chmod=0600", "unix-listen-chmod has no effect" },
	{ "./app.sock", "unix-listen-uid=4711", "unix-listen-uid has no effect" },
	{ "./app.sock", "unix-listen-gid=4711", "unix-listen-gid has no effect" },
	{ "./app.sock", "unix-listen-unlink tcp-reuse-port", NULL },
};

static void options_of_binding(void)
{
	for (size_t i = 0; i < sizeof(of_binding) / sizeof(of_binding[0]); i++) {
		bool is_path = of_binding[i].text[0] == '.';
		struct sfront_listener *listener = NULL;
		int fd = bound(is_path ? "./app.sock" : "127.0.0.1:0",
			       is_path ? "unix-listen-chmod=0640" : "");

		CHECK(try_inherited(of_binding[i].text, of_binding[i].options, fd, &listener) == 0);
		if (of_binding[i].warned)
			CHECK_CONTAINS(warnings, of_binding[i].warned);
		else
			CHECK_CONTAINS("", warnings);
		CHECK(dup(fd) >= 0); /* its number is not used again */
		sfront_listener_lend(listener);
		sfront_listener_close(listener);
		(void)unlink("app.sock");
	}
}

/* Beside what others ask for, an option of paths is not idle on one that was taken. */
static void idle_options(void)
{
	struct sfront_options *options = options_of("unix-listen-chmod=0640");
	struct sfront_listener *listener = NULL;
	struct sfront_address address;
	int fd = bound("./app.sock", "unix-listen-chmod=0640");

	CHECK(try_inherited("./app.sock", "unix-listen-chmod=0640", fd, &listener) == 0);
	CHECK(sfront_address_parse("./app.sock", &address, &why) == 0);
	CHECK(sfront_listener_open_each(&address, 1, options, &listener, &why) == 0);
	CHECK_CONTAINS("", warnings);
	sfront_options_free(options);
	sfront_listener_close(listener);
	CHECK(unlink("app.sock") == 0);
}

static bool wants(const char *text, const char *settings, int fd)
{
	struct sfront_options *options = options_of(settings);
	struct sfront_address address;
	bool wanted;

	CHECK(sfront_address_parse(text, &address, &why) == 0);
	wanted = sfront_inherited_is_wanted(&address, options, fd);
	sfront_options_free(options);
	return wanted;
}

static void pass(int n, const char *names)
{
	char number[16];

	for (int fd = 3; fd < 3 + n; fd++)
		CHECK(dup2(STDERR_FILENO, fd) == fd);
	snprintf(number, sizeof(number), "%d", n);
	setenv("LISTEN_FDS", number, 1);
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

static void who_wants_what(void)
{
	pass(3, "web:mail:web");
	CHECK(wants("sd-listen", "", 3) && !wants("sd-listen", "", 4));
	CHECK(wants("sd-listen:web", "", 3) && wants("sd-listen:web", "", 5));
	CHECK(!wants("sd-listen:web", "", 4) && !wants("sd-listen:web", "", 6));
	CHECK(wants("sd-listen:*", "", 5) && !wants("sd-listen:*", "", 6));
	CHECK(!wants("sd-listen:*", "", 2) && !wants("sd-listen:other", "", 3));
	CHECK(wants("accept-from-fd:7", "", 7) && !wants("accept-from-fd:7", "", 3));
	CHECK(!wants(":80", "", 3) && !wants("-", "", 0) && !wants("@app", "", 3));
	CHECK(sfront_inherited_reserve("we") == 2);
	CHECK(wants("sd-listen", "", 4) && !wants("sd-listen:*", "", 3));
}

static void who_wants_what_of_others(void)
{
	pass(2, "web:mail");
	setenv("LISTEN_PID", "1", 1);
	CHECK(!wants("sd-listen", "", 3) && !wants("sd-listen:*", "", 3));
	CHECK(wants("sd-listen", "sd-accept-ignore-environment", 3));
	CHECK(wants("sd-listen:mail", "sd-accept-ignore-environment", 4));
}

#define IN_CHILD(body)                        \
	static void test_##body(void **state) \
	{                                     \
		(void)state;                  \
		in_child(body);               \
	}

IN_CHILD(cases_in_child)
IN_CHILD(kinds_and_lending)
IN_CHILD(unfit_descriptors)
IN_CHILD(options_of_binding)
IN_CHILD(idle_options)
IN_CHILD(who_wants_what)
IN_CHILD(who_wants_what_of_others)

static int enter_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int leave_directory(void **state)
{
	(void)state;
	return chdir("/") == 0 ? rmdir(directory) : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases_in_child),
		cmocka_unit_test(test_kinds_and_lending),
		cmocka_unit_test(test_unfit_descriptors),
		cmocka_unit_test(test_options_of_binding),
		cmocka_unit_test(test_idle_options),
		cmocka_unit_test(test_who_wants_what),
		cmocka_unit_test(test_who_wants_what_of_others),
	};

	return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
